// The work-stealing deque of fork-join: its owner pays for thieves only when there are some.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/deque_buffer.hpp>
#include <heddle/prim/asymmetric_fence.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>

namespace heddle::inline HEDDLE_ABI {

// An unbounded deque of small trivially copyable values (pointers, as a rule) in two parts. The
// older values are shared, and may be stolen; the newer ones are private, and cost their owner
// neither a fence nor a read-modify-write. A thief that finds nothing shared asks; the owner's next
// push then shares half of what is private. An owner that does not push meanwhile cannot keep its
// values for itself: a thief may move the boundary, at its own expense.
//
// Thread-safety: push and pop by the owner alone, who may change over time if the change itself
// synchronizes; everything else by any thread.
// Memory ordering: what happened before push(v) happened before the pop or steal that returns v.
// push has a prim::light_fence() between its value and its look for requests, which pairs with a
// prim::heavy_fence() between ask() and empty().
// Blocks? Never. push and pop are wait-free but for growth while nobody steals, and lock-free else;
// steal is lock-free but for a moment in which another thief moves the boundary: see `lost`.
// Allocates when it grows; outgrown buffers are kept until destruction, because a thief may still
// read one, and add up to less than the largest.
// Destruction: no other thread is inside a call.
// Source: a split deque as in Dijk and van de Pol, "Lace: non-blocking split deque for
// work-stealing", Euro-Par 2014 workshops; its shared part after Chase and Lev, "Dynamic circular
// work-stealing deque", SPAA 2005; the thief's move after the protocol THE of Frigo, Leiserson,
// Randall, "The implementation of the Cilk-5 multithreaded language", PLDI 1998.
// docs/protocols/split_deque.md has the proof.
template <class T>
class split_deque {
 public:
  // The capacity is rounded up to a power of two. Throws std::invalid_argument for 0.
  explicit split_deque(std::size_t capacity = prim::limits::deque_capacity)
      : buffer_(buffer::make(buffer::rounded(capacity, "split_deque"))),
        room_until_(buffer_.load(prim::relaxed)->capacity()) {}
  ~split_deque() { buffer::destroy_all(buffer_.load(prim::relaxed)); }
  split_deque(const split_deque&) = delete;
  split_deque& operator=(const split_deque&) = delete;

  // Owner. True when somebody asked since it last was true: there is something to steal now, and
  // who asked may have fallen asleep.
  // Throws std::bad_alloc when it must grow and cannot; then nothing has changed.
  // Complexity: constant, amortized.
  bool push(T value) {
    if (!has_room()) [[unlikely]]
      make_room(bottom_.load(prim::relaxed));
    if (!push_into_room(value)) [[likely]]
      return false;
    answer();
    return true;
  }

  // Owner: push() in steps, for code that must not call anything in between. When there is room it
  // cannot throw; true: answer() is due.
  bool has_room() const noexcept { return bottom_.load(prim::relaxed) != room_until_.get(); }
  bool push_into_room(T value) noexcept {
    const std::int64_t bottom = bottom_.load(prim::relaxed);
    buffer_.load(prim::relaxed)->slot(bottom).store(value, prim::relaxed);
    bottom_.store(bottom + 1, prim::release);
    prim::light_fence();
    return asked_.load(prim::relaxed);
  }
  void answer() noexcept { answer(bottom_.load(prim::relaxed)); }

  // Owner: takes the newest value. False when there is none.
  bool pop(T& value) noexcept {
    const std::int64_t bottom = bottom_.load(prim::relaxed) - 1;
    if (!begin_pop() && !pop_at_split(bottom)) [[unlikely]]
      return false;
    value = buffer_.load(prim::relaxed)->slot(bottom).load(prim::relaxed);
    return true;
  }

  // Owner: pop() in steps, without the value. True: it is taken. False: end_pop() is due, and
  // tells.
  bool begin_pop() noexcept {
    const std::int64_t bottom = bottom_.load(prim::relaxed) - 1;
    // Release, as in push: a thief that reads this end must see the values below it.
    bottom_.store(bottom, prim::release);
    // The claim on `bottom` must be visible to a thief whose claim on the private part is not.
    prim::light_fence();
    return split_.load(prim::relaxed) <= bottom;
  }
  bool end_pop() noexcept { return pop_at_split(bottom_.load(prim::relaxed)); }

