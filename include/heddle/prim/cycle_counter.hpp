// The processor's counter of time: cheaper to read than the clock, and in a unit of its own.
#pragma once

#include <cstdint>

#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL || !(defined(__x86_64__) || defined(__i386__) || defined(__aarch64__))
#include <heddle/prim/clock.hpp>
#endif

namespace heddle::inline HEDDLE_ABI::prim {

// Runs at a constant rate, which whoever needs times finds out by reading the clock beside it. It
// does not wait for what the program does before it; two cores may differ by a few counts.
inline std::uint64_t cycle_count() noexcept {
#if !HEDDLE_MODEL && (defined(__x86_64__) || defined(__i386__))
  return __builtin_ia32_rdtsc();
#elif !HEDDLE_MODEL && defined(__aarch64__)
  std::uint64_t count;
  asm volatile("mrs %0, cntvct_el0" : "=r"(count));
  return count;
#else
  return static_cast<std::uint64_t>(clock::now().time_since_epoch().count());
#endif
}

// About how much it counts in a microsecond, for thresholds: on x86 within a factor of two.
inline std::uint64_t cycles_per_microsecond() noexcept {
#if !HEDDLE_MODEL && (defined(__x86_64__) || defined(__i386__))
  return 3000;
#elif !HEDDLE_MODEL && defined(__aarch64__)
  std::uint64_t per_second;
  asm("mrs %0, cntfrq_el0" : "=r"(per_second));
  return per_second / 1'000'000 + 1;
#else
  return 1000;
#endif
}

}  // namespace heddle::inline HEDDLE_ABI::prim
