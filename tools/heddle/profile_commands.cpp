#include "profile_commands.hpp"

#include <fmt/format.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <exception>
#include <system_error>
#include <utility>

#include "failure.hpp"
#include "map_options.hpp"
#include "orphans.hpp"
#include "start_failure.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

using std::chrono::nanoseconds;
using seconds = std::chrono::duration<double>;

// Seconds. Of longer tasks there are few, so none may be cut.
constexpr double slow_task = 0.3;
// Two pipes and a pidfd.
constexpr std::uint64_t descriptors_a_job = 3;
constexpr std::size_t read_size = std::size_t{64} << 10;
// Of each task's standard error; it is for a message.
constexpr std::size_t kept_of_complaint = 400;
// Signals are heard and outputs read while many are started.
constexpr std::chrono::milliseconds longest_turn{20};
// Further ones would not be reached in the time that a profile takes.
constexpr std::size_t most_inputs = 100'000;

using input_values = std::vector<std::string>;

class input_waiter final : public input_listener {
 public:
  explicit input_waiter(profile_stage& stage) : stage_(stage) {}
  void on_input() noexcept override { stage_.stop_waiting(); }

 private:
  profile_stage& stage_;
};

std::vector<input_values> read_inputs(profile_stage& stage, const profile_options& options) {
  map_options sources;
  sources.input_files = options.input_files;
  sources.argument_lists = options.argument_lists;
  sources.null_separated = options.null_separated;

  input_waiter waiter(stage);
  input_sequence sequence(stage.loop(), sources, waiter);
  std::vector<input_values> inputs;
  job_input next;
  while (inputs.size() < most_inputs && stage.signal() == 0) {
    const input_state state = sequence.next(next);
    if (state == input_state::end) break;
    if (state == input_state::wait) {
      stage.wait();
      continue;
    }
    for (const std::string& value : next.values) {
      if (value.find('\0') == value.npos) continue;
      throw run_error(fmt::format(
          "input {} has a NUL byte, which no argument can hold (use -0 if inputs end with NUL)",
          next.sequence));
    }
    inputs.push_back(next.values);
  }
  return inputs;
}

// Whether the words say where an input goes. A number would not change with the input.
bool takes_input(const std::vector<std::string>& words, std::size_t sources, bool shell) {
  std::vector<std::string> marked = words;
  marked.emplace_back("{#}");  // with it, no {} is appended
  const command_template t(marked, sources, shell);
  std::vector<std::string> with_a;
  std::vector<std::string> with_b;
  t.expand(input_values(sources, "a"), 1, with_a);
  t.expand(input_values(sources, "b"), 1, with_b);
  return with_a != with_b;
}

// What the tasks get in turn; one of no values when the command is run as it stands.
std::vector<input_values> find_inputs(profile_stage& stage, const profile_options& options) {
  const std::size_t named = options.input_files.size() + options.argument_lists.size();
  const bool wants_input =
      takes_input(options.command, std::max<std::size_t>(named, 1), options.shell);
  const bool from_terminal = named == 0 && ::isatty(STDIN_FILENO) != 0;
  if (from_terminal && wants_input) {
    stage.say("reading inputs from the terminal, one a line; Ctrl-D ends them");
  }
  if (from_terminal && !wants_input) return {{}};
  auto inputs = read_inputs(stage, options);
  if (!inputs.empty()) return inputs;
  if (wants_input || named != 0) throw usage_error("no inputs, so there is nothing to run");
  return {{}};
}

// The size that was in force for the longer part of a time: half of it is spent at that or less.
int median_size(const std::vector<sizing::logged_choice>& log, nanoseconds from, nanoseconds to) {
  std::vector<std::pair<int, nanoseconds>> held;
  nanoseconds total{};
  for (std::size_t i = 0; i < log.size(); ++i) {
    const auto begin = std::max(log[i].at, from);
    const auto end = i + 1 < log.size() ? std::min(log[i + 1].at, to) : to;
    if (end <= begin) continue;
    held.emplace_back(log[i].after, end - begin);
    total += end - begin;
  }
  std::sort(held.begin(), held.end());
  nanoseconds passed{};
  for (const auto& [size, time] : held) {
    passed += time;
    if (2 * passed >= total) return size;
  }
  return log.empty() ? 1 : log.back().after;
}

