// Moments in the kernel's form.
#pragma once

#include <time.h>

#include <algorithm>
#include <chrono>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// On CLOCK_MONOTONIC, which is what prim::clock reads.
inline timespec to_timespec(time_point t) noexcept {
  // The clock starts at zero: what lies before it has passed, and its nanoseconds may not fit.
  const auto since = std::max(t.time_since_epoch(), clock::duration::zero());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds);
  return {static_cast<time_t>(seconds.count()), static_cast<long>(rest.count())};
}

}  // namespace heddle::inline HEDDLE_ABI::prim
