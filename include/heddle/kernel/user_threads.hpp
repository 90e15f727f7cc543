// How many threads the user has, asked again and again.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include <heddle/kernel/tree.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Looking at all processes (count_user_threads) takes long, so it is done only where the limit may
// be near, and seldom: at most once a second, and for 0.2 % of a CPU.
class HEDDLE_API user_thread_counter {
 public:
  // Those of the user; or those of all users, who are more, where even they leave room below
  // `limit` (process_limits::processes) for `wanted` further ones. `own`: how many the caller has
  // now, which tells what has become of a count that is not new. Nothing without /proc.
  // Requires: `now` does not go back.
  std::optional<std::uint64_t> count(prim::time_point now, std::uint64_t limit, std::uint64_t own,
                                     std::uint64_t wanted, const tree& files = tree{});

  // CPU time that the last count() spent looking at all processes; 0 when it did not.
  std::chrono::nanoseconds cost_of_last() const noexcept { return spent_; }

 private:
  prim::time_point counted_at_{};
  std::optional<std::uint64_t> counted_{};
  std::uint64_t own_then_ = 0;
  std::chrono::nanoseconds cost_{};
  std::chrono::nanoseconds spent_{};
};

}  // namespace heddle::inline HEDDLE_ABI::kernel
