// Waiting, with a lock let go meanwhile, until another thread says that something has changed.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <string_view>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// Has the interface of std::condition_variable_any, but for the steady clock alone, and a timed
// wait without a predicate returns whether it was notified. The lock is anything with lock and
// unlock: a heddle::mutex or another of Heddle's locks, or a std::unique_lock of one. All that wait
// at one time use the same mutex. A worker that waits lets its pool put a spare worker in its
// place.
//
//   std::unique_lock lock(mutex);
//   changed.wait(lock, [&] { return !orders.empty(); });
//
// Requires: the calling thread holds the lock, once; the predicate is changed under it.
// Effects: wait lets the lock go and sleeps in one step: no notification after that is missed. It
// returns, or throws, with the lock held again. Waits may end without a notification, so they stand
// in a loop, or have a predicate, which is such a loop.
// Which: notify_one wakes the one that has waited longest. What notify_all wakes does not run all
// at once into the lock: where that is a heddle::mutex, held by then, they move into its queue, and
// each unlock wakes one.
// Memory ordering: none beyond the lock's.
// Blocks? notify does not, but for a short lock while somebody waits; it costs a load while nobody
// does.
// Throws: the waits throw would_starve as blocking_region does, and then have not let go of the
// lock; and what lock() and the predicate throw.
// Destruction: legal as soon as all that wait have been notified and notify has returned, also
// before they have the lock again. It waits for those that are just giving up.
// Source of moving waiters instead of waking them: "wait morphing", as in Pthreads for Linux (U.
// Drepper, "Futexes Are Tricky", 2004).
class HEDDLE_API condition_variable {
 public:
  constexpr condition_variable() noexcept = default;
  // With a name for reports, which is copied. Throws std::bad_alloc.
  explicit condition_variable(std::string_view name) : probe_(wait_kind::condition, this, name) {}
  ~condition_variable();
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  void notify_one() noexcept {
    if (inside_.load(prim::relaxed) != 0) notify(false);
  }
  void notify_all() noexcept {
    if (inside_.load(prim::relaxed) != 0) notify(true);
  }

  template <class Lock>
  void wait(Lock& lock) {
    wait_once(lock, wait_limit());
  }
  template <class Lock, class Predicate>
  void wait(Lock& lock, Predicate holds) {
    while (!holds()) wait_once(lock, wait_limit());
  }
  // False when the deadline passed without a notification.
  template <class Lock>
  bool wait_until(Lock& lock, prim::time_point deadline) {
    return wait_once(lock, wait_limit(deadline));
  }
  template <class Lock, class Rep, class Period>
  bool wait_for(Lock& lock, std::chrono::duration<Rep, Period> timeout) {
    return wait_until(lock, prim::deadline_after(timeout));
  }
  // Those with a deadline, a stop token or both return whether the predicate holds in the end.
  template <class Lock, class Predicate>
  bool wait_until(Lock& lock, prim::time_point deadline, Predicate holds) {
    return wait_while(lock, wait_limit(deadline), holds);
  }
  template <class Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, std::chrono::duration<Rep, Period> timeout, Predicate holds) {
    return wait_while(lock, wait_limit(prim::deadline_after(timeout)), holds);
  }
  template <class Lock, class Predicate>
  bool wait(Lock& lock, const prim::stop_token& stop, Predicate holds) {
    return wait_while(lock, wait_limit(stop), holds);
  }
  template <class Lock, class Predicate>
  bool wait_until(Lock& lock, const prim::stop_token& stop, prim::time_point deadline,
                  Predicate holds) {
    return wait_while(lock, wait_limit(stop, deadline), holds);
  }
  template <class Lock, class Rep, class Period, class Predicate>
  bool wait_for(Lock& lock, const prim::stop_token& stop,
                std::chrono::duration<Rep, Period> timeout, Predicate holds) {
    return wait_while(lock, wait_limit(stop, prim::deadline_after(timeout)), holds);
  }

  // Records how often and how long threads wait here, whatever the process records. Each wait is a
  // contended acquisition.
  void record(lock_recording what) { probe_.record(what, wait_kind::condition, this); }
  // All zero when nothing was recorded. Allocates. Throws std::bad_alloc.
  lock_statistics statistics() const { return probe_.statistics(); }
  // Null when it has none.
  const char* name() const noexcept { return probe_.name(); }

 private:
  // Leaves the list exactly once: chosen by a notifier, and then its thread never touches the
  // condition variable again; or given up by its own thread.
  enum class fate : std::uint8_t { waits, chosen, given_up };
  struct node {
    node(mutex* h, lock_probe& probe, const void* object) noexcept
        : home(h), recorded(probe, wait_kind::condition, object) {}

    mutex::node sleeper;
    mutex* const home;  // in whose queue it may sleep on; null when the lock is of another type
    prim::atomic<fate> state{fate::waits};
    lock_wait recorded;
    node* before = nullptr;
    node* after = nullptr;
  };
  // The lock for those who do not know its type.
  struct lock_ref {
    void* lock;
    void (*acquire)(void*);
    void (*release)(void*);
    mutex* home;
  };

  template <class Lock>
  static mutex* home_of([[maybe_unused]] Lock& lock) noexcept {
    if constexpr (std::same_as<Lock, mutex>) {
      return &lock;
    } else if constexpr (requires {
                           { lock.mutex() } -> std::same_as<mutex*>;
                         }) {
      return lock.mutex();  // a std::unique_lock
    } else {
      return nullptr;
    }
  }

  template <class Lock>
  static void acquire(void* lock) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    static_cast<Lock*>(lock)->lock();
  }
  template <class Lock>
  static void release(void* lock) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    static_cast<Lock*>(lock)->unlock();
  }
  template <class Lock>
  bool wait_once(Lock& lock, const wait_limit& limit) {
    return wait_for_turn({std::addressof(lock), &acquire<Lock>, &release<Lock>, home_of(lock)},
                         limit);
  }
  template <class Lock, class Predicate>
  bool wait_while(Lock& lock, const wait_limit& limit, Predicate& holds) {
    for (;;) {
      if (holds()) return true;
      if (limit.over()) return false;
      wait_once(lock, limit);
    }
  }

  bool wait_for_turn(const lock_ref& lock, const wait_limit& limit);
  bool give_up(node& n) noexcept;
  void append(node& n) noexcept HEDDLE_REQUIRES(list_lock_);
  void unlink(node& n) noexcept HEDDLE_REQUIRES(list_lock_);
  void notify(bool all) noexcept;

  prim::atomic<std::uint32_t> inside_{0};  // that wait or give up, and are not chosen
  prim::short_lock list_lock_;
  node* first_ HEDDLE_GUARDED_BY(list_lock_) = nullptr;
  node* last_ HEDDLE_GUARDED_BY(list_lock_) = nullptr;
  lock_probe probe_;
};

}  // namespace heddle::inline HEDDLE_ABI
