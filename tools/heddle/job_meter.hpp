// What running jobs do with their time: on a CPU, waiting for one, or asleep.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <unordered_map>

#include <heddle/kernel/process_sampler.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/process/child.hpp>

namespace heddle::tool {

// Added up since the meter was made.
struct job_times {
  std::chrono::nanoseconds busy{};       // jobs running, each counted
  std::chrono::nanoseconds computing{};  // of jobs, all they started, and heddle itself
  std::chrono::nanoseconds runnable{};   // ready, while others had the CPU
  // Of both, what jobs did beyond being awake all the time: several threads of one job at once.
  std::chrono::nanoseconds excess{};
  bool knows_runnable = true;
  int jobs = 0;     // at the moment
  int threads = 0;  // of them
};

// CPU time is exact: living processes are sampled, and how much a process has used in all is known
// when it has ended. Time spent waiting for a CPU is known of what was sampled, and of some of the
// jobs that came and went between two samples; the others are taken to have waited as much.
class job_meter {
 public:
  using clock = std::chrono::steady_clock;

  explicit job_meter(clock::time_point now, const kernel::tree& files = {});

  void on_start(clock::time_point now, pid_t job);
  // Whether before_reap() would look at the job: the first few after a read().
  bool wants_look(pid_t job) const noexcept;
  // Costs a few µs if it looks.
  void before_reap(pid_t job) noexcept;
  void on_end(clock::time_point now, pid_t job, const process::exit_report& report) noexcept;

  // Samples every job. Some 10 to 20 µs for each.
  job_times read(clock::time_point now);

  // False where the kernel does not tell how long processes wait for a CPU.
  bool knows_waiting() const noexcept { return sampler_.knows_waiting(); }

 private:
  struct running_job {
    clock::time_point seen;  // sampled last, or started
    bool sampled = false;
    bool examined = false;  // just before its end
    std::chrono::nanoseconds waited{};
    kernel::child_times counted{};         // by the last sample
    std::chrono::nanoseconds unclaimed{};  // time of its own that it was not seen awake in
  };

  void pass_time(clock::time_point now) noexcept;
  void claim(running_job& job, std::chrono::nanoseconds passed,
             std::chrono::nanoseconds awake) noexcept;

  kernel::tree files_;
  kernel::process_sampler sampler_;
  std::unordered_map<pid_t, running_job> jobs_;
  job_times totals_;
  clock::time_point last_;
  std::chrono::nanoseconds short_jobs_{};       // CPU time of jobs that were never sampled
  std::chrono::nanoseconds sampled_waiting_{};  // by the last sample
  unsigned examinations_left_;

  // Since the last read().
  std::chrono::nanoseconds observed_{};    // running time of jobs whose waiting is known ...
  std::chrono::nanoseconds waited_{};      // ... that waiting, as far as it was not sampled ...
  std::chrono::nanoseconds unobserved_{};  // ... and running time of which it is not
};

}  // namespace heddle::tool
