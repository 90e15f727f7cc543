// Built-in work, and threads as the place where it is measured.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <vector>

#include <heddle/sizing/profile_report.hpp>

#include "profile_batch.hpp"
#include "profile_options.hpp"
#include "profile_stage.hpp"

namespace heddle::tool {

// A task of built-in work. Any number of threads may call it at once.
class builtin_task {
 public:
  // `steps` of computing take a millisecond; 0: that is found out first, in some 30 ms.
  // Throws run_error when there is not enough memory.
  explicit builtin_task(builtin_work what, std::uint64_t steps = 0);

  void operator()();

  std::uint64_t steps_per_millisecond() const noexcept { return steps_; }

 private:
  void compute(double milliseconds) const noexcept;
  void read_memory() noexcept;

  const builtin_work what_;
  std::uint64_t steps_;
  std::mutex shared_;                  // of the work that wants a lock
  std::vector<std::uint64_t> memory_;  // of the work that reads memory
};

// What a task of this work does, in a few words.
std::string_view describe(builtin_work what) noexcept;

// How the kernel scales, as heddle::profile() finds out. Its figures may be incomplete when a
// signal came. Throws run_error, std::system_error.
sizing::profile_report profile_kernel(profile_stage& stage, const profile_options& options,
                                      int most);

// So many threads of a pool at once, for about so long. Not complete when it was interrupted.
batch run_on_threads(profile_stage& stage, builtin_task& task, int size,
                     std::chrono::nanoseconds length);

// The same without a pool: one task after the other on one thread.
batch run_sequentially(profile_stage& stage, builtin_task& task, std::chrono::nanoseconds length);

}  // namespace heddle::tool
