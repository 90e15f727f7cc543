// The seam's lock whose holder inherits the priority of those that wait for it.
#pragma once

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/inheriting_lock.hpp>
#else

#include <cstdint>

namespace heddle::inline HEDDLE_ABI::prim {

namespace detail {
// The kernel's number of the calling thread, remembered.
HEDDLE_API std::uint32_t kernel_thread_word() noexcept;
}  // namespace detail

// The kernel's own lock, futex(2) FUTEX_LOCK_PI: it knows who holds it and who waits, hands it over
// in the order of their real-time priorities, and runs the holder with the highest of them. Only
// sync/priority_inheritance_mutex uses it, which says what it promises.
class HEDDLE_API inheriting_lock {
 public:
  constexpr inheriting_lock() noexcept = default;
  inheriting_lock(const inheriting_lock&) = delete;
  inheriting_lock& operator=(const inheriting_lock&) = delete;

  bool try_lock() noexcept {
    std::uint32_t free = 0;
    return word_.compare_exchange_strong(free, detail::kernel_thread_word(), acquire, relaxed);
  }
  // Sleeps in the kernel. Returns false when the deadline passed.
  bool lock_until(time_point deadline) noexcept;
  void unlock() noexcept {
    std::uint32_t mine = detail::kernel_thread_word();
    if (!word_.compare_exchange_strong(mine, 0, release, relaxed)) hand_over();
  }
  bool is_locked() const noexcept { return word_.load(relaxed) != 0; }

 private:
  void hand_over() noexcept;

  // The holder's number in the kernel, with the kernel's bits; see futex(2).
  atomic<std::uint32_t> word_{0};
};

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
