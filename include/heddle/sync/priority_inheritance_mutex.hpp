// A mutex whose holder runs with the priority of the most urgent thread that waits for it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/inheriting_lock.hpp>
#include <heddle/probe/lock_probe.hpp>

namespace heddle::inline HEDDLE_ABI {

// For real-time threads (set_this_thread_priority: fifo, round robin) that share data with less
// urgent ones: while a more urgent thread waits, the holder inherits its priority, through chains
// of such locks, so that threads in between cannot hold both up. The kernel does it, and it knows
// real-time priorities alone: among normal threads, whatever their nice values, and for the
// priorities of tasks in a pool, this is a mutex with a higher price.
//
// Meets the standard's TimedMutex requirements. Not recursive. A worker that waits for it lets its
// pool put a spare worker in its place.
//
// Fairness: an unlock hands the lock to the most urgent waiter, to the first of equals; nobody
// overtakes it.
// Blocks? lock sleeps in the kernel at once, without spinning; unlock never sleeps. While somebody
// waits, each lock and unlock is a system call, and each hand-over a switch of threads.
// Memory ordering: unlock synchronizes with the next lock.
// Throws: lock and the timed forms throw would_starve as blocking_region does, and then do not
// hold the lock.
// A watchdog tells of deadlocks with it, but cannot break them here: the kernel's wait ends by the
// lock or the deadline.
// Misuse: as heddle::mutex tells it where locks are checked. A thread must not end while it holds
// the lock: others may then wait for it for ever.
// Kernel: waits with a deadline inherit since Linux 5.14. Before, and where the kernel refuses a
// wait (it would close a circle of such locks; the holder has ended; memory has run out), the
// thread looks each millisecond whether it can have the lock, and nobody inherits.
// Destruction: legal as soon as no thread holds it or waits for it; unlock's last access comes
// before the lock can be had by another.
// After fork: one that was free is as good as new. One that the forking thread held it may unlock
// in the child, before another thread there waits for it: the kernel takes the parent's thread for
// its holder. One that another thread held is lost, as any lock.
// Source: Sha, Rajkumar, Lehoczky, "Priority Inheritance Protocols" (1990); futex(2).
class HEDDLE_API HEDDLE_CAPABILITY("mutex") priority_inheritance_mutex {
 public:
  constexpr priority_inheritance_mutex() noexcept = default;
  // With a name for reports, which is copied. Throws std::bad_alloc.
  explicit priority_inheritance_mutex(std::string_view name)
      : probe_(wait_kind::mutex, this, name) {}
  priority_inheritance_mutex(const priority_inheritance_mutex&) = delete;
  priority_inheritance_mutex& operator=(const priority_inheritance_mutex&) = delete;

  void lock() HEDDLE_ACQUIRE() {
    if (probe_.active()) [[unlikely]] {
      lock_observed(prim::never);
      return;
    }
    if (!lock_.try_lock()) lock_slow(prim::never);
  }

  bool try_lock() noexcept HEDDLE_TRY_ACQUIRE(true) {
    if (probe_.active()) [[unlikely]]
      return try_lock_observed();
    return lock_.try_lock();
  }

  bool try_lock_until(prim::time_point deadline) HEDDLE_TRY_ACQUIRE(true) {
    if (probe_.active()) [[unlikely]]
      return lock_observed(deadline);
    return lock_.try_lock() || lock_slow(deadline);
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
    lock_.unlock();
  }

  // As those of heddle::mutex.
  void record(lock_recording what) { probe_.record(what, wait_kind::mutex, this); }
  lock_statistics statistics() const { return probe_.statistics(); }
  const char* name() const noexcept { return probe_.name(); }
  std::uint32_t owner() const noexcept { return probe_.owner(); }

 private:
  bool lock_slow(prim::time_point deadline);

  // With the probe.
  bool lock_observed(prim::time_point deadline);
  bool try_lock_observed() noexcept;
  void unlock_observed() noexcept;

  prim::inheriting_lock lock_;
  lock_probe probe_;
};

}  // namespace heddle::inline HEDDLE_ABI
