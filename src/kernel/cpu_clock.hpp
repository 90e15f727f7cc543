// The CPU clocks of threads and processes by their numbers.
#pragma once

#include <sys/types.h>
#include <time.h>

#include <chrono>
#include <optional>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// The kernel's numbering of dynamic clocks (clock_getcpuclockid(3) and pthread_getcpuclockid(3)
// compute it too, the latter from a pthread_t, which must not be used once the thread has ended):
// the inverted number, a bit that says "one thread only", and two that say "time on a CPU".
enum class clock_of : unsigned { process = 2, thread = 4 | 2 };

// All CPU time since it began, exact. Nothing when there is none of this number; for a thread also
// when it is of another process. A process's clock may be read by anyone.
inline std::optional<std::chrono::nanoseconds> read_cpu_clock(clock_of whom, pid_t id) noexcept {
  const auto clock =
      static_cast<clockid_t>((~static_cast<unsigned>(id) << 3) | static_cast<unsigned>(whom));
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) return std::nullopt;
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace heddle::inline HEDDLE_ABI::kernel
