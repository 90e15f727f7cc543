// Several tasks with one deadline.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include <heddle/future/future.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// What became of each task of thread_pool::run_all, and in sum.
template <class T>
struct batch_report {
  // One a task, in the order of the tasks. Ready, but for those that still ran at the deadline.
  std::vector<future<T>> results;

  std::size_t done = 0;       // with a value
  std::size_t failed = 0;     // with an exception
  std::size_t cancelled = 0;  // never begun
  std::size_t running = 0;    // begun, asked to stop, and not ended when the report was made
  std::chrono::nanoseconds total_time{};

  std::size_t size() const noexcept { return results.size(); }
  // Of all tasks; 1 when there are none.
  double success_rate() const noexcept {
    return results.empty() ? 1.0 : static_cast<double>(done) / static_cast<double>(results.size());
  }
};

}  // namespace heddle::inline HEDDLE_ABI
