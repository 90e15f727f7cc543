// When a periodic timer's next tick is.
#pragma once

#include <cstdint>

#include <heddle/exec/periodic_timer.hpp>
#include <heddle/prim/clock.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

struct tick_step {
  std::uint64_t missed;   // ticks that this run makes up for, besides its own
  prim::time_point next;  // on the grid: some multiple of the period after `due`
};

inline prim::time_point saturated_sum(prim::time_point t, prim::clock::duration d) noexcept {
  return d >= prim::never - t ? prim::never : t + d;
}

// For a run that was due at `due` and begins at `now`. Requires: due <= now, and both are times of
// a clock that began at its epoch or later; period > 0.
inline tick_step step_after(prim::time_point due, prim::time_point now,
                            prim::clock::duration period, missed_ticks rule) noexcept {
  if (rule == missed_ticks::catch_up) return {0, saturated_sum(due, period)};
  const auto missed = (now - due) / period;
  return {static_cast<std::uint64_t>(missed), saturated_sum(due + missed * period, period)};
}

}  // namespace heddle::inline HEDDLE_ABI::detail
