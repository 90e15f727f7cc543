// Waiting for a condition that others make true without holding a lock.
#pragma once

#include <cstdint>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI {

// Lets a thread sleep until a predicate over lock-free data holds, without a lost wake-up:
//
//   waiter:   key = prepare_wait(); if (predicate) cancel_wait(); else wait(key); look again
//   notifier: make the predicate true; notify
//
// Thread-safety: every function from any thread.
// Memory ordering: a predicate written before notify is seen by a predicate that is read after
// prepare_wait, or the wait ends. Both sides carry a full fence. Notifying costs one fence and one
// load while nobody waits.
// A wait may end without a notification; callers look at the predicate again.
// Destruction: nobody waits, and every notify has returned.
// Source: the idea of event counts is Reed and Kanodia's, "Synchronization with eventcounts and
// sequencers", CACM 1979; the two-phase wait is Vyukov's.
class HEDDLE_API event_count {
 public:
  using key = std::uint64_t;

  event_count() = default;
  event_count(const event_count&) = delete;
  event_count& operator=(const event_count&) = delete;

  // Each prepare_wait is followed by exactly one cancel_wait or wait on the same thread.
  key prepare_wait() noexcept;
  void cancel_wait() noexcept;
  // Sleeps until a notification that came after prepare_wait. False when the deadline passed first.
  // Throws what blocking_region throws; then the wait is cancelled.
  bool wait(key k, prim::time_point deadline = prim::never);

  // Wakes at least one of those who wait, if somebody does.
  void notify_one() noexcept;
  void notify_all() noexcept;

  // Sleeps until the predicate holds; the second form returns its value at the deadline.
  template <class Predicate>
  void await(Predicate holds) {
    await_until(prim::never, holds);
  }
  template <class Predicate>
  bool await_until(prim::time_point deadline, Predicate holds) {
    for (;;) {
      if (holds()) return true;
      const key k = prepare_wait();
      if (holds()) {
        cancel_wait();
        return true;
      }
      if (!wait(k, deadline)) return holds();
    }
  }

 private:
  struct node {
    thread_waiter waiter;
    node* before = nullptr;
    node* after = nullptr;
    bool listed = false;
  };

  void append(node& n) noexcept HEDDLE_REQUIRES(mutex_);
  void unlink(node& n) noexcept HEDDLE_REQUIRES(mutex_);
  void notify(bool all) noexcept;

  prim::atomic<std::uint64_t> epoch_{0};     // changed under the mutex
  prim::atomic<std::uint64_t> prepared_{0};  // threads between prepare_wait and the end of the wait
  prim::mutex mutex_;
  node* first_ HEDDLE_GUARDED_BY(mutex_) = nullptr;
  node* last_ HEDDLE_GUARDED_BY(mutex_) = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI
