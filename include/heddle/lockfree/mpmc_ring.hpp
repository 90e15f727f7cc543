// A bounded queue between any number of producers and consumers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>

namespace heddle::inline HEDDLE_ABI {

// First in, first out. T may be move-only and over-aligned. Moving and destroying it must not
// throw, since a slot that was claimed cannot be given back; keep other types by std::unique_ptr.
// Its other constructors may throw.
//
// A false is an answer for this moment: try_push also returns it while the next slot is still being
// emptied, and try_pop while the oldest element is still being put, by a thread that may have been
// preempted in the middle. try_pop then neither looks at younger elements, which would break the
// order, nor waits: when to try again is the caller's affair. When no push is under way, as far as
// the caller can know, its false means that the ring is empty; when no pop is, a false from
// try_push means that it is full. A consumer that sleeps after a false may have met a push that is
// not done, with complete ones behind it: so who has taken something looks for more, or wakes the
// next.
//
// Thread-safety: everything by any thread, except destruction.
// Memory ordering: what happened before a push happened before the pop that returns its element,
// and what happened before that pop before the push that uses its slot again.
// Blocks? Never: no operation waits for another thread, and one repeats a step only when another
// has made progress. But a thread that stops in the middle of a push or pop for good holds up the
// others as soon as they come to its slot.
// Allocates in the constructor alone.
// Throws what T's constructor throws, before anything has changed.
// Destruction destroys what is left; no other thread is inside a call.
// Source: Vyukov, "Bounded MPMC queue", 1024cores.net, 2010; batches, and turns that also serve a
// ring of one slot, are ours.
template <class T>
class mpmc_ring {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a claimed slot cannot be given back: keep such a type by std::unique_ptr");

 public:
  using value_type = T;

  // The capacity is rounded up to a power of two.
  // Throws std::invalid_argument for 0 and beyond 2^40, std::bad_alloc.
  explicit mpmc_ring(std::size_t capacity)
      : mask_(detail::slots_for("mpmc_ring", capacity) - 1), places_(make_places(mask_ + 1)) {}
  ~mpmc_ring();
  mpmc_ring(const mpmc_ring&) = delete;
  mpmc_ring& operator=(const mpmc_ring&) = delete;

  // False when there is no room; the value is untouched then.
  bool try_push(const T& value) { return try_emplace(value); }
  bool try_push(T&& value) { return try_emplace(std::move(value)); }

  // Puts T(args...). False when there is no room; the arguments are untouched then if that
  // constructor does not throw. One that may throw makes a T of its own first, which is lost if the
  // ring fills up in that moment.
  template <class... Args>
  bool try_emplace(Args&&... args);

  // Puts *first, *++first and so on, `count` of them at most, and returns how many there was room
  // for: side by side, in one step with other threads' pushes, unless making a T from *first may
  // throw, when they are put one by one. Requires: the iterator itself does not throw.
  template <class Iterator>
  std::size_t push_n(Iterator first, std::size_t count);

  // Moves the oldest element to `value`. False when there is none.
  bool try_pop(T& value) noexcept
    requires(std::is_nothrow_move_assignable_v<T>);
  std::optional<T> try_pop() noexcept;

  // Assigns the oldest elements, `most` at most, to *out, *++out and so on, and returns how many
  // there were. Nobody else's pop comes between them. Requires: the iterator itself does not throw,
  // nor does assigning to *out.
  template <class Output>
  std::size_t pop_n(Output out, std::size_t most) noexcept;

  // A moment's count, of what is being put or taken as well.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }
  std::size_t capacity() const noexcept { return mask_ + 1; }

 private:
  // Positions count elements for ever, in steps of two. A slot's turn says for which position it is
  // ready: p to be filled, p + 1 to be emptied.
  using position = std::uint64_t;
  static constexpr position step = 2;
  static constexpr position filling = 0;
  static constexpr position emptying = 1;

  struct place {
    prim::atomic<position> turn;
    detail::element_slot<T> element;
  };
  static constexpr std::size_t alignment = std::max(alignof(place), destructive_interference);

  static place* make_places(std::size_t count);
  place& at(position p) noexcept { return places_[p / step & mask_]; }

  // How far the slot is ahead of (above 0) or behind (below) what somebody wants to do at a
  // position.
  static std::int64_t ahead(const place& slot, position wanted_turn) noexcept {
    return static_cast<std::int64_t>(slot.turn.load(prim::acquire) - wanted_turn);
  }

  // Claims the next position, and returns its slot; null when it is not ready.
  place* claim_one(prim::atomic<position>& next, position what, position& p) noexcept;

  // Claims up to `wanted` positions that are ready side by side, from `first` on, and returns how
  // many: 0 when the first one is not ready.
  std::size_t claim(prim::atomic<position>& next, position what, std::size_t wanted,
                    position& first) noexcept;

  template <class F>
  void empty_slot(place& slot, position p, F&& f) noexcept {
    slot.element.take(std::forward<F>(f));
    slot.turn.store(p + step * capacity() + filling, prim::release);
  }

