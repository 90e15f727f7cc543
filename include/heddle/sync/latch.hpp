// A counter that opens a gate when it reaches zero, once.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// Has the interface of std::latch, and waits that a deadline or a stop ends. A latch of 0 is open
// from the start.
//
// Memory ordering: each count_down synchronizes with every wait and try_wait that finds the latch
// open.
// Blocks? The waits sleep; counting never does. A worker that waits lets its pool put a spare
// worker in its place. Throws: the waits throw would_starve as blocking_region does; a count_down
// made before stands. Destruction: legal as soon as the latch has been seen to be open and nobody
// is inside a wait; the last access of count_down comes before that.
class HEDDLE_API latch {
 public:
  static constexpr std::ptrdiff_t max() noexcept {
    return std::numeric_limits<std::ptrdiff_t>::max();
  }

  // Throws std::invalid_argument when expected is negative.
  constexpr explicit latch(std::ptrdiff_t expected) : word_(checked(expected)) {}
  // With a name for reports. Throws std::bad_alloc, too.
  latch(std::ptrdiff_t expected, std::string_view name)
      : word_(checked(expected)), probe_(wait_kind::latch, this, name) {}
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;

  // Throws std::invalid_argument when n is negative or more than is left; then nothing has changed.
  void count_down(std::ptrdiff_t n = 1);
  // Whether it is open.
  bool try_wait() const noexcept { return word_.load(prim::acquire) < one; }

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

  void arrive_and_wait(std::ptrdiff_t n = 1) {
    count_down(n);
    wait();
  }

  // Records the waits for this latch, whatever the process records. Throws std::bad_alloc.
  void record(lock_recording what) { probe_.record(what, wait_kind::latch, this); }
  // Null when it has none.
  const char* name() const noexcept { return probe_.name(); }
  lock_statistics statistics() const { return probe_.statistics(); }

 private:
  friend struct detail::queue_access;

  // The word: what is left, and in the lowest bit whether somebody is in the queue. That bit
  // changes under the lock, together with the queue.
  static constexpr std::uint64_t queued = 1;
  static constexpr std::uint64_t one = 2;

  static constexpr std::uint64_t checked(std::ptrdiff_t expected) {
    if (expected < 0) refuse(expected);
    return static_cast<std::uint64_t>(expected) * one;
  }
  [[noreturn]] static void refuse(std::ptrdiff_t expected);

  bool wait_within(const wait_limit& limit);
  bool open(std::uint64_t word) noexcept;
  bool append(wait_queue::entry& n) noexcept;
  bool withdraw(wait_queue::entry& n) noexcept;

  prim::atomic<std::uint64_t> word_;
  prim::short_lock lock_;
  wait_queue queue_ HEDDLE_GUARDED_BY(lock_);
  lock_probe probe_;
};

}  // namespace heddle::inline HEDDLE_ABI
