// The work-stealing deque: one owner at one end, thieves at the other.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/deque_buffer.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>

namespace heddle::inline HEDDLE_ABI {

// An unbounded deque of small trivially copyable values (pointers, as a rule).
//
// Thread-safety: push and pop by the owner alone, who may change over time if the change itself
// synchronizes; steal, size and empty by any thread.
// Memory ordering: what happened before push(v) happened before the pop or steal that returns v.
// pop carries a full fence, push none.
// Blocks? Never; steal is lock-free, push and pop are wait-free but for growth.
// Allocates when it grows; outgrown buffers are kept until destruction, because a thief may still
// read one, and add up to less than the largest.
// Destruction: no other thread is inside a call.
// Source: Chase and Lev, "Dynamic circular work-stealing deque", SPAA 2005; memory orders after
// Le, Pop, Cohen, Zappa Nardelli, "Correct and efficient work-stealing for weak memory models",
// PPoPP 2013, with one difference: a new buffer is published by a release store and read by an
// acquire load, where the published code has relaxed ones that let a thief read an old slot.
template <class T>
class ws_deque {
 public:
  // The capacity is rounded up to a power of two. Throws std::invalid_argument for 0.
  explicit ws_deque(std::size_t capacity = prim::limits::deque_capacity)
      : buffer_(buffer::make(buffer::rounded(capacity, "ws_deque"))) {}
  ~ws_deque() { buffer::destroy_all(buffer_.load(prim::relaxed)); }
  ws_deque(const ws_deque&) = delete;
  ws_deque& operator=(const ws_deque&) = delete;

  // Owner. Throws std::bad_alloc when it must grow and cannot; then nothing has changed.
  // Complexity: constant, amortized.
  void push(T value) {
    const std::int64_t bottom = bottom_.load(prim::relaxed);
    const std::int64_t top = top_.load(prim::acquire);
    buffer* b = buffer_.load(prim::relaxed);
    if (bottom - top >= b->capacity()) {
      b = b->grown(top, bottom);
      buffer_.store(b, prim::release);
    }
    b->slot(bottom).store(value, prim::relaxed);
    bottom_.store(bottom + 1, prim::release);
  }

  // Owner: takes the newest value. False when there is none.
  bool pop(T& value) noexcept {
    const std::int64_t bottom = bottom_.load(prim::relaxed) - 1;
    buffer* const b = buffer_.load(prim::relaxed);
    // Release, as in push: a thief that reads this end must see the values below it. (The published
    // push has a release fence, which covers the stores that follow it; a release store does not.)
    bottom_.store(bottom, prim::release);
    // The claim on `bottom` must be visible before the thieves' end is read, or both could take the
    // last value.
    prim::fence(prim::seq_cst);
    std::int64_t top = top_.load(prim::relaxed);
    if (top > bottom) {
      bottom_.store(bottom + 1, prim::relaxed);
      return false;
    }
    value = b->slot(bottom).load(prim::relaxed);
    if (top < bottom) return true;
    const bool won = top_.compare_exchange_strong(top, top + 1, prim::seq_cst, prim::relaxed);
    bottom_.store(bottom + 1, prim::relaxed);
    return won;
  }

  enum class theft { success, empty, lost };

  // Any thread: takes the oldest value. `lost` means that another took it first; there may be more.
  theft steal(T& value) noexcept {
    std::int64_t top = top_.load(prim::acquire);
    prim::fence(prim::seq_cst);
    const std::int64_t bottom = bottom_.load(prim::acquire);
    if (top >= bottom) return theft::empty;
    // The slot may be overwritten meanwhile if the deque wraps; the exchange below then fails.
    const T found = buffer_.load(prim::acquire)->slot(top).load(prim::relaxed);
    if (!top_.compare_exchange_strong(top, top + 1, prim::seq_cst, prim::relaxed)) {
      return theft::lost;
    }
    value = found;
    return theft::success;
  }

  // A moment's count, exact for the owner while nobody steals.
  std::size_t size() const noexcept {
    const std::int64_t bottom = bottom_.load(prim::acquire);
    const std::int64_t top = top_.load(prim::acquire);
    return bottom > top ? static_cast<std::size_t>(bottom - top) : 0;
  }
  bool empty() const noexcept { return size() == 0; }

  // Owner.
  std::size_t capacity() const noexcept {
    return static_cast<std::size_t>(buffer_.load(prim::relaxed)->capacity());
  }

 private:
  using buffer = detail::deque_buffer<T>;

  alignas(destructive_interference) prim::atomic<std::int64_t> top_{0};
  alignas(destructive_interference) prim::atomic<std::int64_t> bottom_{0};
  prim::atomic<buffer*> buffer_;
};

}  // namespace heddle::inline HEDDLE_ABI
