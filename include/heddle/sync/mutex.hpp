// A mutual-exclusion lock of one word, and one for its statistics, whose waiters a pool knows
// about.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI {

// Meets the standard's TimedMutex requirements. Not recursive. A worker that waits for it lets its
// pool put a spare worker in its place.
//
// Fairness: a thread that arrives as the lock is freed may overtake those that sleep.
// Blocks? lock spins briefly, then sleeps; unlock never sleeps.
// Memory ordering: unlock synchronizes with the next lock.
// Throws: lock and the timed forms throw would_starve as blocking_region does, lock also
// deadlock_error if a watchdog is told to break deadlocks; then they do not hold the lock.
// Misuse: where locks are checked (check_locks: in a debug build of the library) an unlock of what
// is not locked, or is held by another thread, and a lock without a deadline by the thread that
// holds it, end the process with a message that names the lock. Elsewhere these are undefined: the
// unlock may let another thread in or never return, the lock waits for ever.
// Destruction: legal as soon as no thread holds it or waits for it; unlock's last access comes
// before the lock can be had by another.
// Source: the word-sized lock with the queue inside is Pizlo's WordLock ("Locking in WebKit",
// 2016).
class HEDDLE_API HEDDLE_CAPABILITY("mutex") mutex {
 public:
  constexpr mutex() noexcept = default;
  // With a name for reports, which is copied. Throws std::bad_alloc.
  explicit mutex(std::string_view name) : probe_(wait_kind::mutex, this, name) {}
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock() HEDDLE_ACQUIRE() {
    if (probe_.active()) [[unlikely]] {
      lock_observed(prim::never);
      return;
    }
    std::uintptr_t free = 0;
    if (!word_.compare_exchange_weak(free, locked, prim::acquire, prim::relaxed)) {
      lock_slow(prim::never);
    }
  }

  bool try_lock() noexcept HEDDLE_TRY_ACQUIRE(true) {
    if (probe_.active()) [[unlikely]]
      return try_lock_observed();
    return take();
  }

  bool try_lock_until(prim::time_point deadline) HEDDLE_TRY_ACQUIRE(true) {
    if (probe_.active()) [[unlikely]]
      return lock_observed(deadline);
    return take() || lock_slow(deadline);
  }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> timeout) HEDDLE_TRY_ACQUIRE(true) {
    return try_lock_until(prim::deadline_after(timeout));
  }

  // Requires: the calling thread holds the lock.
  void unlock() noexcept HEDDLE_RELEASE() {
    if (probe_.active_at_release()) [[unlikely]] {
      unlock_observed();
      return;
    }
    let_go();
  }

  // Records acquisitions, waits and holds of this mutex, whatever the process records.
  // Throws std::bad_alloc.
  void record(lock_recording what) { probe_.record(what, wait_kind::mutex, this); }
  // All zero when nothing was recorded. Allocates. Throws std::bad_alloc.
  lock_statistics statistics() const { return probe_.statistics(); }
  // Null when it has none.
  const char* name() const noexcept { return probe_.name(); }
  // prim::thread_number of its holder; 0 when nobody holds it, or owners are not tracked
  // (track_lock_owners, check_locks, record).
  std::uint32_t owner() const noexcept { return probe_.owner(); }

 private:
  friend class condition_variable;  // moves those that it wakes into the queue of a held lock
  friend class recursive_mutex;

  struct node {
    thread_waiter waiter;
    prim::cell<node*> next{nullptr};
    prim::cell<node*> last{nullptr};  // kept in the first node only
  };
  struct sleeper;

  // The word: the locked bit, the bit of whoever changes the queue, the first waiter's address.
  static constexpr std::uintptr_t locked = 1;
  static constexpr std::uintptr_t queue_locked = 2;

  static node* first(std::uintptr_t word) noexcept {
    return reinterpret_cast<node*>(word & ~(locked | queue_locked));
  }

  bool take() noexcept {
    std::uintptr_t word = word_.load(prim::relaxed);
    while ((word & locked) == 0) {
      if (word_.compare_exchange_weak(word, word | locked, prim::acquire, prim::relaxed)) {
        return true;
      }
    }
    return false;
  }
  void let_go() noexcept {
    std::uintptr_t word = locked;
    if (!word_.compare_exchange_strong(word, 0, prim::release, prim::relaxed)) unlock_slow();
  }

  bool lock_slow(prim::time_point deadline);
  void unlock_slow() noexcept;
  bool append(node& n) noexcept;
  bool withdraw(node& n) noexcept;

  // With the probe.
  bool lock_observed(prim::time_point deadline);
  bool try_lock_observed() noexcept;
  void unlock_observed() noexcept;

  prim::atomic<std::uintptr_t> word_{0};
  lock_probe probe_;
};

}  // namespace heddle::inline HEDDLE_ABI
