// How the jobs of a run begin and end.
#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "failure.hpp"
#include "map_run.hpp"
#include "orphans.hpp"
#include "start_failure.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_waiting_retries = 1024;
constexpr unsigned most_refusals = 5;
// Starting many jobs, printing many commands and skipping many inputs take turns with other events,
// so that signals are heard and outputs are read meanwhile.
constexpr std::chrono::milliseconds longest_turn{20};

constexpr int exit_cannot_execute = 126;
constexpr int exit_not_found = 127;

bool is_about_program(int error) {
  return error == ENOENT || error == EACCES || error == ENOEXEC || error == ENOTDIR ||
         error == ELOOP || error == EISDIR || error == EPERM || error == ENAMETOOLONG;
}

// Values that were unusually long do not keep their memory.
void forget(job_input& input) {
  constexpr std::size_t usual = std::size_t{64} << 10;
  for (std::string& value : input.values) {
    if (value.capacity() > usual) std::string().swap(value);
  }
}

void forget(std::vector<std::string>& argv) {
  constexpr std::size_t usual = std::size_t{64} << 10;
  const auto is_long = [](const std::string& word) { return word.capacity() > usual; };
  if (std::any_of(argv.begin(), argv.end(), is_long)) std::vector<std::string>().swap(argv);
}

}  // namespace

void map_run::start_jobs() noexcept {
  turn_ends_ = clock::now() + longest_turn;
  try {
    start_some();
    find_passing();
    let_go_on();
  } catch (const std::exception& e) {
    give_up(e.what());
  }
  finish_if_done();
}

void map_run::start_some() {
  if (tokens_) tokens_->resize(slot_limit());
  while (may_start()) {
    job_slot& slot = idle_slot();
    if (!take_job(slot)) break;
    launch(slot);
    if (!wait_for_room_ && turn_is_over()) break;
  }
  if (tokens_) tokens_->settle(running_);
  if (phase_ == phase::running && running_ >= slot_limit()) {
    policy_->on_limit(inputs_.at_hand());
  } else {
    policy_->on_shortage();
  }
}

bool map_run::may_start() {
  if (phase_ != phase::running || wait_for_room_ || running_ >= slot_limit()) return false;
  if (options_.dry_run && out_.waiting() > sink::high_mark) return false;
  if (options_.delay.count() != 0 && clock::now() < next_start_) {
    wake_at(next_start_);
    return false;
  }
  return !tokens_ || tokens_->have(running_ + 1);
}

bool map_run::turn_is_over() {
  const auto now = clock::now();
  if (now < turn_ends_) return false;
  wake_at(now);
  return true;
}

unsigned map_run::slot_limit() { return std::max(1u, policy_->slots()); }

// Two pipes, a pidfd and two result files, and what a look at the job keeps open.
std::uint64_t map_run::descriptors_a_job() const noexcept {
  const std::uint64_t results = options_.results.empty() ? 0 : 2;
  const std::uint64_t looks = options_.jobs.what == parallelism::kind::automatic ? 4 : 0;
  return 3 + results + looks;
}

// Many slots need more than usual limits give. Jobs get the limit that we were given.
void map_run::allow_descriptors(std::uint64_t wanted) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || wanted <= limit.rlim_cur) return;
  const rlim_t given = std::exchange(limit.rlim_cur, std::min<rlim_t>(wanted, limit.rlim_max));
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) first_command_.descriptor_limit = given;
}

job_slot& map_run::idle_slot() {
  if (idle_.empty()) {
    slot_owner& self = *this;
    slots_.push_back(std::make_unique<job_slot>(loop_, store_, buffer_, self));
    slots_.back()->command = first_command_;
    idle_.push_back(slots_.back().get());
  }
  return *idle_.back();
}

bool map_run::take_job(job_slot& slot) {
  if (refused_) {
    slot.job.input = std::move(*refused_);
    slot.job.attempt = 1;
    refused_.reset();
    return true;
  }
  if (take_retry(slot)) return true;
  // Outputs that nobody takes must not fill the disk. What waits for the end of a job that is
  // already on its way, or for a slow reader, gets less without new jobs.
  return store_.on_disk() <= options_.spill_limit && take_input(slot);
}

bool map_run::take_retry(job_slot& slot) {
  if (retries_.empty()) return false;
  const auto first = retries_.begin();
  if (first->first > clock::now()) {
    wake_at(first->first);
    return false;
  }
  slot.job.input = std::move(first->second.input);
  slot.job.attempt = first->second.attempts + 1;
  retry_in_hand_ = std::move(first->second);
  retries_.erase(first);
  return true;
}

