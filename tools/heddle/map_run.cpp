#include "map_run.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
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
constexpr std::chrono::milliseconds tick_interval{100};
constexpr int most_by_default = 1024;

std::string jobs_in_words(auto count) {
  return fmt::format("{} job{}", count, count == 1 ? "" : "s");
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
      say(done_before_.unreadable_lines == 1
              ? "the joblog has a line that cannot be read; its job is run again"
              : fmt::format("the joblog has {} lines that cannot be read; their jobs are run again",
                            done_before_.unreadable_lines));
    }
  }
  choose_policy();
  if (options.dry_run) return;
  if (!options.joblog.empty()) {
    joblog_.emplace(options.joblog, options.resume ? &done_before_ : nullptr, options.sync);
  }
  if (!options.results.empty()) results_.emplace(options.results);
  if (options.bar && err_.is_screen()) bar_.emplace(err_, out_, statistics_.start);
}

map_run::~map_run() = default;

// How many jobs at once, and whether others have a say in it.
void map_run::choose_policy() {
  const bool is_auto = options_.jobs.what == parallelism::kind::automatic;
  parallelism wanted = options_.jobs;
  const char* const flags = ::getenv("MAKEFLAGS");
  const auto offered = options_.dry_run || flags == nullptr ? std::nullopt : find_jobserver(flags);
  if (offered) first_command_.descriptors = usable_descriptors(*offered);
  if (offered && is_auto) {
    token_listener& self = *this;
    try {
      tokens_ = std::make_unique<jobserver_client>(loop_, *offered, self);
    } catch (const run_error& e) {
      say(fmt::format(
          "make's job slots cannot be shared ({}), so one job runs at a time; a + before "
          "the recipe's line shares them, -j N does without",
          e.what()));
      wanted = {.what = parallelism::kind::count, .value = 1};
    }
  }
  if (wanted.what == parallelism::kind::automatic) {
    const auto most = wanted.value == 0 ? most_by_default : static_cast<int>(wanted.value);
    sizing_listener& self = *this;
    auto policy = std::make_unique<adaptive_slots>(
        loop_, adaptive_slots::options{.most = most, .descriptors_a_job = descriptors_a_job()},
        self);
    adaptive_ = policy.get();
    policy_ = std::move(policy);
  } else {
    policy_ = make_plain_policy(wanted);
  }
  if (options_.explain && adaptive_ != nullptr) {
    const sizing::logged_choice& first = adaptive_->log().first.front();
    say(fmt::format("begins with {} at once: {}", jobs_in_words(first.after), first.reason));
  }
  if (options_.dry_run) return;
  if (options_.jobserver && !tokens_) make_jobserver(*options_.jobserver);
  allow_descriptors(64 + descriptors_a_job() * policy_->most());
}

void map_run::make_jobserver(jobserver_style style) {
  token_listener& self = *this;
  auto server = std::make_unique<jobserver>(loop_, style, self);
  server->resize(slot_limit());
  first_command_.environment.push_back("MAKEFLAGS=" + server->makeflags());
  first_command_.descriptors = server->descriptors();
  tokens_ = std::move(server);
}

int map_run::run() {
  signals_.emplace(loop_, static_cast<signal_listener&>(*this));
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
  if (tokens_ && tokens_->lost() != 0) {
    say(fmt::format("{} job token{} did not come back from the jobs and had to be replaced",
                    tokens_->lost(), tokens_->lost() == 1 ? "" : "s"));
  }
  const sizing_log* const sizes = adaptive_ != nullptr ? &adaptive_->log() : nullptr;
  if (options_.explain && sizes != nullptr && options_.report == report_form::none) {
    say(fmt::format("in all: {}", summary(*sizes, end - statistics_.start)));
  }
  if (options_.report == report_form::text) err_.write(text_report(statistics_, end, sizes));
  if (options_.report == report_form::json) err_.write(json_report(statistics_, end, sizes));
  if (err_.waiting() != 0) {
    loop_.restart();
    loop_.run();
  }
  tokens_.reset();
  signals_.reset();
  if (signal_ != 0) die_of(signal_);
  return exit_status();
}

int map_run::exit_status() const noexcept {
  if (trouble_) return exit_trouble;
  if (statistics_.failed > 100) return exit_more_than_100_failed;
  return static_cast<int>(statistics_.failed);
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
    if (store_.on_disk() > options_.spill_limit && &slot != eldest()) {
      slot.pause(which);
      held_back_ = true;
    }
    return;
  }
  sink& to = which == stream::output ? out_ : err_;
  to.write(bytes);
  if (to.waiting() > sink::high_mark) slot.pause(which);
}

// The running job that was first among the inputs.
job_slot* map_run::eldest() const noexcept {
  job_slot* found = nullptr;
  for (const auto& slot : slots_) {
    if (!slot->running()) continue;
    if (found == nullptr || slot->job.input.sequence < found->job.input.sequence)
      found = slot.get();
  }
  return found;
}

// Jobs that were made to wait because outputs take too much disk go on when there is room again,
// and the eldest of them in any case: others may have to wait for its end.
void map_run::let_go_on() noexcept {
  if (!held_back_) return;
  held_back_ = store_.on_disk() > options_.spill_limit;
  job_slot* const first = held_back_ ? eldest() : nullptr;
  for (const auto& slot : slots_) {
    if (!slot->running() || (held_back_ && slot.get() != first)) continue;
    slot->resume(stream::output);
    slot->resume(stream::error);
  }
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
  if (signals_seen_ > 2) {
    tokens_.reset();
    die_of(number);
  }
  // Ctrl-\ is for those who will not wait.
  const bool again = phase_ >= phase::stopping || number == SIGQUIT;
  if (running_ != 0 && !again) {
    say(fmt::format("{}: {} told to stop; once more to kill",
                    number == SIGINT ? "interrupted" : ::strsignal(number),
                    jobs_in_words(running_) + (running_ == 1 ? " is" : " are")));
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
  policy_->on_interruption();
}

void map_run::on_choice(const sizing::logged_choice& choice) noexcept {
  if (!options_.explain) return;
  try {
    say(fmt::format("{:.2f} s: {} at once instead of {}: {}",
                    std::chrono::duration<double>(choice.at).count(), jobs_in_words(choice.after),
                    choice.before, choice.reason));
  } catch (const std::exception&) {
    // Without memory it stays unsaid.
  }
}

void map_run::on_more_slots() noexcept { start_jobs(); }

void map_run::on_blindness() noexcept {
  say("the kernel does not tell how long jobs wait for a CPU, so auto goes by CPU time alone");
}

void map_run::on_token() noexcept { start_jobs(); }

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
