// How long a thread has run and has waited for a CPU, from the scheduler's own books.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Counted since the thread began. What is left of the wall-clock time it has slept. `running` is
// brought up to date at each scheduler tick, so that two samples of a busy thread may be equal when
// they are less than a tick (1 to 10 ms) apart.
struct schedstat {
  std::chrono::nanoseconds running{};  // on a CPU
  std::chrono::nanoseconds waiting{};  // runnable, but another thread had the CPU
  std::uint64_t slices = 0;            // times it was put on a CPU

  friend bool operator==(const schedstat&, const schedstat&) = default;
};

// "155873757 89883 5\n". Nothing when the text is anything else.
HEDDLE_API std::optional<schedstat> parse_schedstat(std::string_view text);

// Of one thread, from /proc/<process>/task/<thread>/schedstat; nothing when it has ended, or the
// kernel was built without CONFIG_SCHED_INFO. Some 5 µs.
HEDDLE_API std::optional<schedstat> read_schedstat(pid_t process, pid_t thread,
                                                   const tree& files = tree{});

// The calling thread's own, from /proc/thread-self/schedstat.
HEDDLE_API std::optional<schedstat> read_own_schedstat(const tree& files = tree{});

// The threads of a process, in rising order; empty when there is no such process.
HEDDLE_API std::vector<pid_t> list_threads(pid_t process, const tree& files = tree{});

}  // namespace heddle::inline HEDDLE_ABI::kernel