bool map_run::take_input(job_slot& slot) {
  if (input_ended_ || retries_.size() >= most_waiting_retries) return false;
  for (;;) {
    const input_state state = inputs_.next(slot.job.input);
    input_ended_ = state == input_state::end;
    if (state != input_state::ready) return false;
    if (!done_before_.done.contains(slot.job.input.sequence)) break;
    ++statistics_.skipped;
    if (ordered_) order_.finish(slot.job.input.sequence, slot.kept);
    if (turn_is_over()) return false;
  }
  slot.job.attempt = 1;
  return true;
}

void map_run::launch(job_slot& slot) {
  const job_input& input = slot.job.input;
  const auto has_nul = [](const std::string& value) { return value.find('\0') != value.npos; };
  if (std::any_of(input.values.begin(), input.values.end(), has_nul)) {
    fail_unstarted(slot, exit_cannot_execute,
                   "the input has a NUL byte, which no argument can hold (use -0 if inputs end "
                   "with NUL)");
    return;
  }
  template_.expand(input.values, input.sequence, slot.command.argv);
  if (options_.dry_run) {
    out_.write((options_.shell ? slot.command.argv.back() : readable_command(slot.command.argv)) +
               '\n');
    ++statistics_.jobs;
    return;
  }
  try {
    prepare_records(slot);
    statistics_.running.change(clock::now(), running_ + 1);
    slot.start(options_.ungroup, options_.timeout);
  } catch (const std::system_error& e) {
    statistics_.running.change(clock::now(), running_);
    on_refusal(slot, e);
    return;
  }
  refusals_ = 0;
  idle_.pop_back();
  ++running_;
  ++statistics_.attempts;
  if (retry_in_hand_) ++statistics_.retries;
  retry_in_hand_.reset();
  policy_->on_start(slot.pid());
  if (options_.delay.count() != 0) next_start_ = clock::now() + options_.delay;
}

// What is remembered about an attempt starts from nothing.
void map_run::prepare_records(job_slot& slot) {
  slot.job.received = 0;
  slot.job.output_lost = false;
  slot.job.at_line_start.fill(true);
  slot.job.started_at = std::chrono::system_clock::now();
  if (options_.tag) {
    slot.job.tag.clear();
    for (const std::string& value : slot.job.input.values) {
      if (!slot.job.tag.empty()) slot.job.tag += ' ';
      if (value.find_first_of("\n\t") != value.npos) {
        append_readable(slot.job.tag, value);
      } else {
        slot.job.tag += value;
      }
    }
    slot.job.tag += '\t';
  }
  if (results_) {
    slot.job.results = results_->open(slot.job.input.sequence, readable_command(slot.command.argv));
  }
}

// The job in the slot was not started. Whose fault is it?
void map_run::on_refusal(job_slot& slot, const std::system_error& error) {
  const int code = error.code().value();
  if (error.code().category() != std::generic_category()) throw error;
  if (is_refusal(code)) {
    // Ours or the machine's, for now: when a job ends there is room again, or when others leave.
    if (retry_in_hand_) {
      retry_in_hand_->input = std::move(slot.job.input);
      retries_.emplace(clock::now(), *std::exchange(retry_in_hand_, std::nullopt));
    } else {
      refused_ = std::move(slot.job.input);
    }
    wait_for_room_ = true;
    if (running_ != 0) return wake_at(clock::now() + 1s);
    if (++refusals_ == most_refusals) {
      throw run_error(fmt::format("cannot start any process: {}", std::strerror(code)));
    }
    wake_at(clock::now() + 50ms * (1u << refusals_));
  } else if (code == E2BIG) {
    std::size_t bytes = 0;
    for (const std::string& word : slot.command.argv) bytes += word.size() + 1;
    fail_unstarted(slot, exit_cannot_execute,
                   fmt::format("{} bytes of arguments are more than the system takes", bytes));
  } else if (is_about_program(code)) {
    const std::string& program = slot.command.argv.front();
    if (template_.fixed_program()) {
      give_up(why_not_run(program, code), phase::finishing);
    } else {
      fail_unstarted(slot, code == ENOENT ? exit_not_found : exit_cannot_execute,
                     why_not_run(program, code));
    }
  } else {
    throw error;
  }
}

void map_run::fail_unstarted(job_slot& slot, int exit_value, std::string_view why) {
  say(fmt::format("job {} failed: {}", slot.job.input.sequence, why));
  verdict v;
  v.what = outcome::failure;
  v.exit_value = exit_value;
  v.started = std::chrono::system_clock::now();
  template_.expand(slot.job.input.values, slot.job.input.sequence, slot.command.argv);
  conclude(slot.job.input, slot.command.argv, slot.kept, v);
  retry_in_hand_.reset();
  forget(slot.job.input);
  forget(slot.command.argv);
}

