// How long to wait before trying again.
#pragma once

#include <chrono>
#include <cstdint>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// Pauses that double with each attempt up to a cap, spread at random over the upper half of their
// length, so that those who failed together do not come back together.
// The same seed gives the same pauses. Not thread-safe.
// Source: M. Brooker, "Exponential Backoff And Jitter", 2015 (there "equal jitter").
class HEDDLE_API backoff {
 public:
  using duration = std::chrono::nanoseconds;

  // Throws std::invalid_argument unless 0 < first <= cap.
  backoff(duration first, duration cap, std::uint64_t seed);

  // The pause before the retry that follows the `failures`-th failure, counted from 1: between half
  // of and all of min(cap, first * 2^(failures - 1)). 0 counts as 1.
  duration pause(unsigned failures) noexcept;

 private:
  std::uint64_t next_random() noexcept;

  duration first_;
  duration cap_;
  std::uint64_t state_;
};

}  // namespace heddle::inline HEDDLE_ABI
