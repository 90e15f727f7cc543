#include "map_run.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <utility>

#include "failure.hpp"
#include "orphans.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

using namespace std::chrono_literals;

// With the outputs in memory at most this large, a run stays far below 64 MiB.
constexpr std::size_t output_memory = std::size_t{16} << 20;
constexpr std::size_t read_size = std::size_t{64} << 10;
constexpr std::size_t most_waiting_retries = 1024;
constexpr unsigned most_refusals = 5;
constexpr std::chrono::milliseconds tick_interval{100};
// Starting many jobs, printing many commands and skipping many inputs take turns with other events,
// so that signals are heard and outputs are read meanwhile.
constexpr std::chrono::milliseconds longest_turn{20};

constexpr int exit_cannot_execute = 126;
constexpr int exit_not_found = 127;

bool is_refusal(int error) {
  return error == EAGAIN || error == EMFILE || error == ENFILE || error == ENOMEM;
}

bool is_about_program(int error) {
  return error == ENOENT || error == EACCES || error == ENOEXEC || error == ENOTDIR ||
         error == ELOOP || error == EISDIR || error == EPERM || error == ENAMETOOLONG;
}

// "command not found: x", or why a file that is there does not run.
std::string why_not_run(const std::string& program, int error) {
  const bool is_path = program.find('/') != std::string::npos;
  if (error == ENOENT && !is_path) return fmt::format("command not found: {}", shortened(program));
  const bool there = error == ENOENT && ::access(program.c_str(), F_OK) == 0;
  return fmt::format("cannot run {}: {}", shortened(program),
                     there ? "its interpreter is missing" : std::strerror(error));
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

map_run::map_run(const map_options& options)
    : options_(options),
      // One job at a time ends in the order of the inputs anyway, and may print as it goes.
      ordered_(options.keep_order ||
               (options.jobs.what == parallelism::kind::count && options.jobs.value == 1)),
      store_(output_memory),
      out_(loop_, STDOUT_FILENO, store_, *this),
      err_(loop_, STDERR_FILENO, store_, *this),
      template_(options.command, options.sources(), options.shell),
      inputs_(loop_, options, *this),
      policy_(make_slot_policy(options.jobs)),
      statistics_(clock::now()),
      order_(out_, err_),
      backoff_(100ms, 30s, std::random_device{}()),
      wake_(
          loop_,
          [](void* self) noexcept {
            auto& me = *static_cast<map_run*>(self);
            me.wait_for_room_ = false;
            me.start_jobs();
          },
          this),
      tick_(
          loop_, [](void* self) noexcept { static_cast<map_run*>(self)->tick(); }, this),
      buffer_(read_size) {
  if (options.resume) {
    done_before_ = read_joblog(options.joblog, options.resume_failed);
    if (done_before_.unreadable_lines != 0) {
      say(fmt::format("the joblog has {} lines that cannot be read; their jobs are run again",
                      done_before_.unreadable_lines));
    }
  }
  if (options.dry_run) return;
  if (!options.joblog.empty()) {
    joblog_.emplace(options.joblog, options.resume ? &done_before_ : nullptr, options.sync);
  }
  if (!options.results.empty()) results_.emplace(options.results);
  if (options.bar && err_.is_screen()) bar_.emplace(err_, out_, statistics_.start);
}

map_run::~map_run() = default;

int map_run::run() {
  signals_.emplace(loop_, static_cast<signal_listener&>(*this));
  allow_descriptors(slot_limit());
  if (bar_) tick();
  start_jobs();
  loop_.run();

  const auto end = clock::now();
  statistics_.running.change(end, 0);
  if (bar_) bar_->finish(progress_now(), end);
  if (statistics_.jobs == 0 && statistics_.skipped == 0 && !trouble_ && signal_ == 0 &&
      !options_.dry_run) {
    say("no inputs, so nothing was run");
  }
  if (options_.report == report_form::text) err_.write(text_report(statistics_, end));
  if (options_.report == report_form::json) err_.write(json_report(statistics_, end));
  if (err_.waiting() != 0) {
    loop_.restart();
    loop_.run();
  }
  signals_.reset();
  if (signal_ != 0) die_of(signal_);
  return exit_status();
}

int map_run::exit_status() const noexcept {
  if (trouble_) return exit_trouble;
  if (statistics_.failed > 100) return exit_more_than_100_failed;
  return static_cast<int>(statistics_.failed);
}

void map_run::start_jobs() noexcept {
  turn_ends_ = clock::now() + longest_turn;
  try {
    while (may_start()) {
      job_slot& slot = idle_slot();
      if (!take_job(slot)) break;
      launch(slot);
      if (!wait_for_room_ && turn_is_over()) break;
    }
    find_passing();
  } catch (const std::exception& e) {
    give_up(e.what());
  }
  finish_if_done();
}

bool map_run::may_start() {
  if (phase_ != phase::running || wait_for_room_ || running_ >= slot_limit()) return false;
  if (options_.dry_run && out_.waiting() > sink::high_mark) return false;
  if (options_.delay.count() != 0 && clock::now() < next_start_) {
    wake_at(next_start_);
    return false;
  }
  return true;
}

bool map_run::turn_is_over() {
  const auto now = clock::now();
  if (now < turn_ends_) return false;
  wake_at(now);
  return true;
}

unsigned map_run::slot_limit() { return std::max(1u, policy_->slots(statistics_)); }

// Many slots need more descriptors than usual limits give: two pipes, a pidfd, two result files.
// Jobs get the limit that we were given.
void map_run::allow_descriptors(unsigned slots) noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t wanted = 64 + rlim_t{slots} * (options_.results.empty() ? 3 : 5);
  if (wanted <= limit.rlim_cur) return;
  const rlim_t given = std::exchange(limit.rlim_cur, std::min(wanted, limit.rlim_max));
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0) jobs_descriptor_limit_ = given;
}