  // Owner, of a deque that is not empty: whether the newest value is nobody else's yet, and nobody
  // has asked for anything. Then whoever takes it sees what the owner wrote before this call.
  // False: it may be gone. pop() tells, or push() is due.
  bool keeps_newest() const noexcept {
    prim::light_fence();
    return split_.load(prim::relaxed) < bottom_.load(prim::relaxed) && !asked_.load(prim::relaxed);
  }

  // lost: another was faster, or is moving the boundary; there may be more.
  enum class theft { success, empty, lost };

  // Any thread: takes the oldest value if it is shared. Empty: none is.
  theft steal(T& value) noexcept {
    return steal_if(value, [](const T&) noexcept { return true; });
  }

  // The same, but the value stays when `may(value)` is false, and that counts as empty. It is asked
  // before the value is taken, which may be another's by then, and sees what happened before the
  // value's push.
  template <class Predicate>
  theft steal_if(T& value, Predicate may) noexcept {
    std::int64_t top = top_.load(prim::relaxed);
    if (split_.load(prim::relaxed) <= top) return theft::empty;
    prim::fence(prim::seq_cst);
    const std::int64_t split = split_.load(prim::acquire);
    if (is_claimed(split)) return theft::lost;
    if (split <= top) return theft::empty;
    // The slot may be overwritten meanwhile if the deque wraps; the exchange below then fails.
    const T found = buffer_.load(prim::acquire)->slot(top).load(prim::relaxed);
    if (!may(found)) return theft::empty;
    if (!top_.compare_exchange_strong(top, top + 1, prim::release, prim::relaxed)) {
      return theft::lost;
    }
    value = found;
    return theft::success;
  }

  // Any thread: asks the owner to share something when it next pushes.
  // Complexity: a write only if nobody has asked.
  void ask() noexcept {
    if (!asked_.load(prim::relaxed)) asked_.store(true, prim::relaxed);
  }

  // Whether somebody asked whom no push has answered.
  bool is_asked() const noexcept { return asked_.load(prim::relaxed); }

  // Any thread: shares half of the private part without the owner, for one who has asked in vain.
  // Success: something is shared now. Empty: there is nothing at all. Lost: somebody else is at
  // it, or the kernel refused the fence.
  // Complexity: some microseconds, and an interrupt for each CPU that runs a thread of the process.
  theft raise() noexcept {
    if (raising_.load(prim::relaxed) || raising_.exchange(true, prim::acquire)) return theft::lost;
    const theft result = raise_alone();
    raising_.store(false, prim::release);
    return result;
  }

  // A moment's count of both parts, exact for the owner while nobody steals.
  std::size_t size() const noexcept {
    const std::int64_t bottom = bottom_.load(prim::relaxed);
    const std::int64_t top = top_.load(prim::relaxed);
    return bottom > top ? static_cast<std::size_t>(bottom - top) : 0;
  }
  bool empty() const noexcept { return size() == 0; }

  // Owner: where the next value goes. Each push adds one, each pop that finds something takes one
  // away.
  std::int64_t end() const noexcept { return bottom_.load(prim::relaxed); }

  // Owner.
  std::size_t capacity() const noexcept {
    return static_cast<std::size_t>(buffer_.load(prim::relaxed)->capacity());
  }

 private:
  using buffer = detail::deque_buffer<T>;

  // Added to the boundary while a thief moves it: beyond every position, so that the owner's pop
  // takes notice.
  static constexpr std::int64_t claim = std::int64_t{1} << 62;
  static constexpr bool is_claimed(std::int64_t split) noexcept { return split >= claim; }

  // Half of the positions from `first` to `last - 1`, rounded up; none when there are none.
  static constexpr std::int64_t half(std::int64_t first, std::int64_t last) noexcept {
    return std::max<std::int64_t>(last - first + 1, 0) / 2;
  }

  [[gnu::noinline]] void make_room(std::int64_t bottom) {
    const std::int64_t top = top_.load(prim::acquire);
    buffer* b = buffer_.load(prim::relaxed);
    if (bottom - top >= b->capacity()) {
      b = b->grown(top, bottom);
      buffer_.store(b, prim::release);
    }
    room_until_.set(top + b->capacity());
  }

