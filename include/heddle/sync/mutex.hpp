// A mutual-exclusion lock of one word, whose waiters a pool knows about.
#pragma once

#include <chrono>
#include <cstdint>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI {

// Meets the standard's TimedMutex requirements. Not recursive. A worker that waits for it lets its
// pool put a spare worker in its place.
//
// Fairness: a thread that arrives as the lock is freed may overtake those that sleep.
// Blocks? lock spins briefly, then sleeps; unlock never sleeps.
// Memory ordering: unlock synchronizes with the next lock.
// Throws: lock and the timed forms throw would_starve as blocking_region does, and then do not
// hold the lock.
// Destruction: legal as soon as no thread holds it or waits for it; unlock's last access comes
// before the lock can be had by another.
// Source: the word-sized lock with the queue inside is Pizlo's WordLock ("Locking in WebKit",
// 2016).
class HEDDLE_API HEDDLE_CAPABILITY("mutex") mutex {
 public:
  mutex() = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock() HEDDLE_ACQUIRE() {
    std::uintptr_t free = 0;
    if (!word_.compare_exchange_weak(free, locked, prim::acquire, prim::relaxed)) {
      lock_slow(prim::never);
    }
  }

  bool try_lock() noexcept HEDDLE_TRY_ACQUIRE(true) {
    std::uintptr_t word = word_.load(prim::relaxed);
    while ((word & locked) == 0) {
      if (word_.compare_exchange_weak(word, word | locked, prim::acquire, prim::relaxed)) {
        return true;
      }
    }
    return false;
  }

  bool try_lock_until(prim::time_point deadline) HEDDLE_TRY_ACQUIRE(true) {
    return try_lock() || lock_slow(deadline);
  }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> timeout) HEDDLE_TRY_ACQUIRE(true) {
    return try_lock_until(prim::deadline_after(timeout));
  }

  // Requires: the calling thread holds the lock.
  void unlock() noexcept HEDDLE_RELEASE() {
    std::uintptr_t word = locked;
    if (!word_.compare_exchange_strong(word, 0, prim::release, prim::relaxed)) unlock_slow();
  }

 private:
  struct node {
    thread_waiter waiter;
    prim::cell<node*> next{nullptr};
    prim::cell<node*> last{nullptr};  // kept in the first node only
  };

  // The word: the locked bit, the bit of whoever changes the queue, the first waiter's address.
  static constexpr std::uintptr_t locked = 1;
  static constexpr std::uintptr_t queue_locked = 2;

  static node* first(std::uintptr_t word) noexcept {
    return reinterpret_cast<node*>(word & ~(locked | queue_locked));
  }

  bool lock_slow(prim::time_point deadline);
  void unlock_slow() noexcept;
  bool append(node& n) noexcept;
  bool withdraw(node& n) noexcept;

  prim::atomic<std::uintptr_t> word_{0};
};

}  // namespace heddle::inline HEDDLE_ABI
