// The seam's atomics. Natively they are the standard ones, at no cost.
#pragma once

#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/atomic.hpp>
#else

#include <atomic>

namespace heddle::inline HEDDLE_ABI::prim {

template <class T>
using atomic = std::atomic<T>;

using std::memory_order;
inline constexpr memory_order relaxed = std::memory_order_relaxed;
inline constexpr memory_order acquire = std::memory_order_acquire;
inline constexpr memory_order release = std::memory_order_release;
inline constexpr memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr memory_order seq_cst = std::memory_order_seq_cst;

// ThreadSanitizer ignores fences. Heddle uses them only to order a store before a later load of
// another location (Dekker's pattern); data is always handed over by acquire and release on the
// atomic itself, so that the sanitizer sees every hand-over. g++ 12 warns about each fence it
// sanitizes all the same.
#if HEDDLE_TSAN && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
inline void fence(memory_order order) noexcept { std::atomic_thread_fence(order); }
#if HEDDLE_TSAN && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
