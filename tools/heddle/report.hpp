// What a run did and what it cost.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include <heddle/base/histogram.hpp>

#include "sizing_log.hpp"

namespace heddle::tool {

// How many jobs ran at each time of a run of any length, in a bounded number of steps: when they
// are used up, neighbours are joined and each step stands for twice the time.
class concurrency_series {
 public:
  using clock = std::chrono::steady_clock;
  static constexpr std::size_t most_steps = 64;

  explicit concurrency_series(clock::time_point start) : last_(start) {}

  // From now on `running` jobs run.
  void change(clock::time_point now, unsigned running);

  std::chrono::nanoseconds step() const noexcept { return step_; }
  // Steps up to the last change; the last one may not be over.
  std::size_t size() const noexcept { return used_; }
  // Mean of the jobs that ran during a step.
  double mean(std::size_t index) const noexcept;
  // Mean over all the time.
  double mean() const noexcept;
  unsigned highest() const noexcept { return highest_; }

 private:
  void add(std::chrono::nanoseconds length);
  void halve();

  clock::time_point last_;
  std::chrono::nanoseconds step_ = std::chrono::milliseconds(10);
  std::chrono::nanoseconds filled_{};      // of the step in hand
  std::array<double, most_steps> area_{};  // job-nanoseconds
  std::size_t used_ = 0;
  unsigned running_ = 0;
  unsigned highest_ = 0;
};

struct run_statistics {
  explicit run_statistics(std::chrono::steady_clock::time_point now) : start(now), running(now) {}

  std::chrono::steady_clock::time_point start;
  std::uint64_t attempts = 0;  // processes started
  std::uint64_t jobs = 0;      // jobs that came to their end: succeeded, failed or stopped
  std::uint64_t succeeded = 0;
  std::uint64_t failed = 0;
  std::uint64_t stopped = 0;  // told to stop because the run was given up
  std::uint64_t retries = 0;
  std::uint64_t timeouts = 0;  // attempts
  std::uint64_t skipped = 0;   // done before, according to the joblog
  histogram attempt_microseconds;
  std::chrono::nanoseconds busy{};  // attempt times, added up
  std::chrono::microseconds user{};
  std::chrono::microseconds system{};
  concurrency_series running;
};

// "2 at first, 64 at last; 4 changes in 31 looks, 1.2 ms of CPU (0.02 % of the cores' time)", of a
// run that took so long.
std::string summary(const sizing_log& sizes, std::chrono::nanoseconds run);

// A few lines for a person. `sizes`: what -j auto decided, if it was asked.
std::string text_report(const run_statistics& s, std::chrono::steady_clock::time_point end,
                        const sizing_log* sizes = nullptr);
// One line, an object; docs/guide/map.md lists the keys.
std::string json_report(const run_statistics& s, std::chrono::steady_clock::time_point end,
                        const sizing_log* sizes = nullptr);

}  // namespace heddle::tool
