// Randomness that chooses among equals: victims, shards.
#pragma once

#include <cstdint>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// A different number at each call; a model returns the same ones in every execution.
HEDDLE_API std::uint64_t next_seed() noexcept;

// A small number of the calling thread's own, above 0, given out in turn: neighbours differ in
// their lowest bits.
HEDDLE_API std::uint32_t thread_number() noexcept;

// xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016).
// Not for secrets.
class random {
 public:
  explicit random(std::uint64_t seed) noexcept : state_(seed | 1) {}

  std::uint32_t next() noexcept {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return static_cast<std::uint32_t>((state_ * 0x2545F4914F6CDD1DULL) >> 32);
  }
  // Uniform enough in [0, bound). Requires: bound > 0.
  std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>((std::uint64_t{next()} * bound) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim
