// What was measured of a workload at different sizes.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/sizing/statistics.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

// One measurement: `size` workers (threads or processes) ended so many tasks in so long a time.
// What could not be measured is left out.
struct measurement {
  int size = 1;
  std::uint64_t tasks = 0;
  std::chrono::nanoseconds elapsed{};                  // by the clock, from beginning to end
  std::optional<std::chrono::nanoseconds> in_tasks{};  // by the clock, of all tasks together
  std::optional<std::chrono::nanoseconds> cpu{};       // CPU time of all tasks together
  // Not on a CPU, though they could have been, of all tasks together.
  std::optional<std::chrono::nanoseconds> runnable{};
  std::optional<std::uint64_t> voluntary_switches{};  // times that they went to sleep

  // Tasks a second.
  double throughput() const noexcept {
    return static_cast<double>(tasks) / std::chrono::duration<double>(elapsed).count();
  }
};

// All measurements of one size. Times are in seconds a task, means over the measurements.
struct size_summary {
  int size = 1;
  int repetitions = 0;
  std::uint64_t tasks = 0;            // in all repetitions
  double elapsed = 0;                 // seconds a repetition took
  estimate throughput{};              // tasks a second
  std::optional<double> residence{};  // from a task's beginning to its end
  std::optional<double> cpu{};
  std::optional<double> runnable{};  // kept waiting for a CPU
  std::optional<double> switches{};  // a task's voluntary context switches

  // Tasks of all repetitions by their time together. The mean of the throughputs weighs a slow
  // repetition like a fast one, so it is a little higher.
  double overall_throughput() const noexcept {
    return static_cast<double>(tasks) / (elapsed * repetitions);
  }
  // Workers inside a task, on the average (Little's law); CPUs in use.
  std::optional<double> busy() const noexcept {
    if (!residence) return std::nullopt;
    return overall_throughput() * *residence;
  }
  std::optional<double> cpus() const noexcept {
    if (!cpu) return std::nullopt;
    return overall_throughput() * *cpu;
  }
  // Inside a task, but not on a CPU, and not known to wait for one. Unknown, too, where the waits
  // for a CPU do not fit into the tasks: some lay outside of them.
  std::optional<double> asleep() const noexcept {
    if (!residence || !cpu) return std::nullopt;
    const double awake = *cpu + runnable.value_or(0);
    constexpr double clearly = 1.05;
    if (*cpu <= *residence && awake > clearly * *residence) return std::nullopt;
    return *residence > awake ? *residence - awake : 0;
  }
};

// One for each size, rising; a value of theirs is unknown unless all measurements of the size have
// it. Throws std::invalid_argument, naming the value, for a size below 1, no tasks, or a time that
// is not above 0 (`elapsed`) or is negative (the others).
HEDDLE_API std::vector<size_summary> summarize(std::span<const measurement> measurements);

}  // namespace heddle::inline HEDDLE_ABI::sizing
