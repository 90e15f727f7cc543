// The clock that everything in Heddle waits by.
#pragma once

#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/clock.hpp>
#else

#include <chrono>

namespace heddle::inline HEDDLE_ABI::prim {

using clock = std::chrono::steady_clock;

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif

namespace heddle::inline HEDDLE_ABI::prim {

using time_point = clock::time_point;

// A deadline that never comes.
inline constexpr time_point never = time_point::max();

// now + timeout, without the overflow that makes a huge timeout end at once. A negative timeout
// has already ended.
template <class Rep, class Period>
time_point deadline_after(std::chrono::duration<Rep, Period> timeout) {
  using wide = std::chrono::duration<long double>;
  const time_point now = clock::now();
  if (wide(timeout) >= wide(never - now)) return never;
  if (timeout <= timeout.zero()) return now;
  return now + std::chrono::ceil<clock::duration>(timeout);
}

}  // namespace heddle::inline HEDDLE_ABI::prim
