// Events: something has happened, and those who wait for it may go on.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <string_view>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/semaphore.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// A gate: open once it is set, for everybody, until it is reset. set() frees all those who wait,
// even if it is reset before they have run.
//
// Memory ordering: set() synchronizes with every wait that it ends, with an is_set() that returns
// true because of it, and with a reset() that comes after it: whoever resets and then looks for
// work finds what came before each set() that the reset took back. Blocks? The waits sleep; set()
// and reset() never do. A worker that waits lets its pool put a spare worker in its place. Throws:
// the waits throw would_starve as blocking_region does. Destruction: legal as soon as the event has
// been seen to be set and nobody is inside a wait.
class HEDDLE_API manual_reset_event {
 public:
  constexpr manual_reset_event() noexcept = default;
  // Takes a bool and nothing that converts to one: a name does.
  constexpr explicit manual_reset_event(std::same_as<bool> auto set) noexcept
      : word_(set ? is_set_bit : 0) {}
  // With a name for reports. Throws std::bad_alloc.
  explicit manual_reset_event(std::string_view name, bool set = false)
      : word_(set ? is_set_bit : 0), probe_(wait_kind::event, this, name) {}
  manual_reset_event(const manual_reset_event&) = delete;
  manual_reset_event& operator=(const manual_reset_event&) = delete;

  // Setting what is set changes nothing.
  void set() noexcept;
  void reset() noexcept { word_.fetch_and(~is_set_bit, prim::acquire); }
  bool is_set() const noexcept { return (word_.load(prim::acquire) & is_set_bit) != 0; }

  void wait() { wait_within(wait_limit()); }
  // False when a stop was requested first.
  bool wait(const prim::stop_token& stop) { return wait_within(wait_limit(stop)); }
  // False when the deadline passed, or a stop was requested, first. Looks at least once, also with
  // a negative timeout.
  bool wait_until(prim::time_point deadline, const prim::stop_token& stop = {}) {
    return wait_within(wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout, const prim::stop_token& stop = {}) {
    return wait_until(prim::deadline_after(timeout), stop);
  }

  // Records the waits for this event, whatever the process records. Throws std::bad_alloc.
  void record(lock_recording what) { probe_.record(what, wait_kind::event, this); }
  // Null when it has none.
  const char* name() const noexcept { return probe_.name(); }
  lock_statistics statistics() const { return probe_.statistics(); }

 private:
  friend struct detail::queue_access;

  // The second bit: somebody is in the queue, and it is not set. It changes under the lock,
  // together with the queue.
  static constexpr std::uint32_t is_set_bit = 1;
  static constexpr std::uint32_t queued = 2;

  bool wait_within(const wait_limit& limit);
  bool append(wait_queue::entry& n) noexcept;
  bool withdraw(wait_queue::entry& n) noexcept;

  prim::atomic<std::uint32_t> word_{0};
  prim::short_lock lock_;
  wait_queue queue_ HEDDLE_GUARDED_BY(lock_);
  lock_probe probe_;
};

// A gate for one: set() lets one waiter through, now or the next that comes, and it is closed
// again. Setting what is set changes nothing: it remembers one set(), not how many.
//
// Fairness: sleepers are woken in the order in which they came, but a thread that arrives as the
// event is set may overtake them.
// Memory ordering: set() synchronizes with the wait or reset that comes next, whether or not it was
// set before.
// Blocks? Throws? As manual_reset_event.
// Destruction: legal as soon as nobody is inside a wait and no set() is still to be passed on.
class auto_reset_event {
 public:
  constexpr auto_reset_event() noexcept : core_(wait_kind::event, 0, 1) {}
  // Takes a bool and nothing that converts to one: a name does.
  constexpr explicit auto_reset_event(std::same_as<bool> auto set) noexcept
      : core_(wait_kind::event, set ? 1 : 0, 1) {}
  // With a name for reports. Throws std::bad_alloc.
  explicit auto_reset_event(std::string_view name, bool set = false)
      : core_(wait_kind::event, set ? 1 : 0, 1, name) {}
  auto_reset_event(const auto_reset_event&) = delete;
  auto_reset_event& operator=(const auto_reset_event&) = delete;

  void set() noexcept { core_.release_to_one(); }
  // Whether it was set: then this call has taken the set() that a wait would have had.
  bool reset() noexcept { return core_.try_acquire(); }

  void wait() { core_.acquire(wait_limit()); }
  // False when a stop was requested, and no set() taken.
  bool wait(const prim::stop_token& stop) { return core_.acquire(wait_limit(stop)); }
  // False when the deadline passed, or a stop was requested, first. Looks at least once, also with
  // a negative timeout.
  bool wait_until(prim::time_point deadline, const prim::stop_token& stop = {}) {
    return core_.acquire(wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout, const prim::stop_token& stop = {}) {
    return wait_until(prim::deadline_after(timeout), stop);
  }

  // As those of manual_reset_event.
  void record(lock_recording what) { core_.record(what); }
  const char* name() const noexcept { return core_.probe().name(); }
  lock_statistics statistics() const { return core_.probe().statistics(); }

 private:
  friend struct detail::queue_access;

  semaphore_core core_;
};

}  // namespace heddle::inline HEDDLE_ABI