// "exit status 3; it wrote: no such table"
std::string complaint_of(const process::exit_report& report, std::string_view written) {
  std::string text = report.signal != 0 ? fmt::format("killed by signal {} ({})", report.signal,
                                                      ::strsignal(report.signal))
                                        : fmt::format("exit status {}", report.status);
  const auto begin = written.find_first_not_of(" \r\n\t");
  if (begin == written.npos) return text;
  written.remove_prefix(begin);
  return text + "; it wrote: " + shortened(written.substr(0, written.find_first_of("\r\n")));
}

}  // namespace

command_workload::command_workload(profile_stage& stage, const profile_options& options)
    : stage_(stage),
      options_(options),
      inputs_(find_inputs(stage, options)),
      template_(options.command, inputs_.empty() ? 0 : inputs_.front().size(), options.shell),
      store_(0),
      buffer_(read_size),
      fill_(
          stage.loop(),
          [](void* self) noexcept { static_cast<command_workload*>(self)->fill_places(); }, this) {}

command_workload::~command_workload() = default;

std::string command_workload::name() const {
  if (!options_.shell) return readable_command(options_.command);
  return fmt::format("{}", fmt::join(options_.command, " "));
}

void command_workload::begin(int places, nanoseconds length) {
  make_places(places);
  batch_ = {};
  batch_.measured.size = places;
  tally_ = {};
  target_ = static_cast<std::size_t>(places);
  begun_ = 0;
  abandoned_ = false;
  length_ = length;
  passed_in_tasks_ = {};
  opens_ = closes_ = clock::time_point::max();
  meter_.reset();
  is_closed_ = false;
}

batch command_workload::run(int size, nanoseconds length) {
  begin(size, length);
  meter_.emplace(clock::now());
  const bool is_first = !shortest_task_;
  is_slow_ = is_first || *shortest_task_ >= slow_task;
  const unsigned pauses = stage_.pauses();

  fill_places();
  if (!is_done()) stage_.wait(is_first ? clock::time_point::max() : stage_.deadline(), this);
  if (!is_done()) abandon(false);
  if (!is_done()) stage_.wait(clock::time_point::max(), this);
  fill_.disarm();
  if (!trouble_.empty()) throw run_error(trouble_);
  if (abandoned_ || pauses != stage_.pauses()) return std::move(batch_);
  if (!is_closed_) read_meter(clock::now());
  batch_.measured = measured();
  batch_.complete = true;
  const double task = tally_.in_tasks / tally_.tasks;
  shortest_task_ = std::min(shortest_task_.value_or(task), task);
  return std::move(batch_);
}

std::optional<chosen_size> command_workload::run_adaptive(int most, nanoseconds length) {
  begin(most, length);
  is_slow_ = false;
  const unsigned pauses = stage_.pauses();
  const auto start = clock::now();
  // What the law does in the first half is finding the size.
  opens_ = start + length / 2;
  closes_ = start + length;
  law_ = std::make_unique<adaptive_slots>(
      stage_.loop(), adaptive_slots::options{.most = most, .descriptors_a_job = descriptors_a_job},
      static_cast<sizing_listener&>(*this));

  fill_places();
  if (!is_done()) stage_.wait(closes_, this);
  if (!is_done()) stage_.wait(clock::time_point::max(), this);  // the last tasks
  fill_.disarm();
  const auto law = std::move(law_);
  if (!trouble_.empty()) throw run_error(trouble_);
  if (abandoned_ || pauses != stage_.pauses()) return std::nullopt;

  std::vector<sizing::logged_choice> log(law->log().first.begin(), law->log().first.end());
  log.insert(log.end(), law->log().last.begin(), law->log().last.end());
  return chosen_size{.size = median_size(log, opens_ - start, closes_ - start),
                     .throughput = tally_.tasks / seconds(closes_ - opens_).count(),
                     .reason = log.back().reason};
}

// Of quick tasks, a piece of the steady flow is measured: it begins when all places are in use and
// have had some, and the flow goes on until every task that began within it has ended. Slow ones
// are counted whole, and each place has a clock of its own, from its first start to its last end:
// that the others had ended before is no time of its own.
void command_workload::open_window(clock::time_point now) {
  if (begun_ < target_ || opens_ != clock::time_point::max()) return;
  if (is_slow_) {
    opens_ = clock::time_point::min();
    closes_ = now + length_;
  } else if (2 * batch_.ended >= 3 * target_) {
    const auto task = passed_in_tasks_ / static_cast<std::int64_t>(batch_.ended);
    opens_ = now;
    closes_ = now + std::max(length_, 2 * task);
    read_ = meter_->read(now);
    read_at_ = now;
  }
}