job_slot& map_run::idle_slot() {
  if (idle_.empty()) {
    slot_owner& self = *this;
    slots_.push_back(std::make_unique<job_slot>(loop_, store_, buffer_, self));
    slots_.back()->command.descriptor_limit = jobs_descriptor_limit_;
    idle_.push_back(slots_.back().get());
  }
  return *idle_.back();
}

bool map_run::take_job(job_slot& slot) {
  if (refused_) {
    slot.job.input = std::move(*refused_);
    slot.job.attempt = refused_attempt_;
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
  retries_.erase(first);
  ++statistics_.retries;
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
    // Ours or the machine's, for now: when a job ends there is room again.
    refused_ = std::move(slot.job.input);
    refused_attempt_ = slot.job.attempt;
    wait_for_room_ = true;
    if (running_ != 0) return;
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
  forget(slot.job.input);
  forget(slot.command.argv);
}

void map_run::wake_at(clock::time_point when) {
  if (!wake_.armed() || when < wake_time_) wake_.arm(wake_time_ = when);
}

void map_run::on_job_end(job_slot& slot) noexcept {
  --running_;
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

void map_run::check_halt() {
  if (options_.halt == halt_form::never || phase_ != phase::running ||
      statistics_.failed < options_.halt_failures) {
    return;
  }
  const bool now = options_.halt == halt_form::now;
  say(fmt::format(
      "{} failed, so no more jobs are started{}",
      statistics_.failed == 1 ? "a job has" : fmt::format("{} jobs have", statistics_.failed),
      now && running_ != 0 ? " and the running ones are stopped" : ""));
  enter(now ? phase::stopping : phase::finishing, true);
}

void map_run::enter(phase next, bool escalate) {
  if (next <= phase_) return;
  phase_ = next;
  refused_.reset();
  wake_.disarm();
  abandon_retries();
  if (next < phase::stopping) return;
  for (const auto& slot : slots_) {
    next == phase::killing ? slot->kill() : slot->stop(escalate);
  }
}

// Jobs that waited for another attempt do not get it: their last one counts.
void map_run::abandon_retries() {
  auto abandoned = std::exchange(retries_, {});
  std::vector<std::string> argv;
  for (auto& [when, retry] : abandoned) {
    try {
      template_.expand(retry.input.values, retry.input.sequence, argv);
      conclude(retry.input, argv, retry.output, retry.last);
    } catch (const std::exception& e) {
      give_up(e.what());  // the others are logged, and running jobs stopped, all the same
    }
  }
}

void map_run::give_up(std::string_view why, phase next) noexcept {
  // What goes wrong afterwards is most often a consequence.
  if (!std::exchange(trouble_, true)) say(why);
  try {
    enter(next, true);
  } catch (const std::exception&) {
    phase_ = std::max(phase_, next);
  }
}

void map_run::finish_if_done() noexcept {
  if (running_ != 0) return;
  const bool more = phase_ == phase::running && (!input_ended_ || !retries_.empty() || refused_);
  if (more) return;
  try {
    order_.flush();
  } catch (const std::exception& e) {
    give_up(e.what());
  }
  if (phase_ == phase::killing || (out_.waiting() == 0 && err_.waiting() == 0)) loop_.stop();
}

void map_run::on_output(job_slot& slot, stream which, std::string_view bytes) noexcept {
  if (which == stream::output) slot.job.received += bytes.size();
  try {
    if (results_) results_->write(slot.job.input.sequence, which, slot.job.results, bytes);
    pass_or_keep(slot, which, bytes);
  } catch (const std::exception& e) {
    slot.job.output_lost = true;
    give_up(e.what());
  }
}

void map_run::pass_or_keep(job_slot& slot, stream which, std::string_view bytes) {
  const auto i = static_cast<std::size_t>(which);
  if (options_.tag) {
    tagged_.clear();
    append_tagged(tagged_, bytes, slot.job.tag, slot.job.at_line_start[i]);
    bytes = tagged_;
  }
  if (passing_ != &slot) {
    slot.kept[i].append(bytes);
    return;
  }
  sink& to = which == stream::output ? out_ : err_;
  to.write(bytes);
  if (to.waiting() > sink::high_mark) slot.pause(which);
}

// Whether the job's output can go straight on: nothing else will be printed before its end, and
// it will not be taken back.
bool map_run::may_pass(const job_slot& slot) const {
  if (!slot.running() || slot.job.attempt <= options_.retries) return false;
  if (ordered_) return slot.job.input.sequence == order_.head();
  return running_ == 1 && input_ended_ && retries_.empty() && !refused_;
}

void map_run::find_passing() {
  if (passing_ != nullptr || options_.ungroup) return;
  if (!ordered_ && !(running_ == 1 && input_ended_)) return;
  for (const auto& slot : slots_) {
    if (may_pass(*slot)) return let_pass(*slot);
  }
}

void map_run::let_pass(job_slot& slot) {
  passing_ = &slot;
  out_.write(std::move(slot.kept[0]));
  err_.write(std::move(slot.kept[1]));
}

void map_run::before_screen_output(sink&) noexcept {
  if (bar_) bar_->hide();
}

void map_run::on_drained(sink& s) noexcept {
  if (passing_ != nullptr) passing_->resume(&s == &out_ ? stream::output : stream::error);
  start_jobs();
}

void map_run::on_write_failed(sink& s, int error) noexcept {
  const bool is_output = &s == &out_;
  if (is_output) {
    give_up(fmt::format("cannot write to standard output: {}", std::strerror(error)));
  } else {
    give_up("");  // there is nowhere to say it
  }
  if (passing_ != nullptr) passing_->resume(is_output ? stream::output : stream::error);
  finish_if_done();
}

void map_run::say(std::string_view message) noexcept {
  try {
    if (!err_.at_line_start()) err_.write("\n");
    err_.write(fmt::format("heddle map: {}\n", message));
  } catch (const std::exception&) {
    // The disk is full of messages that nobody reads.
  }
}

void map_run::on_input() noexcept { start_jobs(); }

void map_run::on_signal(int number) noexcept {
  if (number == SIGWINCH) {
    if (bar_) bar_->draw(progress_now(), clock::now());
    return;
  }
  if (number == SIGTSTP) return pause_with_terminal();
  ++signals_seen_;
  if (signal_ == 0) signal_ = number;
  if (signals_seen_ > 2) die_of(number);
  // Ctrl-\ is for those who will not wait.
  const bool again = phase_ >= phase::stopping || number == SIGQUIT;
  if (running_ != 0 && !again) {
    say(fmt::format("{}: {} told to stop; once more to kill",
                    number == SIGINT ? "interrupted" : ::strsignal(number),
                    running_ == 1 ? "1 job is" : fmt::format("{} jobs are", running_)));
  }
  try {
    enter(again ? phase::killing : phase::stopping, false);
  } catch (const std::exception& e) {
    give_up(e.what());
  }
  finish_if_done();
}

// Ctrl-Z reaches only our own process group; jobs have groups of their own.
void map_run::pause_with_terminal() noexcept {
  if (bar_) bar_->hide();
  for (const auto& slot : slots_) slot->suspend();
  const auto since = clock::now();
  stop_with_terminal();
  for (const auto& slot : slots_) slot->proceed(clock::now() - since);
}

void map_run::tick() noexcept {
  try {
    const auto now = clock::now();
    bar_->draw(progress_now(), now);
    tick_.arm(now + tick_interval);
  } catch (const std::exception&) {
    tick_.disarm();  // the bar stops; the run does not
  }
}

progress map_run::progress_now() const {
  return {.done = statistics_.jobs + statistics_.skipped,
          .ended = statistics_.jobs,
          .failed = statistics_.failed,
          .running = running_,
          .expected = inputs_.expected()};
}

}  // namespace heddle::tool
