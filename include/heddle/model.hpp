// The interleaving checker: runs a small concurrent program in every order that matters.
// The guide is docs/guide/model-checking.md; what is modelled, docs/protocols/checker.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <string_view>

#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model {

enum class search {
  exhaustive,  // depth first, everything within the bounds
  random,      // each choice by a seeded random number
  pct,         // random priorities with few changes (Burckhardt et al., "A randomized scheduler
               // with probabilistic guarantees of finding bugs", ASPLOS 2010)
};

inline constexpr unsigned unlimited = ~0u;

// How a body is explored. What lies beyond a bound is not looked at; a result says which bounds it
// holds for. The random searches know no bound on preemptions.
struct options {
  std::string name{};  // of the exploration, for reports and replay
  search method = search::exhaustive;

  // At most so many times in an execution
  unsigned preemptions = 2;          // a thread that could go on is made to wait
  unsigned stale_reads = 2;          // a load reads, or a store goes before, a store not the newest
  unsigned spurious_failures = 1;    // a weak exchange, try_lock or condition wait ends for nothing
  unsigned timeouts = 1;             // a timed wait ends though others could run
  unsigned allocation_failures = 0;  // prim::allocate throws, or no thread can be started

  unsigned steps = 5000;  // of one execution; more of them are called a livelock; at most 20000

  std::uint64_t executions = ~std::uint64_t{0};  // stop after so many
  std::chrono::nanoseconds time_limit{0};        // stop after so long; 0: never
  std::uint64_t seed = 1;                        // of the random searches
  unsigned pct_depth = 3;                        // ordering constraints that a bug needs
  bool detect_leaks = true;
  // The body is given up when so much time passes between two operations.
  std::chrono::nanoseconds stall_limit = std::chrono::seconds(20);
};

struct result {
  bool failed = false;
  bool complete = false;  // everything within the bounds was explored
  std::string message;    // what failed
  std::string trail;      // the choices that lead there
  std::string log;        // what each thread did in that execution
  std::uint64_t executions = 0;
  std::uint64_t steps = 0;
  std::chrono::nanoseconds elapsed{0};
  options bounds;

  // All of it for people: outcome, bounds, and for a failure how to replay it, and the log.
  std::string describe() const;
};

// Runs the body again and again, as thread 0, each time with other choices, until one execution
// fails, everything within the bounds is explored, or a limit is reached.
//
// The body starts further threads with heddle::prim::thread and shares memory through heddle::prim
// alone. Each run must do the same when it is given the same choices: no time, no randomness, no
// address may decide anything, and everything shared is made inside the body. The execution ends
// when every thread has ended.
//
// When the environment variable HEDDLE_MODEL_REPLAY holds a failure's trail, the exploration of
// that name runs just that execution and writes its log to stderr.
//
// Requires: not called inside of a body, and by one thread of the process at a time.
// Throws std::invalid_argument for options that make no sense, std::bad_alloc, std::system_error.
// A body that blocks outside of the seam ends the process, with a message.
HEDDLE_API result explore(const options& o, const std::function<void()>& body);

// For bodies.

// Ends the execution as failed, unless the condition holds.
HEDDLE_API void check(bool condition, std::string_view message = "",
                      std::source_location w = std::source_location::current());
[[noreturn]] HEDDLE_API void fail(std::string_view message,
                                  std::source_location w = std::source_location::current());

// A number below `alternatives`, every one of them in turn: an input, a user's decision.
HEDDLE_API unsigned choose(unsigned alternatives,
                           std::source_location w = std::source_location::current());

// A line in the log of a failing execution.
HEDDLE_API void note(std::string_view text);

// A moment in the body, for oracles that ask what happened before what.
class moment {
 public:
  moment() = default;
  HEDDLE_API static moment now() noexcept;
  // Whether happens-before orders this moment before the other.
  HEDDLE_API bool happens_before(const moment& other) const noexcept;

 private:
  short clock_[16] = {};
  unsigned thread_ = 0;
};

}  // namespace heddle::inline HEDDLE_ABI::model
