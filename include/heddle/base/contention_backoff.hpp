// Getting out of each other's way without sleeping.
#pragma once

#include <cstdint>

#include <heddle/prim/config.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>

namespace heddle::inline HEDDLE_ABI {

// For loops that try again because another thread was in the way: both let go, both come back, and
// without a difference between them they may do so for ever. Each wait() pauses a random number of
// turns from a window that doubles with each failure up to a cap; beyond the cap it gives the core
// away as well, because the other one may need it.
//
//   for (contention_backoff turns;; turns.wait()) {
//     const std::scoped_lock first(a);
//     if (b.try_lock()) return both;
//   }
//
// For pauses that are worth sleeping through see backoff.
// Not thread-safe: one a thread. Blocks? No, it spins. Throws nothing, allocates nothing.
// Source: the window of Ethernet (R. Metcalfe, D. Boggs, "Ethernet: distributed packet switching
// for local computer networks", CACM 1976).
class contention_backoff {
 public:
  static constexpr std::uint32_t first_window = 4;
  static constexpr std::uint32_t last_window = 1024;

  // The same seed gives the same turns.
  explicit contention_backoff(std::uint64_t seed = prim::next_seed()) noexcept : dice_(seed) {}

  void wait() noexcept {
    const bool at_the_cap = window_ == last_window;
    for (std::uint32_t turns = next_turns(); turns > 0; --turns) prim::pause();
    if (at_the_cap) prim::yield();
  }

  // How many turns the next wait() takes, from 1 to the window; doubles the window.
  std::uint32_t next_turns() noexcept {
    const std::uint32_t turns = 1 + dice_.below(window_);
    if (window_ < last_window) window_ *= 2;
    return turns;
  }

  // After a success: the next failure is a first one.
  void reset() noexcept { window_ = first_window; }

 private:
  prim::random dice_;
  std::uint32_t window_ = first_window;
};

}  // namespace heddle::inline HEDDLE_ABI
