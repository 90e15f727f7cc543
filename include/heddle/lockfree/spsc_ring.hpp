// A bounded queue between one producer and one consumer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>

namespace heddle::inline HEDDLE_ABI {

// First in, first out. T may be move-only and over-aligned, and its constructors and assignments
// may throw; its destructor does not.
//
// A false takes all that happened before the call into account; of what the other side does
// meanwhile the caller may have seen nothing yet. A thread that wants to sleep on it needs a full
// fence between announcing that and trying once more, as event_count has one.
//
// Thread-safety: try_push, try_emplace and push_n by one thread at a time, the producer; try_pop
// and pop_n by one, the consumer; each side may change threads if the change itself synchronizes;
// size and empty by any thread.
// Memory ordering: what happened before a push happened before the pop that returns its element,
// and what happened before that pop before the push that uses its slot again.
// Blocks? Never: every operation is wait-free.
// Allocates in the constructor alone.
// Throws what T throws. When constructing an element throws, the ring is as before. When moving one
// out throws, it stays the oldest element, in the state in which T's move left it. In a batch this
// goes for the element at hand; those before it have been put or taken.
// Destruction destroys what is left; no other thread is inside a call.
// Source: Lamport, "Specifying concurrent program modules", TOPLAS 1983; the copies of the other
// side's position after Lee, Bu and Chandranmenon, "A lock-free, cache-efficient shared ring buffer
// for multi-core architectures" (MCRingBuffer), ANCS 2009.
template <class T>
class spsc_ring {
 public:
  using value_type = T;

  // Holds exactly `capacity` elements; their memory is that of the next power of two.
  // Throws std::invalid_argument for 0 and beyond 2^40, std::bad_alloc.
  explicit spsc_ring(std::size_t capacity)
      : mask_(detail::slots_for("spsc_ring", capacity) - 1),
        capacity_(capacity),
        slots_(make_slots(mask_ + 1)) {}
  ~spsc_ring();
  spsc_ring(const spsc_ring&) = delete;
  spsc_ring& operator=(const spsc_ring&) = delete;

  // Producer. False when the ring is full; the value is untouched then.
  bool try_push(const T& value) { return try_emplace(value); }
  bool try_push(T&& value) { return try_emplace(std::move(value)); }

  // Producer: constructs T(args...) in its place. False, and nothing is constructed, when the ring
  // is full.
  template <class... Args>
  bool try_emplace(Args&&... args);

  // Producer: puts *first, *++first and so on, `count` of them at most, and returns how many there
  // was room for. (With std::move_iterator they are moved.) They become visible together.
  template <class Iterator>
  std::size_t push_n(Iterator first, std::size_t count);

  // Consumer: moves the oldest element to `value`. False when there is none.
  bool try_pop(T& value);
  std::optional<T> try_pop();

  // Consumer: assigns the oldest elements, `most` at most, to *out, *++out and so on, and returns
  // how many there were.
  template <class Output>
  std::size_t pop_n(Output out, std::size_t most);

  // A moment's count. The producer can rely on it not to grow, the consumer on it not to shrink.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }
  std::size_t capacity() const noexcept { return capacity_; }

 private:
  using slot = detail::element_slot<T>;

  // Positions count elements for ever; a slot is a position's low bits.
  using position = std::uint64_t;

  // Moves one side's position on as far as the batch came, also when T throws.
  struct progress {
    prim::atomic<position>& published;
    position at;
    ~progress() { published.store(at, prim::release); }
  };

  static constexpr std::size_t alignment = std::max(alignof(slot), destructive_interference);

  static slot* make_slots(std::size_t count) {
    auto* const slots = static_cast<slot*>(prim::allocate(count * sizeof(slot), alignment));
    std::uninitialized_default_construct_n(slots, count);
    return slots;
  }
  slot& at(position p) noexcept { return slots_[p & mask_]; }

  // How many of `wanted` there is room for, or there are. Both look at the other side's position,
  // which may have to travel from its core, only when the copy does not suffice.
  std::size_t room(position tail, std::size_t wanted) noexcept;
  std::size_t stock(position head, std::size_t wanted) noexcept;

