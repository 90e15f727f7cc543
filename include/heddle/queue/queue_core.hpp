// What the blocking queues have in common: how much was put and taken, who sleeps, and the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/patience.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Positions count items for ever. One is the number of a slot, and above it how often all slots
// have been used: so a queue has as many slots as it was asked for, and no position is divided.
// Source: crossbeam-channel's array flavour (Glavina) has laps in its stamps.
class HEDDLE_API queue_positions {
 public:
  using position = std::uint64_t;  // the two lowest bits are 0

  // Throws std::invalid_argument, naming the queue, for 0 and beyond 2^40.
  queue_positions(const char* queue, std::size_t capacity);

  std::size_t capacity() const noexcept { return capacity_; }
  // The smallest one of a model is soon to wrap around.
  position first() const noexcept;
  std::size_t slot(position p) const noexcept { return (p & (round_ - 1)) / unit; }
  // From a position of a slot to its next one.
  position round() const noexcept { return round_; }

  position after(position p) const noexcept {
    return slot(p) + 1 == capacity_ ? (p & ~(round_ - 1)) + round_ : p + unit;
  }
  position after(position p, std::size_t n) const noexcept {
    const std::size_t slot_after = slot(p) + n;
    if (slot_after < capacity_) return p + n * unit;
    return (p & ~(round_ - 1)) + slot_after / capacity_ * round_ + slot_after % capacity_ * unit;
  }
  // How many steps it is from one to the other.
  std::int64_t distance(position from, position to) const noexcept {
    const auto slots = [this](position p) { return static_cast<std::int64_t>(slot(p)); };
    const position whole = to - from + slot(from) * unit;  // rounds, and the slot of `to`
    return (static_cast<std::int64_t>(whole) >> round_bits_) *
               static_cast<std::int64_t>(capacity_) +
           slots(to) - slots(from);
  }

 private:
  static constexpr position unit = 4;

  std::size_t capacity_;
  position round_;  // a power of two
  unsigned round_bits_;
};

// What stands in one of the words of a queue: a position and two bits.
struct queue_word {
  static constexpr std::uint64_t awaited = 1;
  static constexpr std::uint64_t closed = 2;
  static constexpr std::uint64_t flags = awaited | closed;

  std::uint64_t at() const noexcept { return bits & ~flags; }
  // Whoever moves this word is to wake one who sleeps until it moves.
  bool is_awaited() const noexcept { return (bits & awaited) != 0; }
  // Of the tail alone.
  bool is_closed() const noexcept { return (bits & closed) != 0; }
  queue_word moved_to(std::uint64_t position) const noexcept { return {position | (bits & flags)}; }

  std::uint64_t bits;
};

// Which side of the queue somebody is on, and sleeps on.
enum class queue_side : std::uint8_t { put, get };

// How one try ended.
enum class queue_outcome : std::uint8_t {
  done,
  not_now,  // full, or empty
  closed,   // and, for those who get, drained
};

// The two ends of a queue and those who sleep there; the items are kept elsewhere.
//
// The tail is where the next item is put, the head where the next one is taken; both are moved by
// compare and swap, the items follow. So a put is done when it moves the tail, a get when it moves
// the head, the end of the queue when its bit is set in the tail. Who finds the other side in the
// middle of handing over its item waits for that as for a short lock.
// docs/protocols/bounded_queue.md says why no wake-up is lost, and costs no fence.
class HEDDLE_API queue_core {
 public:
  using position = queue_positions::position;

  queue_core(const char* queue, std::size_t capacity, std::string_view name);
  queue_core(const queue_core&) = delete;
  queue_core& operator=(const queue_core&) = delete;

  const queue_positions& positions() const noexcept { return positions_; }
  queue_word tail() const noexcept { return {tail_.load(prim::relaxed)}; }
  queue_word head() const noexcept { return {head_.load(prim::relaxed)}; }

  // Whether the queue is full when its tail is there.
  bool is_full(position tail) const noexcept { return head().at() + positions_.round() == tail; }

  // False when the word is no more what was seen, or for nothing; `seen` is what it is now.
  bool move_tail(queue_word& seen, position to) noexcept {
    return tail_.compare_exchange_weak(seen.bits, seen.moved_to(to).bits, prim::relaxed);
  }
  bool move_head(queue_word& seen, position to) noexcept {
    return head_.compare_exchange_weak(seen.bits, seen.moved_to(to).bits, prim::relaxed);
  }

  // To be called when the items are where the other side finds them: `seen` is what the word was
  // before it was moved.
  void has_put(queue_word seen, position to) noexcept {
    if (seen.is_awaited()) [[unlikely]]
      wake(queue_side::get);
    if constexpr (counts_peak) note_length(to);
  }
  void has_taken(queue_word seen) noexcept {
    if (seen.is_awaited()) [[unlikely]]
      wake(queue_side::put);
  }

  void close() noexcept;
  bool closed() const noexcept { return tail().is_closed(); }
  // To be called before a caller is told of the end: what came before close() is seen afterwards,
  // and close() touches the queue no more.
  void meet_closer() noexcept;

  // Throws std::invalid_argument when fewer than n were taken and not done.
  void task_done(std::size_t n);
  bool join(const wait_limit& limit);