  // Owner. The request is forgotten first: who asks from here on asks for the next push.
  [[gnu::noinline]] void answer(std::int64_t bottom) noexcept {
    asked_.store(false, prim::relaxed);
    std::int64_t split = split_.load(prim::relaxed);
    std::int64_t shared;
    do {
      const std::int64_t from = split & ~claim;
      if (from == split && top_.load(prim::relaxed) < split) return;  // something is shared
      shared = from + half(from, bottom);
    } while (!split_.compare_exchange_weak(split, shared, prim::release, prim::relaxed));
  }

  // Owner, whose claim on position `bottom` met the boundary: whether the position is its own. If
  // not, the claim is withdrawn, and the deque is empty.
  [[gnu::noinline]] bool pop_at_split(const std::int64_t bottom) noexcept {
    const std::int64_t end = bottom + 1;
    for (std::int64_t split = split_.load(prim::relaxed); split > bottom;
         split = split_.load(prim::relaxed)) {
      if (is_claimed(split)) {
        // The thief need not be waited for: what it would share is known here as well.
        const std::int64_t from = split & ~claim;
        split_.compare_exchange_strong(split, from + half(from, bottom), prim::release,
                                       prim::relaxed);
        continue;
      }
      // Nothing is private: split == end.
      std::int64_t top = top_.load(prim::relaxed);
      if (end - top <= 1) {
        const bool won = top == bottom && top_.compare_exchange_strong(top, end, prim::relaxed);
        bottom_.store(end, prim::relaxed);
        return won;
      }
      if (take_back(split, split - (end - top) / 2)) return true;
    }
    return true;
  }

  // Owner: makes what is shared from `kept` on private again. False when thieves have come so far,
  // or somebody changed the boundary; then it is as before, or further up. What the exchanges leave
  // shared was published before.
  bool take_back(std::int64_t split, const std::int64_t kept) noexcept {
    const std::int64_t end = split;
    if (!split_.compare_exchange_strong(split, kept, prim::relaxed)) return false;
    // A thief has its own fence between its reads of `top` and of the boundary. Either it sees the
    // new boundary, or its `top` is not beyond the one that is read here.
    prim::fence(prim::seq_cst);
    if (top_.load(prim::relaxed) < kept) return true;
    // Who still goes by the old boundary may be about to take a position behind the new one. All
    // of it is shared again; a claim that came meanwhile has nothing to add.
    split = kept;
    while (!split_.compare_exchange_weak(split, end, prim::relaxed)) {
    }
    return false;
  }

  // One thief at a time. It stops the owner's pops, looks how far they have come, and shares what
  // is left; unless the owner, thus stopped, has done it.
  theft raise_alone() noexcept {
    std::int64_t split = split_.load(prim::relaxed);
    const std::int64_t top = top_.load(prim::relaxed);
    if (split > top) return theft::success;
    if (bottom_.load(prim::relaxed) <= top) return theft::empty;
    if (!split_.compare_exchange_strong(split, split | claim, prim::relaxed)) {
      return theft::lost;
    }
    std::int64_t claimed = split | claim;
    theft result = theft::lost;
    if (prim::heavy_fence()) {
      const std::int64_t from = std::max(split, top);
      const std::int64_t count = half(from, bottom_.load(prim::acquire));
      result = count != 0 ? theft::success : theft::empty;
      if (count != 0) split = from + count;
    }
    if (!split_.compare_exchange_strong(claimed, split, prim::release, prim::relaxed)) {
      return theft::lost;
    }
    return result;
  }

  // Of thieves.
  alignas(destructive_interference) prim::atomic<std::int64_t> top_{0};
  prim::atomic<bool> raising_{false};
  // Read by all, written when thieves ask, and when there are too many values.
  alignas(destructive_interference) prim::atomic<std::int64_t> split_{0};
  prim::atomic<bool> asked_{false};
  prim::atomic<buffer*> buffer_;
  // Of the owner.
  alignas(destructive_interference) prim::atomic<std::int64_t> bottom_{0};
  prim::cell<std::int64_t> room_until_;  // position up to which the buffer is known to suffice
};

}  // namespace heddle::inline HEDDLE_ABI