  const std::size_t mask_;
  const std::size_t capacity_;
  slot* const slots_;

  // The producer's line: where it puts next, and how far it knows the consumer to be.
  alignas(destructive_interference) prim::atomic<position> tail_{prim::limits::first_position};
  prim::cell<position> head_seen_{position{prim::limits::first_position}};

  // The consumer's.
  alignas(destructive_interference) prim::atomic<position> head_{prim::limits::first_position};
  prim::cell<position> tail_seen_{position{prim::limits::first_position}};
};

template <class T>
spsc_ring<T>::~spsc_ring() {
  const position tail = tail_.load(prim::relaxed);
  for (position p = head_.load(prim::relaxed); p != tail; ++p) at(p).destroy();
  std::destroy_n(slots_, mask_ + 1);
  prim::deallocate(slots_, (mask_ + 1) * sizeof(slot), alignment);
}

template <class T>
std::size_t spsc_ring<T>::room(position tail, std::size_t wanted) noexcept {
  std::size_t free = capacity_ - static_cast<std::size_t>(tail - head_seen_.get());
  if (free < wanted) {
    head_seen_.set(head_.load(prim::acquire));
    free = capacity_ - static_cast<std::size_t>(tail - head_seen_.get());
  }
  return std::min(free, wanted);
}

template <class T>
std::size_t spsc_ring<T>::stock(position head, std::size_t wanted) noexcept {
  auto there = static_cast<std::size_t>(tail_seen_.get() - head);
  if (there < wanted) {
    tail_seen_.set(tail_.load(prim::acquire));
    there = static_cast<std::size_t>(tail_seen_.get() - head);
  }
  return std::min(there, wanted);
}

template <class T>
template <class... Args>
bool spsc_ring<T>::try_emplace(Args&&... args) {
  const position tail = tail_.load(prim::relaxed);
  if (room(tail, 1) == 0) return false;
  at(tail).construct(std::forward<Args>(args)...);
  tail_.store(tail + 1, prim::release);
  return true;
}

template <class T>
template <class Iterator>
std::size_t spsc_ring<T>::push_n(Iterator first, std::size_t count) {
  const position tail = tail_.load(prim::relaxed);
  count = room(tail, count);
  if (count == 0) return 0;
  progress done{tail_, tail};
  for (const position end = tail + count; done.at != end; ++done.at, ++first) {
    at(done.at).construct(*first);
  }
  return count;
}

template <class T>
bool spsc_ring<T>::try_pop(T& value) {
  const position head = head_.load(prim::relaxed);
  if (stock(head, 1) == 0) return false;
  at(head).take([&](T&& oldest) { value = std::move(oldest); });
  head_.store(head + 1, prim::release);
  return true;
}

template <class T>
std::optional<T> spsc_ring<T>::try_pop() {
  std::optional<T> value;
  const position head = head_.load(prim::relaxed);
  if (stock(head, 1) == 0) return value;
  at(head).take([&](T&& oldest) { value.emplace(std::move(oldest)); });
  head_.store(head + 1, prim::release);
  return value;
}

template <class T>
template <class Output>
std::size_t spsc_ring<T>::pop_n(Output out, std::size_t most) {
  const position head = head_.load(prim::relaxed);
  const std::size_t count = stock(head, most);
  if (count == 0) return 0;
  progress done{head_, head};
  for (const position end = head + count; done.at != end; ++done.at, ++out) {
    at(done.at).take([&](T&& oldest) { *out = std::move(oldest); });
  }
  return count;
}

template <class T>
std::size_t spsc_ring<T>::size() const noexcept {
  // In this order the difference is never negative; it may be too large by what came and went in
  // between.
  const position head = head_.load(prim::acquire);
  const position tail = tail_.load(prim::acquire);
  return std::min(static_cast<std::size_t>(tail - head), capacity_);
}

}  // namespace heddle::inline HEDDLE_ABI
