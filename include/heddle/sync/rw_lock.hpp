// A reader-writer lock whose readers share nothing while nobody writes.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/reader_table.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// The word of an rw_lock, as a value.
class rw_state {
 public:
  using bits_type = std::uint64_t;

  constexpr explicit rw_state(bits_type bits) noexcept : bits_(bits) {}
  static constexpr rw_state fresh() noexcept {
    return rw_state(biased | prim::limits::reader_calm * one_calm);
  }
  constexpr bits_type bits() const noexcept { return bits_; }

  // A writer holds the lock, or waits for the readers that were there before it.
  bool has_writer() const noexcept { return (bits_ & writer) != 0; }
  // Readers may enter the table instead of being counted. Then there is no writer, and no queue.
  bool is_biased() const noexcept { return (bits_ & biased) != 0; }
  // There may be readers in the table.
  bool may_be_in_table() const noexcept { return (bits_ & (biased | in_table)) != 0; }
  bool is_queued() const noexcept { return (bits_ & queued) != 0; }
  // The writer sleeps until the last counted reader has left.
  bool is_awaited() const noexcept { return (bits_ & awaited) != 0; }
  bits_type readers() const noexcept { return (bits_ & reader_mask) / one_reader; }
  // Nobody holds it or waits to hold it, but for those in the queue.
  bool is_free() const noexcept {
    return (bits_ & (writer | biased | in_table | reader_mask)) == 0;
  }
  // To read without waiting. Whoever has waited may join other readers before a queue.
  bool may_join(bool has_waited) const noexcept {
    if (has_writer() || readers() == reader_mask / one_reader) return false;
    return has_waited || !is_queued() || readers() == 0;
  }
  // The last counted reader, for which somebody waits.
  bool is_last_and_wanted() const noexcept {
    return readers() == 1 && (is_awaited() || (is_queued() && !has_writer()));
  }

  // By a writer. Readers are counted from now on, also those that come after it.
  rw_state claimed() const noexcept {
    return rw_state((bits_ & ~(biased | left_mask)) | writer | (is_biased() ? in_table : 0) |
                    (bits_ / one_calm) * one_left);
  }
  rw_state without_writer() const noexcept { return rw_state(bits_ & ~writer); }
  // So many reads pass after a write before readers are no longer counted.
  rw_state with_calm(bits_type reads) const noexcept {
    return rw_state((bits_ & (one_calm - 1)) | reads * one_calm);
  }
  // A reader more, and one step towards the table; in the end it is opened.
  rw_state joined() const noexcept {
    if ((bits_ & left_mask) != 0) return rw_state(bits_ + one_reader - one_left);
    return rw_state((bits_ + one_reader) | (is_queued() ? 0 : biased));
  }
  rw_state with_readers(bits_type more) const noexcept {
    return rw_state(bits_ + more * one_reader);
  }
  rw_state without_reader() const noexcept { return rw_state(bits_ - one_reader); }
  rw_state with_queue(bool there) const noexcept {
    return rw_state(there ? bits_ | queued : bits_ & ~queued);
  }
  rw_state with_awaited(bool there) const noexcept {
    return rw_state(there ? bits_ | awaited : bits_ & ~awaited);
  }

  static constexpr bits_type in_table = 4;
  static constexpr bits_type most_calm = 0xffff;

 private:
  static constexpr bits_type writer = 1;
  static constexpr bits_type biased = 2;
  static constexpr bits_type queued = 8;
  static constexpr bits_type awaited = 16;
  static constexpr bits_type one_reader = bits_type{1} << 8;
  static constexpr bits_type reader_mask = (bits_type{1} << 32) - one_reader;
  static constexpr bits_type one_left = bits_type{1} << 32;  // reads until the table is opened
  static constexpr bits_type left_mask = (bits_type{1} << 48) - one_left;
  static constexpr bits_type one_calm = bits_type{1} << 48;  // where that count begins

  bits_type bits_;
};

}  // namespace detail

