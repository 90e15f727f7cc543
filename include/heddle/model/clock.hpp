// The modelled half of <heddle/prim/clock.hpp>.
#pragma once

#include <chrono>

#include <heddle/model/config.hpp>
#include <heddle/model/runtime.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// A virtual steady clock. It moves by a nanosecond a reading, and to the deadline of a timed wait
// when that wait is chosen to end without its event, or when nothing else can happen.
struct clock {
  using rep = std::chrono::nanoseconds::rep;
  using period = std::chrono::nanoseconds::period;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<clock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept { return time_point(duration(model::detail::clock_now())); }
};

}  // namespace heddle::inline HEDDLE_ABI::prim