void map_run::wake_at(clock::time_point when) {
  if (!wake_.armed() || when < wake_time_) wake_.arm(wake_time_ = when);
}

void map_run::before_reap(job_slot& slot) noexcept { policy_->before_reap(slot.pid()); }

void map_run::on_job_end(job_slot& slot) noexcept {
  --running_;
  policy_->on_end(slot.pid(), slot.report());
  if (tokens_) tokens_->on_job_end(running_);
  wait_for_room_ = false;
  if (passing_ == &slot) passing_ = nullptr;
  try {
    end_attempt(slot);
  } catch (const std::exception& e) {
    give_up(e.what());
  }
  idle_.push_back(&slot);
  bury_orphans([this](pid_t pid) {
    return std::any_of(slots_.begin(), slots_.end(),
                       [pid](const auto& s) { return s->running() && s->pid() == pid; });
  });
  start_jobs();
}

void map_run::end_attempt(job_slot& slot) {
  const process::exit_report& report = slot.report();
  const auto runtime = report.ended - report.started;
  statistics_.running.change(clock::now(), running_);
  statistics_.attempt_microseconds.record(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(runtime).count()));
  statistics_.busy += runtime;
  statistics_.user += report.user;
  statistics_.system += report.system;

  if (results_) {
    try {
      results_->close(slot.job.input.sequence, slot.job.results);
    } catch (const run_error& e) {
      slot.job.output_lost = true;
      give_up(e.what());
    }
  }
  const verdict v = judge(slot);
  const bool again = v.what == outcome::failure && slot.job.attempt <= options_.retries &&
                     phase_ == phase::running;
  if (again) {
    schedule_retry(slot, v);
  } else {
    conclude(slot.job.input, slot.command.argv, slot.kept, v);
  }
  forget(slot.job.input);
  forget(slot.command.argv);
}

map_run::verdict map_run::judge(job_slot& slot) {
  const process::exit_report& report = slot.report();
  verdict v;
  v.exit_value = report.lost ? exit_trouble : report.status;
  v.signal = report.signal;
  v.received = slot.job.received;
  v.started = slot.job.started_at;
  v.runtime = report.ended - report.started;
  if (slot.timed_out()) {
    // As GNU parallel has it, whatever the job made of the signal.
    v.exit_value = -1;
    if (v.signal == 0) v.signal = SIGTERM;
    v.what = outcome::failure;
    ++statistics_.timeouts;
    say(fmt::format("job {} was stopped after its time limit: {}", slot.job.input.sequence,
                    shortened_command(slot.command.argv)));
  } else if (slot.job.output_lost) {
    v.exit_value = exit_trouble;
    v.what = outcome::failure;
  } else if (!report.success()) {
    v.what = slot.told_to_stop() ? outcome::stopped : outcome::failure;
    if (v.what == outcome::failure && report.signal != 0) {
      say(fmt::format("job {} was killed by signal {} ({}): {}", slot.job.input.sequence,
                      report.signal, ::strsignal(report.signal),
                      shortened_command(slot.command.argv)));
    }
  }
  return v;
}

void map_run::schedule_retry(job_slot& slot, const verdict& v) {
  const auto when = clock::now() + backoff_.pause(slot.job.attempt);
  spool_pair output{std::move(slot.kept[0]), std::move(slot.kept[1])};
  retries_.emplace(
      when, waiting_retry{std::move(slot.job.input), slot.job.attempt, v, std::move(output)});
}

void map_run::conclude(const job_input& input, const std::vector<std::string>& argv,
                       spool_pair& output, const verdict& v) {
  ++statistics_.jobs;
  switch (v.what) {
    case outcome::success:
      ++statistics_.succeeded;
      break;
    case outcome::failure:
      ++statistics_.failed;
      break;
    case outcome::stopped:
      ++statistics_.stopped;
      break;
  }
  log(input, argv, v);
  if (ordered_) {
    order_.finish(input.sequence, output);
  } else {
    out_.write(std::move(output[0]));
    err_.write(std::move(output[1]));
  }
  if (v.what == outcome::failure) check_halt();
}

void map_run::log(const job_input& input, const std::vector<std::string>& argv, const verdict& v) {
  if (!joblog_) return;
  try {
    joblog_->add({.sequence = input.sequence,
                  .started = v.started,
                  .runtime = v.runtime,
                  .received = v.received,
                  .exit_value = v.exit_value,
                  .signal = v.signal,
                  .command = argv,
                  .shell = options_.shell});
  } catch (const run_error& e) {
    // The job's output is still to be printed.
    joblog_.reset();
    give_up(e.what());
  }
}

}  // namespace heddle::tool
