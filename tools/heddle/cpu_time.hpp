// What our own work costs.
#pragma once

#include <time.h>

#include <chrono>

namespace heddle::tool {

// CPU time that this thread has used.
inline std::chrono::nanoseconds thread_cpu_time() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

}  // namespace heddle::tool
