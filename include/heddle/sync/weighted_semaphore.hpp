// A capacity of which each takes as much as it needs, strictly in turn.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>
#include <utility>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// Some units (bytes of memory, connections, file descriptors) that are acquired several at a time.
//
// Fairness: first come, first served. As long as the first in the queue waits, nobody behind it is
// served, nor one who arrives, even when there would be enough for them: so a large request is not
// starved by small ones.
// A request for more than the capacity throws std::invalid_argument at once, and so does one that
// waits when resize() makes it impossible: nothing waits for ever.
//
// Memory ordering: release synchronizes with each acquire that it lets through.
// Blocks? acquire and the timed forms sleep; the others never do. A worker that waits lets its pool
// put a spare worker in its place.
// Throws: acquire and the timed forms throw would_starve as blocking_region does. Whatever throws
// has acquired, or released, nothing.
// Complexity: constant, but resize() is linear in those who wait.
// Destruction: legal as soon as nobody waits, and nothing is held or nobody will give it back. The
// last access of release comes before what it gives back can be had.
class HEDDLE_API weighted_semaphore {
 public:
  using units = std::uint64_t;
  class holder;

  explicit weighted_semaphore(units capacity) : capacity_(capacity) {}
  // With a name for reports. Throws std::bad_alloc.
  weighted_semaphore(units capacity, std::string_view name)
      : capacity_(capacity), probe_(wait_kind::semaphore, this, name) {}
  weighted_semaphore(const weighted_semaphore&) = delete;
  weighted_semaphore& operator=(const weighted_semaphore&) = delete;

  // Waits in the queue for n units. 0 units are had at once.
  void acquire(units n) { acquire_within(n, wait_limit()); }
  // False when a stop was requested first.
  bool acquire(units n, const prim::stop_token& stop) {
    return acquire_within(n, wait_limit(stop));
  }
  // False when there is not enough, or others wait.
  bool try_acquire(units n);
  // False when the deadline passed, or a stop was requested, first. At least one try is made, also
  // with a negative timeout.
  bool try_acquire_until(units n, prim::time_point deadline, const prim::stop_token& stop = {}) {
    return acquire_within(n, wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  bool try_acquire_for(units n, std::chrono::duration<Rep, Period> timeout,
                       const prim::stop_token& stop = {}) {
    return try_acquire_until(n, prim::deadline_after(timeout), stop);
  }

  // Anybody may give back what anybody acquired. Throws std::overflow_error when fewer than n are
  // held.
  void release(units n);

  // As acquire, try_acquire and try_acquire_for; what was had is given back by the holder.
  holder hold(units n);
  holder hold(units n, const prim::stop_token& stop);
  holder try_hold(units n);
  template <class Rep, class Period>
  holder try_hold_for(units n, std::chrono::duration<Rep, Period> timeout,
                      const prim::stop_token& stop = {});

  // Changes the capacity. It may be less than what is held: then nothing can be acquired until
  // enough has been given back. Those in the queue who ask for more than there will be get
  // std::invalid_argument.
  void resize(units capacity) noexcept;

  // At this moment.
  units capacity() const noexcept;
  units held() const noexcept;
  units available() const noexcept;

  // Records acquisitions and waits, whatever the process records. Throws std::bad_alloc.
  void record(lock_recording what) { probe_.record(what, wait_kind::semaphore, this); }
  // Null when it has none.
  const char* name() const noexcept { return probe_.name(); }
  lock_statistics statistics() const { return probe_.statistics(); }

 private:
  friend struct detail::queue_access;

  enum class answer : std::uint8_t { yes, not_now, never };

  [[noreturn]] void refuse(units n) const;
  bool acquire_within(units n, const wait_limit& limit);
  answer take(units n, wait_queue::entry* place) noexcept;
  bool withdraw(wait_queue::entry& n) noexcept;
  answer ask(units n) const noexcept HEDDLE_REQUIRES(lock_);
  void serve(wait_queue::chain& woken) noexcept HEDDLE_REQUIRES(lock_);

  mutable prim::short_lock lock_;
  units capacity_ HEDDLE_GUARDED_BY(lock_);
  units held_ HEDDLE_GUARDED_BY(lock_) = 0;  // may exceed the capacity, after resize
  wait_queue queue_ HEDDLE_GUARDED_BY(lock_);
  lock_probe probe_;
};

// Units that are given back when it ends. Empty when it was default constructed, moved from,
// released, or when a try has failed.
// Requires: the semaphore lives as long.
class [[nodiscard]] weighted_semaphore::holder {
 public:
  holder() = default;
  // Takes over n units that the caller has acquired.
  holder(weighted_semaphore& from, units n) noexcept : from_(&from), n_(n) {}
  holder(holder&& other) noexcept
      : from_(std::exchange(other.from_, nullptr)), n_(std::exchange(other.n_, 0)) {}
  holder& operator=(holder&& other) noexcept {
    holder(std::move(other)).swap(*this);
    return *this;
  }
  ~holder() { release(); }

  explicit operator bool() const noexcept { return from_ != nullptr; }
  units count() const noexcept { return n_; }

  // Gives them back now.
  void release() noexcept {
    if (from_ != nullptr) std::exchange(from_, nullptr)->release(std::exchange(n_, 0));
  }

  void swap(holder& other) noexcept {
    std::swap(from_, other.from_);
    std::swap(n_, other.n_);
  }

 private:
  weighted_semaphore* from_ = nullptr;
  units n_ = 0;
};

inline weighted_semaphore::holder weighted_semaphore::hold(units n) {
  acquire(n);
  return {*this, n};
}

inline weighted_semaphore::holder weighted_semaphore::hold(units n, const prim::stop_token& stop) {
  return acquire(n, stop) ? holder(*this, n) : holder();
}

inline weighted_semaphore::holder weighted_semaphore::try_hold(units n) {
  return try_acquire(n) ? holder(*this, n) : holder();
}

template <class Rep, class Period>
weighted_semaphore::holder weighted_semaphore::try_hold_for(
    units n, std::chrono::duration<Rep, Period> timeout, const prim::stop_token& stop) {
  return try_acquire_for(n, timeout, stop) ? holder(*this, n) : holder();
}

}  // namespace heddle::inline HEDDLE_ABI