// Held by one writer or by any number of readers. Meets the standard's SharedTimedMutex
// requirements, and has forms that a stop ends. Neither side is recursive. A worker that waits for
// it lets its pool put a spare worker in its place.
//
// While nobody writes, a reader writes only to a row of its own: an exchange there and a load of
// the lock are what reading costs. A writer then has to look at the rows of all threads; it turns
// that way of reading off until some reads have passed without a write, the more the more threads
// there are. So it suits what is read much more often than written; with a writer at every tenth
// access it is a lock like others.
//
// Fairness: a writer waits for the readers that are there when it comes, and for none that come
// later; one that comes while another writes waits in the queue, as readers do. The queue is served
// at each release by its eldest: a writer, or all readers in it. Whoever comes at that moment may
// be faster, but no one in the queue is overtaken more than three times after having been woken:
// then the lock is handed over. So neither side is starved.
// Blocks? lock and lock_shared spin briefly, then sleep; the unlocks never sleep.
// Memory ordering: unlock synchronizes with the next lock and lock_shared, unlock_shared with the
// next lock.
// Throws: what waits throws would_starve as blocking_region does, and then does not hold the lock.
// Requires: a reader unlocks on the thread on which it locked, in any order with other locks.
// Misuse: where locks are checked (check_locks: in a debug build of the library) an unlock of what
// is not locked, or is held by another thread, and a lock or lock_shared without a limit by the
// thread that writes, end the process with a message that names the lock. Elsewhere these are
// undefined. A thread that reads and wants to write waits for itself; one that reads and reads once
// more does so when a writer waits between.
// Destruction: legal as soon as no thread holds it or waits for it; the last access of an unlock
// comes before the lock can be had by another.
// Source: readers in a table are D. Dice's and A. Kogan's BRAVO ("BRAVO: biased locking for
// reader-writer locks", USENIX ATC 2019).
class HEDDLE_API HEDDLE_CAPABILITY("shared_mutex") rw_lock {
 public:
  constexpr rw_lock() noexcept = default;
  // With a name for reports, which is copied. Throws std::bad_alloc.
  explicit rw_lock(std::string_view name) : probe_(wait_kind::rw_lock, this, name) {}
  rw_lock(const rw_lock&) = delete;
  rw_lock& operator=(const rw_lock&) = delete;