  std::size_t length() const noexcept;
  std::size_t peak() const noexcept { return peak_.load(prim::relaxed); }
  std::uint64_t total_put() const noexcept;
  std::uint64_t total_taken() const noexcept;

  lock_probe& probe(queue_side side) noexcept {
    return side == queue_side::put ? put_probe_ : get_probe_;
  }
  const lock_probe& probe(queue_side side) const noexcept {
    return side == queue_side::put ? put_probe_ : get_probe_;
  }
  // The calling thread is known as one who puts, or gets.
  void note_user(queue_side side) noexcept {
    if (side == queue_side::put) {
      put_probe_.gave();
    } else {
      get_probe_.took();
    }
  }
  static constexpr wait_kind kind(queue_side side) noexcept {
    return side == queue_side::put ? wait_kind::full_queue : wait_kind::empty_queue;
  }
  void record(lock_recording what);
  // So many items were put or taken without a wait.
  void note_passed(queue_side side, std::size_t items) noexcept {
    if (probe(side).active()) [[unlikely]]
      note_passed_observed(side, items);
  }

 private:
  friend class queue_wait;
  static constexpr bool counts_peak = !HEDDLE_MODEL;  // a figure synchronizes nothing

  struct sleepers {
    prim::short_lock lock;
    wait_queue queue HEDDLE_GUARDED_BY(lock);
    bool waking HEDDLE_GUARDED_BY(lock) = false;  // one was chosen, and has not come to relay()
  };
  sleepers& on(queue_side side) noexcept { return side == queue_side::put ? putters_ : getters_; }
  // The word whose movement those on a side sleep for.
  prim::atomic<std::uint64_t>& awaited_by(queue_side side) noexcept {
    return side == queue_side::put ? head_ : tail_;
  }
  queue_word awaited(queue_side side) const noexcept {
    return side == queue_side::put ? head() : tail();
  }
  void note_passed_observed(queue_side side, std::size_t items) noexcept;
  wait_record record_of_wait(queue_side side, const wait_limit& limit) const noexcept;

  bool nothing_for(queue_side side, queue_word awaited) const noexcept;
  bool nothing_for(queue_side side) const noexcept;
  bool announce(queue_side side) noexcept;
  void choose(sleepers& s, queue_side side, wait_queue::chain& woken) noexcept
      HEDDLE_REQUIRES(s.lock);

  bool append(queue_side side, wait_queue::node& n) noexcept;
  bool withdraw(queue_side side, wait_queue::node& n) noexcept;
  void wake(queue_side side) noexcept;
  void relay(queue_side side) noexcept;

  bool finish_under_lock(queue_word& seen, queue_word next) noexcept;
  bool append_joiner(wait_queue::node& n) noexcept;
  bool withdraw_joiner(wait_queue::node& n) noexcept;

  void note_length(position tail) noexcept {
    const std::size_t peak = peak_.load(prim::relaxed);
    if (peak == positions_.capacity()) return;
    // The head was at least there: no more than this can be in the queue.
    const position head = head_seen_.load(prim::relaxed);
    if (positions_.distance(head, tail) > static_cast<std::int64_t>(peak)) raise_peak(tail);
  }
  void raise_peak(position tail) noexcept;

  // What is read by all and seldom written, each end, and what is seldom used, on lines of their
  // own.
  const queue_positions positions_;
  lock_probe put_probe_;
  lock_probe get_probe_;
  alignas(destructive_interference) prim::atomic<std::uint64_t> tail_;
  prim::atomic<position> head_seen_;  // by those who put
  prim::atomic<std::size_t> peak_{0};
  alignas(destructive_interference) prim::atomic<std::uint64_t> head_;
  alignas(destructive_interference) sleepers putters_;
  sleepers getters_;
  // As many items as it is from the first position to here are done; it is awaited by joiners.
  prim::atomic<std::uint64_t> done_;
  prim::short_lock join_lock_;
  wait_queue joiners_ HEDDLE_GUARDED_BY(join_lock_);
};

// A put or get that could not be done at once, while it lasts: its caller tries again as often as
// it is told to.
class HEDDLE_API queue_wait {
 public:
  // The limit outlives the wait.
  queue_wait(queue_core& core, queue_side side, const wait_limit& limit) noexcept
      : core_(core),
        side_(side),
        limit_(limit),
        recorded_(core.probe(side), core.kind(side), &core) {}
  ~queue_wait();
  queue_wait(const queue_wait&) = delete;
  queue_wait& operator=(const queue_wait&) = delete;

  // After a try that was told not_now: waits until another one makes sense. False when the limit
  // has come first. Throws would_starve as blocking_region does.
  bool again();
  // Whether the next try decides about sleeping, and has to look at the other side's word.
  bool is_sleepy() const noexcept { return spin_.exhausted(); }
  // It is done.
  void passed() noexcept {
    recorded_.passed();
    core_.note_user(side_);
  }

 private:
  void relay() noexcept;

  queue_core& core_;
  const queue_side side_;
  const wait_limit& limit_;
  lock_wait recorded_;
  prim::patience spin_;
  std::optional<wait_record> record_;
  std::optional<blocking_region> region_;
  wait_queue::node node_;
  bool chosen_ = false;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