  const std::size_t mask_;
  place* const places_;
  alignas(destructive_interference) prim::atomic<position> tail_{prim::limits::first_position};
  alignas(destructive_interference) prim::atomic<position> head_{prim::limits::first_position};
};

template <class T>
auto mpmc_ring<T>::make_places(std::size_t count) -> place* {
  auto* const places = static_cast<place*>(prim::allocate(count * sizeof(place), alignment));
  std::uninitialized_default_construct_n(places, count);
  for (std::size_t i = 0; i < count; ++i) {
    const position p = prim::limits::first_position + step * i;
    places[p / step & (count - 1)].turn.store(p + filling, prim::relaxed);
  }
  return places;
}

template <class T>
mpmc_ring<T>::~mpmc_ring() {
  const position tail = tail_.load(prim::relaxed);
  for (position p = head_.load(prim::relaxed); p != tail; p += step) at(p).element.destroy();
  std::destroy_n(places_, mask_ + 1);
  prim::deallocate(places_, (mask_ + 1) * sizeof(place), alignment);
}

template <class T>
auto mpmc_ring<T>::claim_one(prim::atomic<position>& next, position what, position& p) noexcept
    -> place* {
  p = next.load(prim::relaxed);
  for (;;) {
    // Looked up before the exchange: nothing that the winner does then waits for its result.
    place& slot = at(p);
    const std::int64_t distance = ahead(slot, p + what);
    if (distance == 0) {
      if (next.compare_exchange_weak(p, p + step, prim::relaxed)) return &slot;
    } else if (distance > 0) {  // others were here
      p = next.load(prim::relaxed);
    } else {
      return nullptr;
    }
  }
}

template <class T>
std::size_t mpmc_ring<T>::claim(prim::atomic<position>& next, position what, std::size_t wanted,
                                position& first) noexcept {
  first = next.load(prim::relaxed);
  while (wanted > 0) {
    const std::int64_t distance = ahead(at(first), first + what);
    if (distance < 0) return 0;
    if (distance > 0) {  // others were here
      first = next.load(prim::relaxed);
      continue;
    }
    // What is ready for these positions stays so until somebody claims them.
    std::size_t ready = 1;
    for (position p = first + step; ready < wanted && ahead(at(p), p + what) == 0; p += step) {
      ++ready;
    }
    if (next.compare_exchange_weak(first, first + step * ready, prim::relaxed)) return ready;
  }
  return 0;
}

template <class T>
template <class... Args>
bool mpmc_ring<T>::try_emplace(Args&&... args) {
  if constexpr (std::is_nothrow_constructible_v<T, Args...>) {
    position p;
    place* const slot = claim_one(tail_, filling, p);
    if (slot == nullptr) return false;
    slot->element.construct(std::forward<Args>(args)...);
    slot->turn.store(p + emptying, prim::release);
    return true;
  } else {
    const position tail = tail_.load(prim::relaxed);
    if (ahead(at(tail), tail + filling) < 0) return false;
    T made(std::forward<Args>(args)...);
    return try_emplace(std::move(made));
  }
}

template <class T>
template <class Iterator>
std::size_t mpmc_ring<T>::push_n(Iterator first, std::size_t count) {
  std::size_t put = 0;
  if constexpr (std::is_nothrow_constructible_v<T, decltype(*first)>) {
    position p;
    const std::size_t claimed = claim(tail_, filling, count, p);
    for (; put < claimed; ++put, p += step, ++first) {
      at(p).element.construct(*first);
      at(p).turn.store(p + emptying, prim::release);
    }
  } else {
    while (put < count && try_emplace(*first)) {
      ++put;
      ++first;
    }
  }
  return put;
}

template <class T>
bool mpmc_ring<T>::try_pop(T& value) noexcept
  requires(std::is_nothrow_move_assignable_v<T>)
{
  position p;
  place* const slot = claim_one(head_, emptying, p);
  if (slot == nullptr) return false;
  empty_slot(*slot, p, [&](T&& oldest) { value = std::move(oldest); });
  return true;
}

template <class T>
std::optional<T> mpmc_ring<T>::try_pop() noexcept {
  std::optional<T> value;
  position p;
  if (place* const slot = claim_one(head_, emptying, p)) {
    empty_slot(*slot, p, [&](T&& oldest) { value.emplace(std::move(oldest)); });
  }
  return value;
}

template <class T>
template <class Output>
std::size_t mpmc_ring<T>::pop_n(Output out, std::size_t most) noexcept {
  static_assert(std::is_nothrow_assignable_v<decltype(*out), T>,
                "what was claimed cannot be given back: give room that is there already");
  position p;
  const std::size_t claimed = claim(head_, emptying, most, p);
  for (std::size_t i = 0; i < claimed; ++i, p += step, ++out) {
    empty_slot(at(p), p, [&](T&& oldest) { *out = std::move(oldest); });
  }
  return claimed;
}

template <class T>
std::size_t mpmc_ring<T>::size() const noexcept {
  const position head = head_.load(prim::acquire);
  const position tail = tail_.load(prim::acquire);
  const auto distance = static_cast<std::int64_t>(tail - head);
  return distance <= 0 ? 0 : std::min(static_cast<std::size_t>(distance) / step, capacity());
}

}  // namespace heddle::inline HEDDLE_ABI
