// What one thread of this process has done with its time, asked again and again.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>

#include <heddle/kernel/held_file.hpp>
#include <heddle/kernel/schedstat.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Reads a schedstat whose `running` is exact at the moment of the call, whatever the scheduler's
// tick: it comes from the thread's CPU clock. `waiting` and `slices` come from the thread's
// schedstat file, which stays open and costs one descriptor. The kernel books a wait when it ends,
// so that a thread that still waits for a CPU has not yet been seen to.
//
// A sample costs 1 µs, a quarter of it without `waiting`: sampling a thousand threads each 100 ms
// takes 1 % of a core.
class HEDDLE_API thread_sampler {
 public:
  thread_sampler() = default;  // of no thread

  // `thread` as gettid() gives it. Opens the file: some 10 µs, one allocation. In a recorded tree
  // everything is read from proc/self/task/<thread>/schedstat.
  explicit thread_sampler(pid_t thread, const tree& files = tree{});

  // Whether `waiting` and `slices` mean anything. Not without /proc, in kernels without
  // CONFIG_SCHED_INFO, and where descriptors are scarce (see held_file).
  bool knows_waiting() const noexcept { return schedstat_.is_open(); }

  // Since the thread began. Nothing when it has ended, or is not of this process, as the parent's
  // threads are not in a child after fork. May be called on any thread, by several at once.
  //
  // Without knows_waiting() the thread is known by its number alone: its owner had better drop the
  // sampler before the thread ends, or another thread of this process that has the number by then,
  // the kernel having gone through all of them, is taken for it.
  std::optional<schedstat> sample() const noexcept;

 private:
  pid_t thread_ = 0;
  bool has_clock_ = false;
  held_file schedstat_{};
};

// What the calling thread has used since it began.
struct thread_usage {
  std::chrono::nanoseconds user{};
  std::chrono::nanoseconds system{};
  std::uint64_t voluntary_switches = 0;    // it went to sleep
  std::uint64_t involuntary_switches = 0;  // another thread was given its CPU
  std::uint64_t major_faults = 0;          // memory that had to come from a disk
};

// getrusage(RUSAGE_THREAD). The switches are exact; the times may lag by a scheduler tick.
HEDDLE_API thread_usage own_usage() noexcept;

}  // namespace heddle::inline HEDDLE_ABI::kernel