// How long tasks waited for a CPU, from when the window opened up to now; of slow tasks, from the
// beginning.
void command_workload::read_meter(clock::time_point now) {
  is_closed_ = true;
  const job_times end = meter_->read(now);
  if (!end.knows_runnable) return;
  if (is_slow_) {
    tally_.runnable = seconds(end.runnable).count();
  } else {
    tally_.runnable = seconds(end.runnable - read_.runnable).count() *
                      (seconds(closes_ - opens_) / seconds(now - read_at_));
  }
}

// Whether a further task belongs to the flow, so that what is measured goes on undisturbed.
bool command_workload::flow_goes_on(clock::time_point now) const noexcept {
  if (now < closes_) return true;
  if (is_slow_) return false;
  return std::any_of(places_.begin(), places_.end(),
                     [this](const auto& p) { return p->slot.running() && p->launched < closes_; });
}

// Cut to whole tasks.
sizing::measurement command_workload::measured() const {
  double elapsed = 0;
  if (!is_slow_) {
    elapsed = seconds(closes_ - opens_).count();
  } else {
    for (std::size_t i = 0; i < target_; ++i) {
      elapsed += seconds(places_[i]->ended - places_[i]->began).count();
    }
    elapsed /= static_cast<double>(target_);
  }
  sizing::measurement m{.size = batch_.measured.size};
  m.tasks = static_cast<std::uint64_t>(std::max(1.0, std::round(tally_.tasks)));
  const double whole = static_cast<double>(m.tasks) / tally_.tasks;
  const auto time = [whole](double s) { return nanoseconds(std::llround(s * whole * 1e9)); };
  m.elapsed = std::max(time(elapsed), nanoseconds(1));
  m.in_tasks = time(tally_.in_tasks);
  m.cpu = time(tally_.cpu);
  if (tally_.runnable) m.runnable = time(*tally_.runnable);
  m.voluntary_switches =
      static_cast<std::uint64_t>(std::llround(tally_.voluntary_switches * whole));
  return m;
}

void command_workload::make_places(int count) {
  const auto wanted = static_cast<std::size_t>(count);
  // Commands get the limit that we were given.
  rlimit limit{};
  const rlim_t descriptors = 64 + rlim_t{wanted} * descriptors_a_job;
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && descriptors > limit.rlim_cur) {
    const rlim_t given = std::exchange(limit.rlim_cur, std::min(descriptors, limit.rlim_max));
    if (::setrlimit(RLIMIT_NOFILE, &limit) == 0 && !jobs_descriptor_limit_) {
      jobs_descriptor_limit_ = given;
    }
  }
  while (places_.size() < wanted) {
    slot_owner& self = *this;
    places_.push_back(std::make_unique<place>(stage_.loop(), store_, buffer_, self));
    places_.back()->slot.job.input.sequence = places_.size() - 1;
  }
  for (const auto& p : places_) {
    p->slot.command.descriptor_limit = jobs_descriptor_limit_;
  }
}

// Where a task has to be started now; null when enough run.
command_workload::place* command_workload::next_place() noexcept {
  if (abandoned_) return nullptr;
  if (!law_) return begun_ < target_ ? places_[begun_++].get() : nullptr;
  if (clock::now() >= closes_) return nullptr;
  if (running_ >= law_->slots()) {
    law_->on_limit(most_inputs);
    return nullptr;
  }
  const auto idle = std::find_if(places_.begin(), places_.end(),
                                 [](const auto& p) { return !p->slot.running(); });
  return idle == places_.end() ? nullptr : idle->get();
}

void command_workload::fill_places() noexcept {
  try {
    const auto turn_ends = clock::now() + longest_turn;
    while (place* const p = next_place()) {
      launch(*p);
      p->began = p->launched;
      const auto now = clock::now();
      open_window(now);
      if (now < turn_ends) continue;
      fill_.arm(now);
      break;
    }
  } catch (const std::exception& e) {
    fail(e.what());
  }
  end_if_done();
}

