// How many workers there may be, for want of descriptors, threads or memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include <heddle/kernel/limits.hpp>
#include <heddle/kernel/memory.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

// What a worker takes.
struct worker_needs {
  std::uint64_t descriptors = 1;
  std::uint64_t threads = 1;
  // Measured with what its tasks allocate. 0: unknown, then a quarter MiB is put down for each,
  // or `stack_bytes` if that is less.
  std::uint64_t memory_bytes = 0;
  std::uint64_t stack_bytes = std::uint64_t{8} << 20;
};

// What is known of the process and the machine. Whatever is not known sets no bound.
struct resources {
  int workers = 0;                 // there now
  std::chrono::nanoseconds now{};  // on any steady clock, the same in each call

  kernel::process_limits limits{};
  std::optional<std::uint64_t> open_descriptors{};  // kernel::count_descriptors()
  std::optional<std::uint64_t> user_threads{};      // kernel::count_user_threads()
  std::optional<std::uint64_t> group_tasks{};       // kernel::read_tasks_in_use()

  kernel::memory memory{};
  std::optional<std::uint64_t> group_memory{};  // kernel::read_memory_in_use()
  // Share of the time in which all tasks stood still for want of memory: kernel::stalled_share() of
  // the time since the last call, or pressure::full's avg10.
  double memory_stall = 0;
};

// What is kept from one call to the next.
struct memory_brake {
  bool is_on = false;
  int ceiling = 0;                     // while it is on
  std::chrono::nanoseconds fell_at{};  // when the ceiling last fell
};

struct headroom {
  int most = 1;  // workers that may exist, those that do included; at least 1
  std::string
      reason{};  // a sentence without full stop: what sets that bound; empty when nothing does
};

// The tightest of these, at most `cap`:
// - Descriptors: what the soft limit leaves beyond those in use, less a tenth of it and at least
//   16, which are the program's. Where it is not known how many are in use: half the limit.
// - Threads: what the group's limit leaves and, unless the process ignores it, the user's, less a
//   sixteenth; where it is not known how many are in use: half the limit.
// - Memory: new workers may take half of what is available beyond a tenth of the whole, or beyond
//   1 GiB where that is less.
// - The brake: it comes on when less than half of that tenth is available, or `memory_stall` is 0.1
//   or more. Then there may be no more workers than there are, and each second that this lasts a
//   quarter less, until the tenth is available and `memory_stall` is below 0.02: in between the
//   bound stays as it is.
//
// The whole is the machine's memory or, where that leaves less, the group's limit.
// A pure function of its arguments, but for `brake`, which it brings up to date. Below 1 µs.
// Throws std::invalid_argument unless cap and needs.threads are at least 1.
HEDDLE_API headroom find_headroom(const resources& known, const worker_needs& needs, int cap,
                                  memory_brake& brake);

}  // namespace heddle::inline HEDDLE_ABI::sizing
