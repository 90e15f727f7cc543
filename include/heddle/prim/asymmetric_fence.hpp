// A full fence that only one of two sides pays for.
#pragma once

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// For Dekker's pattern between one who comes often and one who seldom does: each stores, fences,
// and loads what the other stores; at least one of them sees the other's store. The light fence
// costs no instruction, the heavy one makes every running thread of the process pass a full fence:
// a system call of some microseconds. Two light fences order nothing between each other.
//
// heavy_fence returns false, and has ordered nothing, where the kernel does not do that: before
// Linux 4.14, or in a sandbox.
// Source: M. Desnoyers' membarrier(2); the names are those of D. Goldblatt's proposal P1202 to the
// C++ committee.
inline void light_fence() noexcept {
#if HEDDLE_MODEL
  fence(seq_cst);
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}
HEDDLE_API bool heavy_fence() noexcept;

}  // namespace heddle::inline HEDDLE_ABI::prim
