// A pair of fences: one side pays nothing, the other pays for both.
#pragma once

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/asymmetric_fence.hpp>
#else

namespace heddle::inline HEDDLE_ABI::prim {

namespace detail {
// Whether the kernel fences other threads for us: decided before main, and taken back for good
// should a sandbox forbid it later.
HEDDLE_API extern constinit atomic<bool> kernel_fences;
}  // namespace detail

// A fence of each thread's pair with heavy_fence() as two seq_cst fences would: one comes first,
// and what precedes it is seen behind the other. Two light fences order nothing between each other,
// nor does a light fence with fence(seq_cst). Neither hands data over: see atomic.hpp.
//
// Complexity: no instruction but a test of a flag; a full fence where the kernel has no
// membarrier(2), or forbids it.
// Source: Dice, Huang, Yang, "Asymmetric Dekker synchronization", 2001; the meaning is that of
// Goldblatt, "Asymmetric fences", P1202.
inline void light_fence() noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (!detail::kernel_fences.load(relaxed)) [[unlikely]]
    fence(seq_cst);
}

// The other one, which is a fence(seq_cst) as well. False, and nothing is ordered, when the kernel
// refused it just now, although it did not before: for lack of memory, or since a sandbox was set
// up in between. In the second case it goes on to do so for a second, after which all threads know
// that light fences are full ones.
//
// Blocks? No; it interrupts the CPUs that run other threads of the process, and takes some
// microseconds.
// After fork: the same.
[[nodiscard]] HEDDLE_API bool heavy_fence() noexcept;

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
