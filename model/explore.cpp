// The searches, and what they tell.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <heddle/model.hpp>

#include "engine.hpp"
#include "trail.hpp"
#include "watchdog.hpp"

namespace heddle::inline HEDDLE_ABI::model {
namespace {

using detail::engine;
using steady = std::chrono::steady_clock;

void check_options(const options& o) {
  if (o.steps == 0 || o.steps > 20000) {
    throw std::invalid_argument("model::options::steps " + std::to_string(o.steps) +
                                ": from 1 to 20000");
  }
  if (o.executions == 0) throw std::invalid_argument("model::options::executions 0");
  if (o.stall_limit.count() <= 0 || o.time_limit.count() < 0) {
    throw std::invalid_argument("model::options: a limit of time that is not positive");
  }
  if (o.method != search::exhaustive && o.executions == options().executions &&
      o.time_limit.count() == 0) {
    throw std::invalid_argument(
        "model::options: a random search needs a limit of executions or of time");
  }
  if (o.pct_depth == 0 || o.pct_depth > 16) {
    throw std::invalid_argument("model::options::pct_depth " + std::to_string(o.pct_depth) +
                                ": from 1 to 16");
  }
}

// The next trail in depth-first order: the last choice that has an alternative takes it.
bool advance(engine& e) noexcept {
  while (!e.trail.empty()) {
    detail::choice& last = e.trail.back();
    if (last.chosen + 1 < last.allowed) {
      ++last.chosen;
      e.follow = e.trail.size();
      return true;
    }
    e.trail.pop_back();
  }
  e.follow = 0;
  return false;
}

// The last lines of a long log.
std::string shortened(std::string log) {
  constexpr std::size_t most_lines = 200;
  std::size_t lines = 0;
  for (std::size_t i = log.size(); i-- > 0;) {
    if (log[i] == '\n' && ++lines == most_lines + 1) return "  ...\n" + log.substr(i + 1);
  }
  return log;
}

// Runs the trail alone, with a log. False when it did not fail.
bool replay(engine& e, const detail::deviations& trail) {
  e.replay = &trail;
  e.randomly = e.by_priority = false;
  e.follow = 0;
  e.logging = true;
  const bool failed = !e.run();
  e.logging = false;
  e.replay = nullptr;
  return failed;
}

void report_failure(engine& e, result& r) {
  r.failed = true;
  r.message = e.message;
  r.trail = detail::trail_text(e);
  const bool again = replay(e, detail::deviations_in_trail(r.trail));
  r.log = shortened(e.log_text);
  if (!again || e.message != r.message) {
    r.message += "\nThe body is not deterministic: run again with the same choices, ";
    r.message += again ? "it failed otherwise: " + e.message : std::string("it did not fail.");
  }
}

const char* replay_request(const options& o) {
  const char* const text = std::getenv("HEDDLE_MODEL_REPLAY");
  return text != nullptr && detail::name_in_trail(text) == o.name ? text : nullptr;
}

// Runs executions until one fails (false), a limit is reached (false) or, in depth-first order, all
// within the engine's bound of preemptions have run.
bool run_all(engine& e, const options& o, result& r, steady::time_point begun) {
  for (;;) {
    const bool passed = e.run();
    ++r.executions;
    r.steps += e.steps;
    if (!passed) {
      report_failure(e, r);
      return false;
    }
    if (e.randomly) {
      if (e.steps > e.switches_expected) e.switches_expected = static_cast<unsigned>(e.steps);
      e.follow = 0;
    } else if (!advance(e)) {
      return true;
    }
    if (r.executions == o.executions) return false;
    if (o.time_limit.count() != 0 && r.executions % 256 == 0 &&
        steady::now() - begun >= o.time_limit) {
      return false;
    }
  }
}

void search_executions(engine& e, const options& o, result& r, steady::time_point begun) {
  e.randomly = o.method != search::exhaustive;
  e.by_priority = o.method == search::pct;
  if (e.randomly) {
    run_all(e, o, r, begun);
    return;
  }
  // First with few preemptions: that costs little beside the rest, and a failure that needs fewer
  // of them is found sooner and understood sooner.
  for (unsigned bound = 0;; bound = bound < 2 ? bound + 1 : o.preemptions) {
    e.preemption_bound = std::min(bound, o.preemptions);
    e.preemption_refused = false;
    if (!run_all(e, o, r, begun)) return;
    if (!e.preemption_refused || e.preemption_bound == o.preemptions) break;
  }
  r.complete = true;
}

std::string bound_text(unsigned n, const char* what) {
  return (n == unlimited ? std::string("any number of") : std::to_string(n)) + " " + what;
}

}  // namespace

result explore(const options& o, const std::function<void()>& body) {
  check_options(o);
  if (detail::current != nullptr) {
    throw std::logic_error("model::explore inside of an exploration");
  }
  result r;
  r.bounds = o;
  const auto begun = steady::now();
  detail::fiber::adopt_this_thread();
  engine e(r.bounds, body);
  const detail::crash_report crashes;
  const detail::watchdog guard(e, o.stall_limit);
  if (const char* const text = replay_request(o)) {
    const auto trail = detail::deviations_in_trail(text);
    r.failed = replay(e, trail);
    r.message = r.failed ? e.message : "this trail does not fail";
    r.trail = text;
    std::fprintf(stderr, "%s%s\n", e.log_text.c_str(), r.message.c_str());
    r.log = shortened(e.log_text);
    r.executions = 1;
    r.steps = e.steps;
  } else {
    search_executions(e, o, r, begun);
  }
  r.elapsed = steady::now() - begun;
  return r;
}

std::string result::describe() const {
  std::string text = bounds.name.empty() ? std::string("model") : bounds.name;
  const double seconds = std::chrono::duration<double>(elapsed).count();
  char numbers[100];
  std::snprintf(numbers, sizeof numbers, "%llu executions, %llu operations, %.3f s",
                static_cast<unsigned long long>(executions), static_cast<unsigned long long>(steps),
                seconds);
  if (failed) {
    text += ": FAILED after " + std::string(numbers) + "\n" + message +
            "\nTo see it again: HEDDLE_MODEL_REPLAY='" + trail + "'\n" + log;
    return text;
  }
  text += ": passed " + std::string(numbers) + "\n";
  if (bounds.method == search::exhaustive) {
    text += complete ? "everything with at most " : "not finished; with at most ";
    text += bound_text(bounds.preemptions, "preemptions, ");
  } else {
    text += bounds.method == search::pct
                ? "random priorities of depth " + std::to_string(bounds.pct_depth)
                : std::string("random choices");
    text += ", seed " + std::to_string(bounds.seed) + ", with at most ";
  }
  text += bound_text(bounds.stale_reads, "stale reads, ");
  text += bound_text(bounds.spurious_failures, "spurious failures, ");
  text += bound_text(bounds.timeouts, "timeouts, ");
  text += bound_text(bounds.allocation_failures, "allocation failures\n");
  return text;
}

// For bodies.

void check(bool condition, std::string_view message, std::source_location w) {
  if (!condition) {
    detail::misuse(
        message.empty() ? std::string("check failed") : "check failed: " + std::string(message), w);
  }
}

void fail(std::string_view message, std::source_location w) { detail::misuse(message, w); }

unsigned choose(unsigned alternatives, std::source_location w) {
  if (alternatives == 0 || alternatives > 255) {
    detail::misuse("model::choose among " + std::to_string(alternatives) + ": from 1 to 255", w);
  }
  if (!detail::executing) throw std::logic_error("model::choose outside of an execution");
  detail::engine& e = *detail::current;
  e.threads[e.self].last = w;
  const unsigned chosen = e.choose(detail::choice_kind::user, alternatives, alternatives);
  if (e.logging) e.log("chooses " + std::to_string(chosen));
  return chosen;
}

void note(std::string_view text) {
  if (detail::executing && detail::current->logging) detail::current->log(std::string(text));
}

moment moment::now() noexcept {
  moment m;
  if (!detail::executing) return m;
  detail::engine& e = *detail::current;
  const detail::lanes clock = e.threads[e.self].now.happened;
  std::memcpy(m.clock_, &clock, sizeof clock);
  m.thread_ = e.self;
  e.end_operation();
  return m;
}

bool moment::happens_before(const moment& other) const noexcept {
  return clock_[thread_] < other.clock_[thread_] ||
         (thread_ != other.thread_ && clock_[thread_] == other.clock_[thread_]);
}

}  // namespace heddle::inline HEDDLE_ABI::model