void command_workload::launch(place& p) noexcept {
  try {
    template_.expand(inputs_[sequence_ % inputs_.size()], sequence_ + 1, p.slot.command.argv);
    ++sequence_;
    p.complaint.clear();
    p.launched = clock::now();
    p.slot.start(false, {});
    ++running_;
    if (law_) law_->on_start(p.slot.pid());
    if (meter_) meter_->on_start(p.launched, p.slot.pid());
  } catch (const std::system_error& e) {
    const int code = e.code().value();
    if (e.code().category() != std::generic_category()) return fail(e.what());
    if (code == E2BIG) return fail("the input is too long for a command");
    if (!is_refusal(code)) return fail(why_not_run(p.slot.command.argv.front(), code));
    if (running_ == 0) return fail(fmt::format("cannot start a process: {}", ::strerror(code)));
    batch_.refused =
        fmt::format("no more than {} processes could be started: {}", running_, ::strerror(code));
    abandon(false);
  } catch (const std::exception& e) {
    fail(e.what());
  }
}

void command_workload::fail(std::string why) noexcept {
  if (trouble_.empty()) trouble_ = std::move(why);
  abandon(false);
}

void command_workload::abandon(bool kill) noexcept {
  abandoned_ = true;
  for (const auto& p : places_) kill ? p->slot.kill() : p->slot.stop(true);
  end_if_done();
}

bool command_workload::is_done() const noexcept {
  if (running_ != 0) return false;
  return abandoned_ || (law_ ? clock::now() >= closes_ : begun_ == target_);
}

void command_workload::end_if_done() noexcept {
  if (is_done()) stage_.stop_waiting();
}

void command_workload::before_reap(job_slot& slot) noexcept {
  if (law_) law_->before_reap(slot.pid());
  if (meter_) meter_->before_reap(slot.pid());
}

void command_workload::on_output(job_slot& slot, stream which, std::string_view bytes) noexcept {
  place& p = *places_[slot.job.input.sequence];
  if (which == stream::error && p.complaint.size() < kept_of_complaint) {
    p.complaint += bytes.substr(0, kept_of_complaint - p.complaint.size());
  }
  if (options_.show_output) stage_.pass_on(bytes);
}

void command_workload::on_job_end(job_slot& slot) noexcept {
  --running_;
  place& p = *places_[slot.job.input.sequence];
  const auto now = clock::now();
  try {
    if (meter_) meter_->on_end(now, slot.pid(), slot.report());
    if (!slot.told_to_stop()) count(p, now);
    if (!law_) {
      open_window(now);
      if (now >= closes_ && !is_slow_ && !is_closed_) read_meter(now);
    }
  } catch (const std::exception& e) {
    fail(e.what());
  }
  bury_orphans([this](pid_t pid) {
    return std::any_of(places_.begin(), places_.end(), [pid](const auto& other) {
      return other->slot.running() && other->slot.pid() == pid;
    });
  });
  if (law_) {
    law_->on_end(slot.pid(), slot.report());
    return fill_places();
  }
  if (!abandoned_ && flow_goes_on(now)) launch(p);
  end_if_done();
}

// The part of the task that lies within the window.
void command_workload::count(place& p, clock::time_point now) {
  const process::exit_report& report = p.slot.report();
  p.ended = now;
  ++batch_.ended;
  if (!report.success() && batch_.failed++ == 0) {
    batch_.complaint = complaint_of(report, p.complaint);
  }
  passed_in_tasks_ += p.ended - p.launched;
  double part = 1;
  if (!is_slow_) {
    const auto inside = std::min(p.ended, closes_) - std::max(p.launched, opens_);
    part = std::max(seconds(inside).count(), 0.0) / seconds(p.ended - p.launched).count();
  }
  tally_.tasks += part;
  tally_.in_tasks += part * seconds(report.ended - report.started).count();
  tally_.cpu += part * seconds(report.user + report.system).count();
  tally_.voluntary_switches += part * static_cast<double>(report.voluntary_switches);
}

void command_workload::interrupt(bool again) noexcept { abandon(again); }

void command_workload::suspend() noexcept {
  for (const auto& p : places_) p->slot.suspend();
}

void command_workload::proceed(nanoseconds after) noexcept {
  for (const auto& p : places_) p->slot.proceed(after);
}

}  // namespace heddle::tool
