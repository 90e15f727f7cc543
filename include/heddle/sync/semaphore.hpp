// Semaphores: permits that anybody may give and take.
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
#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// What all semaphores are made of; for the library's own use.
class HEDDLE_API semaphore_core {
 public:
  // Throws std::invalid_argument unless 0 <= permits <= most.
  constexpr semaphore_core(wait_kind kind, std::ptrdiff_t permits, std::ptrdiff_t most)
      : word_(checked(permits, most)), units_(units_of(kind, permits)), kind_(kind) {}
  semaphore_core(wait_kind kind, std::ptrdiff_t permits, std::ptrdiff_t most, std::string_view name)
      : word_(checked(permits, most)),
        units_(units_of(kind, permits)),
        kind_(kind),
        probe_(kind, this, name) {}

  bool try_acquire() noexcept {
    if (!take()) return false;
    if (probe_.active()) [[unlikely]] {
      probe_.passed();
      note_taken();
    }
    return true;
  }
  bool acquire(const wait_limit& limit) { return try_acquire() || acquire_slow(limit); }

  // Throws std::invalid_argument when n is negative, std::overflow_error when there would be more
  // than `most`; then nothing has changed.
  void release(std::ptrdiff_t n, std::ptrdiff_t most);
  // Leaves one permit, if there is none.
  void release_to_one() noexcept;

  std::ptrdiff_t available() const noexcept {
    return static_cast<std::ptrdiff_t>(word_.load(prim::relaxed) / one);
  }

  const lock_probe& probe() const noexcept { return probe_; }
  void record(lock_recording what) { probe_.record(what, kind_, this); }

 private:
  friend struct detail::queue_access;

  // The word: the number of permits, and in the lowest bit whether somebody is in the queue. That
  // bit changes under the lock, together with the queue.
  static constexpr std::uint64_t queued = 1;
  static constexpr std::uint64_t one = 2;

  static constexpr std::uint64_t checked(std::ptrdiff_t permits, std::ptrdiff_t most) {
    if (permits < 0 || permits > most) refuse(permits, most);
    return static_cast<std::uint64_t>(permits) * one;
  }
  [[noreturn]] static void refuse(std::ptrdiff_t permits, std::ptrdiff_t most);
  // What those who take them hold. 0: nothing, as with an event, or more than can be counted.
  static constexpr std::uint32_t units_of(wait_kind kind, std::ptrdiff_t permits) noexcept {
    const bool held = kind == wait_kind::semaphore && permits <= std::ptrdiff_t{0xffffffff};
    return held ? static_cast<std::uint32_t>(permits) : 0;
  }

  bool take() noexcept {
    std::uint64_t word = word_.load(prim::relaxed);
    while (word >= one) {
      if (word_.compare_exchange_weak(word, word - one, prim::acquire, prim::relaxed)) return true;
    }
    return false;
  }
  bool acquire_slow(const wait_limit& limit);
  void note_taken() noexcept {
    if (kind_ == wait_kind::semaphore) probe_.took();
  }
  bool append(wait_queue::entry& n) noexcept;
  bool withdraw(wait_queue::entry& n) noexcept;
  bool give(std::uint64_t n, std::uint64_t most) noexcept;

  prim::atomic<std::uint64_t> word_;
  std::uint32_t units_;
  wait_kind kind_;
  prim::short_lock lock_;
  wait_queue queue_ HEDDLE_GUARDED_BY(lock_);
  lock_probe probe_;
};

// Permits, at most Max of them. Has the interface of std::counting_semaphore, and forms that a stop
// ends. A worker that waits lets its pool put a spare worker in its place.
//
// Fairness: sleepers are woken in the order in which they came, but a thread that arrives as a
// permit is given may overtake them; weighted_semaphore serves strictly in order.
// Memory ordering: release synchronizes with each acquire that takes one of its permits.
// Blocks? acquire and the timed forms spin briefly, then sleep; release never sleeps.
// Throws: acquire and the timed forms throw would_starve as blocking_region does, and then have
// taken nothing.
// Destruction: legal as soon as nobody is inside acquire and no permit is still to be given; the
// last access of release comes before its permit can be taken.
template <std::ptrdiff_t Max = std::numeric_limits<std::ptrdiff_t>::max()>
class counting_semaphore {
  static_assert(Max >= 0, "a semaphore has room for at least no permit");

 public:
  static constexpr std::ptrdiff_t max() noexcept { return Max; }

  // Throws std::invalid_argument unless 0 <= permits <= max().
  constexpr explicit counting_semaphore(std::ptrdiff_t permits)
      : core_(wait_kind::semaphore, permits, Max) {}
  // With a name for reports. Throws std::bad_alloc, too.
  counting_semaphore(std::ptrdiff_t permits, std::string_view name)
      : core_(wait_kind::semaphore, permits, Max, name) {}
  counting_semaphore(const counting_semaphore&) = delete;
  counting_semaphore& operator=(const counting_semaphore&) = delete;

  // Gives n permits. Throws std::invalid_argument when n is negative and std::overflow_error when
  // there would be more than max(); then none has been given.
  void release(std::ptrdiff_t n = 1) { core_.release(n, Max); }

  void acquire() { core_.acquire(wait_limit()); }
  // False when a stop was requested, and no permit taken.
  bool acquire(const prim::stop_token& stop) { return core_.acquire(wait_limit(stop)); }
  // Fails only when there is no permit.
  bool try_acquire() noexcept { return core_.try_acquire(); }
  // False when the deadline passed, or a stop was requested, first. At least one try is made, also
  // with a negative timeout.
  bool try_acquire_until(prim::time_point deadline, const prim::stop_token& stop = {}) {
    return core_.acquire(wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  bool try_acquire_for(std::chrono::duration<Rep, Period> timeout,
                       const prim::stop_token& stop = {}) {
    return try_acquire_until(prim::deadline_after(timeout), stop);
  }

  // Permits at this moment.
  std::ptrdiff_t available() const noexcept { return core_.available(); }

  // Records acquisitions and waits of this semaphore, whatever the process records.
  // Throws std::bad_alloc.
  void record(lock_recording what) { core_.record(what); }
  // Null when it has none.
  const char* name() const noexcept { return core_.probe().name(); }
  lock_statistics statistics() const { return core_.probe().statistics(); }

 private:
  friend struct detail::queue_access;

  semaphore_core core_;
};

using binary_semaphore = counting_semaphore<1>;

}  // namespace heddle::inline HEDDLE_ABI
