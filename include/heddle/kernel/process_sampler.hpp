// What child processes, with all their threads and descendants, have done with their time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// `running`, `waiting` and `slices` only ever grow: they are added up since the sampler was made,
// what processes did that are no more included. The counts are of this moment.
struct process_times {
  std::chrono::nanoseconds running{};  // on a CPU
  std::chrono::nanoseconds waiting{};  // runnable, but another thread had the CPU
  std::uint64_t slices = 0;            // times a thread was put on a CPU

  int processes = 0;  // zombies are not counted
  int threads = 0;
  int runnable = 0;    // of the threads: on a CPU or waiting for one
  int disk_sleep = 0;  // of the threads: in a sleep that nothing interrupts, mostly for a disk
};

// What one of several children has done, by the last sample: a part of process_times.
struct child_times {
  std::chrono::nanoseconds running{};
  std::chrono::nanoseconds waiting{};
};

// Which processes belong to a child.
enum class kinship : unsigned char {
  alone,        // the child itself
  descendants,  // and its children, their children, and so on
};

// Samples any number of children together. A process that ends between two samples is no error;
// what it did after the last one is lost, except CPU time that its parent has waited for, and what
// retire() is told. Numbers that are used again are noticed.
//
// CPU time is exact for living processes (their CPU clocks), and to 20 ms for each process whose
// own children have ended. Waiting is what living threads report, booked when it ends.
//
// A sample costs 5 µs for each thread. Files stay open meanwhile, three for a process and three for
// each further thread, while there are descriptors to spare (see held_file); then it costs three
// times as much. Without CONFIG_PROC_CHILDREN descendants are found by asking every process of the
// machine for its parent, some 7 µs each.
//
// One thread at a time.
class HEDDLE_API process_sampler {
 public:
  explicit process_sampler(kinship of = kinship::descendants, const tree& files = tree{});
  process_sampler(process_sampler&&) noexcept;
  process_sampler& operator=(process_sampler&&) noexcept;
  ~process_sampler();

  // Counts a child from its beginning on. Nothing happens when it is already in, or is no more.
  void add(pid_t child);

  // To be called when the child has been waited for, or is not of interest any more. `total` is the
  // CPU time it has used in all, with descendants it has waited for, as wait4() tells; without it
  // the last sample stands.
  void retire(pid_t child, std::optional<std::chrono::nanoseconds> total = std::nullopt);

  // Whether `waiting` and `slices` mean anything: false without /proc, and in kernels without
  // CONFIG_SCHED_INFO, where `runnable` may serve.
  bool knows_waiting() const noexcept;

  process_times sample();

  // Nothing for a child that is not in, zeros before the first sample.
  std::optional<child_times> of(pid_t child) const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace heddle::inline HEDDLE_ABI::kernel