  void lock() HEDDLE_ACQUIRE() {
    if (probe_.active()) [[unlikely]] {
      lock_observed(wait_limit());
    } else if (!take()) {
      lock_slow(wait_limit());
    }
  }
  // False when a stop was requested, and it is not locked.
  bool lock(const prim::stop_token& stop) HEDDLE_TRY_ACQUIRE(true) {
    return lock_within(wait_limit(stop));
  }
  // Fails when somebody holds it, and may fail when somebody is about to.
  bool try_lock() noexcept HEDDLE_TRY_ACQUIRE(true) {
    if (probe_.active()) [[unlikely]]
      return try_lock_observed();
    return take() || try_lock_slow();
  }
  // False when the deadline passed, or a stop was requested, first. At least one try is made, also
  // with a negative timeout.
  bool try_lock_until(prim::time_point deadline, const prim::stop_token& stop = {})
      HEDDLE_TRY_ACQUIRE(true) {
    return lock_within(wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  bool try_lock_for(std::chrono::duration<Rep, Period> timeout, const prim::stop_token& stop = {})
      HEDDLE_TRY_ACQUIRE(true) {
    return try_lock_until(prim::deadline_after(timeout), stop);
  }
  // Requires: the calling thread holds the lock as its writer.
  void unlock() noexcept HEDDLE_RELEASE() {
    if (probe_.active_at_release()) [[unlikely]]
      note_unlock();
    const state s = now();
    if (s.is_queued() || !exchange(s, s.without_writer(), prim::release)) unlock_slow();
  }

  void lock_shared() HEDDLE_ACQUIRE_SHARED() {
    if (probe_.active()) [[unlikely]] {
      lock_shared_observed(wait_limit());
    } else if (!enter_table() && !join()) {
      lock_shared_slow(wait_limit());
    }
  }
  bool lock_shared(const prim::stop_token& stop) HEDDLE_TRY_ACQUIRE_SHARED(true) {
    return lock_shared_within(wait_limit(stop));
  }
  // Fails when somebody writes or waits to write.
  bool try_lock_shared() noexcept HEDDLE_TRY_ACQUIRE_SHARED(true) {
    if (probe_.active()) [[unlikely]]
      return try_lock_shared_observed();
    return enter_table() || try_lock_shared_slow();
  }
  bool try_lock_shared_until(prim::time_point deadline, const prim::stop_token& stop = {})
      HEDDLE_TRY_ACQUIRE_SHARED(true) {
    return lock_shared_within(wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  bool try_lock_shared_for(std::chrono::duration<Rep, Period> timeout,
                           const prim::stop_token& stop = {}) HEDDLE_TRY_ACQUIRE_SHARED(true) {
    return try_lock_shared_until(prim::deadline_after(timeout), stop);
  }
  // Requires: the calling thread holds the lock as a reader.
  void unlock_shared() noexcept HEDDLE_RELEASE_SHARED() {
    if (lock_probe::checked()) [[unlikely]]
      check_unlock_shared();
    const state s = now();
    if (s.may_be_in_table()) {  // which a reader in the table sees until it leaves
      detail::reader_row* const row = detail::reader_row::mine();
      auto* const slot = row != nullptr ? row->find(this) : nullptr;
      if (slot != nullptr) {
        row->give_up(*slot);  // touches the row, and not the lock
        return;
      }
    }
    if (s.is_last_and_wanted() || !exchange(s, s.without_reader(), prim::release)) leave_slow();
  }

  // Records acquisitions and waits of this lock, and how long it is written to, whatever the
  // process records. Readers are counted, their holds are not measured. Throws std::bad_alloc.
  void record(lock_recording what) { probe_.record(what, wait_kind::rw_lock, this); }
  // All zero when nothing was recorded. Allocates. Throws std::bad_alloc.
  lock_statistics statistics() const { return probe_.statistics(); }
  // Null when it has none.
  const char* name() const noexcept { return probe_.name(); }
  // prim::thread_number of its writer; 0 when there is none, or owners are not tracked
  // (track_lock_owners, check_locks, record).
  std::uint32_t owner() const noexcept { return probe_.owner(); }

 private:
  using state = detail::rw_state;
  struct sleeper;
  class announced_wait;
  enum class leaving : std::uint8_t;

  state now() const noexcept { return state(word_.load(prim::relaxed)); }
  bool exchange(state from, state to, prim::memory_order order) noexcept {
    state::bits_type expected = from.bits();
    return word_.compare_exchange_weak(expected, to.bits(), order, prim::relaxed);
  }

  bool take() noexcept {
    const state s = now();
    return s.is_free() && exchange(s, s.claimed(), prim::acquire);
  }
  // Makes this thread visible as a reader, if that is the way of the moment. The exchange and the
  // load are seq_cst, as are the writer's exchange of the word and its loads of the slots: either
  // this thread sees that there is a writer, or the writer sees it in its slot.
  bool enter_table() noexcept {
    if (!now().is_biased()) return false;
    detail::reader_row* const row = detail::reader_row::mine();
    if (row == nullptr) return false;
    auto* const slot = row->find(nullptr);
    if (slot == nullptr) return false;
    slot->exchange(this, prim::seq_cst);
    if (state(word_.load(prim::seq_cst)).is_biased()) return true;
    row->give_up(*slot);
    return false;
  }
  bool join() noexcept {
    const state s = now();
    return !s.is_biased() && s.may_join(false) && exchange(s, s.joined(), prim::acquire);
  }

  bool lock_within(const wait_limit& limit) {
    if (probe_.active()) [[unlikely]]
      return lock_observed(limit);
    return take() || lock_slow(limit);
  }
  bool lock_shared_within(const wait_limit& limit) {
    if (probe_.active()) [[unlikely]]
      return lock_shared_observed(limit);
    return enter_table() || lock_shared_slow(limit);
  }

  bool lock_slow(const wait_limit& limit);
  bool try_lock_slow() noexcept;
  void unlock_slow() noexcept;
  bool lock_shared_slow(const wait_limit& limit);
  bool try_lock_shared_slow() noexcept;
  void leave_slow() noexcept;

  // With the probe.
  bool lock_observed(const wait_limit& limit);
  bool try_lock_observed() noexcept;
  void note_unlock() noexcept;
  bool lock_shared_observed(const wait_limit& limit);
  bool try_lock_shared_observed() noexcept;
  void check_unlock_shared() const noexcept;

  template <class Try>
  bool wait_in_turn(sleeper& me, const wait_limit& limit, announced_wait& wait, Try attempt);
  bool append(sleeper& s) noexcept;
  bool withdraw(sleeper& s) noexcept;
  bool pass_on(leaving who) noexcept;

  bool await_readers(const wait_limit& limit, announced_wait& wait);
  bool await_table(const wait_limit& limit, announced_wait& wait);
  bool await_counted(const wait_limit& limit, announced_wait& wait);
  bool release_to_awaiting() noexcept;
  bool is_in_table() const noexcept;
  state claimed(state s) const noexcept;

  // Only read-modify-writes change it, so that whoever reads it sees what each earlier holder
  // released.
  prim::atomic<state::bits_type> word_{state::fresh().bits()};
  prim::short_lock lock_;
  wait_queue queue_ HEDDLE_GUARDED_BY(lock_);
  thread_waiter* awaiting_ HEDDLE_GUARDED_BY(lock_) = nullptr;  // the writer, while it is awaited
  lock_probe probe_;
};

// Holds a lock for a scope, as std::shared_lock and std::lock_guard do, in a form that clang's
// thread-safety analysis understands.
class HEDDLE_SCOPED_CAPABILITY read_guard {
 public:
  explicit read_guard(rw_lock& lock) HEDDLE_ACQUIRE_SHARED(lock) : lock_(lock) {
    lock_.lock_shared();
  }
  ~read_guard() HEDDLE_RELEASE() { lock_.unlock_shared(); }
  read_guard(const read_guard&) = delete;
  read_guard& operator=(const read_guard&) = delete;

 private:
  rw_lock& lock_;
};

class HEDDLE_SCOPED_CAPABILITY write_guard {
 public:
  explicit write_guard(rw_lock& lock) HEDDLE_ACQUIRE(lock) : lock_(lock) { lock_.lock(); }
  ~write_guard() HEDDLE_RELEASE() { lock_.unlock(); }
  write_guard(const write_guard&) = delete;
  write_guard& operator=(const write_guard&) = delete;

 private:
  rw_lock& lock_;
};

}  // namespace heddle::inline HEDDLE_ABI
