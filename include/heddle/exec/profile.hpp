// Measures how a callable scales with the size of a thread pool, and which size suits it.
#pragma once

#include <chrono>
#include <concepts>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/base/hook.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sizing/profile_report.hpp>

namespace heddle::inline HEDDLE_ABI {

// Where a profile stands. Told before each measurement.
struct profile_progress {
  int size = 0;                        // measured next; 0: the adaptive pool
  int measured = 0;                    // measurements done
  int expected = 0;                    // in all, as far as is known now
  std::chrono::nanoseconds elapsed{};  // since the profile began
};

struct profile_options {
  std::string name = "a callable";  // for the report's heading

  // Sizes to measure, in any order. None: the search of sizing::size_search finds them, from 1 to
  // `most`.
  std::vector<int> sizes{};
  int most = 1024;

  // See sizing::search_options.
  double precision = 0.02;
  double tolerance = 0.03;
  int min_repetitions = 3;
  int max_repetitions = 10;

  // A measurement lasts so long, or two task times if these are longer. Of tasks of half a second
  // or more each worker runs one, and sizes are measured twice at most, from five seconds on once;
  // the report says so.
  std::chrono::nanoseconds measurement = std::chrono::milliseconds(100);

  // No measurement begins that would end later, as far as the others let one expect; so the last
  // one may end somewhat later. There is always one.
  std::chrono::nanoseconds time_limit = std::chrono::seconds(60);
  prim::stop_token stop{};

  // Whether a pool with sizing::adaptive runs the callable, too, for comparison.
  bool with_adaptive = true;

  // Called on the thread that called profile(). Its exceptions end the profile.
  hook<const profile_progress&> on_progress{};
};

namespace detail {

// The callable, without its type.
struct profiled_task {
  void* callable;
  void (*call)(void* callable, const prim::stop_token& stop);
};

HEDDLE_API sizing::profile_report run_profile(profiled_task task, profile_options options);

}  // namespace detail

// Runs f(), or f(stop_token) if it takes one, again and again, as tasks of thread pools of
// different sizes, each measurement in a pool of its own that has warmed up, and reports how
// throughput, CPU time, sleep and switches depend on the size, what limits them, and which size to
// use.
//
// Requires: nothing else in the process computes meanwhile, since CPU time and switches are those
// of the whole process. f is shared by all workers and called concurrently.
// Effects: those of f, some thousand times if it is short; for half a second and more for each
// size. Of a task below a microsecond, what the pool costs is measured rather than the task.
// The report is not `complete`, and tells why, when the time was up or a stop was requested. Tasks
// that run when a stop is requested are waited for, their stop_tokens tripped. A size for which the
// system has no threads is left out, with a remark.
// Blocks; on a worker of a pool, a spare stands in. Throws the first exception of f, when the tasks
// that run have ended (their stop_tokens are tripped, too); std::invalid_argument, naming the
// value, for a null callable, and for sizes and other options out of range; what the hook throws.
template <class F>
  requires std::invocable<std::remove_reference_t<F>&> ||
           std::invocable<std::remove_reference_t<F>&, prim::stop_token>
sizing::profile_report profile(F&& f, profile_options options = {}) {
  using callable = std::remove_reference_t<F>;
  const auto call = [](void* c, [[maybe_unused]] const prim::stop_token& stop) {
    callable& function = **static_cast<callable**>(c);
    if constexpr (std::invocable<callable&, prim::stop_token>) {
      static_cast<void>(detail::invoke(function, stop));
    } else {
      static_cast<void>(detail::invoke(function));
    }
  };
  detail::require_callable(f, "profile");
  callable* target = std::addressof(f);
  return detail::run_profile({&target, call}, std::move(options));
}

// The same at these sizes.
template <class F>
sizing::profile_report profile(F&& f, std::vector<int> sizes) {
  profile_options options;
  options.sizes = std::move(sizes);
  return heddle::profile(std::forward<F>(f), std::move(options));
}
template <class F>
sizing::profile_report profile(F&& f, std::initializer_list<int> sizes) {
  return heddle::profile(std::forward<F>(f), std::vector<int>(sizes));
}

}  // namespace heddle::inline HEDDLE_ABI
