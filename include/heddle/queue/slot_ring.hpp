// Where bounded_queue keeps items that move without throwing: slots that nobody locks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/patience.hpp>
#include <heddle/queue/queue_core.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// A slot's turn says for which position it is ready: p to be filled, p + 1 to be emptied. Whoever
// moves an end of the queue over a position owns its slot until it stores the next turn, and may
// not throw meanwhile.
// Source: as mpmc_ring's, Vyukov's bounded queue; what is ours is told in queue_core.hpp.
template <class T>
class slot_ring {
 public:
  using value_type = T;
  static constexpr bool in_batches = true;

  explicit slot_ring(const queue_core& core) : places_(make_places(core.positions())) {}
  slot_ring(const slot_ring&) = delete;
  slot_ring& operator=(const slot_ring&) = delete;

  void destroy(const queue_core& core) noexcept {
    const queue_positions& positions = core.positions();
    const position tail = core.tail().at();
    for (position p = core.head().at(); p != tail; p = positions.after(p)) {
      place_of(positions, p).element.destroy();
    }
    std::destroy_n(places_, positions.capacity());
    prim::deallocate(places_, positions.capacity() * sizeof(place), alignment);
  }

  queue_outcome put(queue_core& core, T&& item, bool sleepy) noexcept {
    std::size_t count = 1;
    return put_some(core, std::addressof(item), count, sleepy,
                    [](T* from) -> T&& { return std::move(*from); });
  }

  // Puts what `item_of` makes of `first`, `count` of them at most. Both then tell what is left.
  template <class Iterator, class ItemOf>
  queue_outcome put_some(queue_core& core, Iterator&& first, std::size_t& count, bool sleepy,
                         ItemOf item_of) noexcept {
    const queue_positions& positions = core.positions();
    claim claimed;
    const queue_outcome outcome = claim_room(core, count, sleepy, claimed);
    if (outcome != queue_outcome::done) return outcome;
    for_each_claimed(positions, claimed, [&](place& slot, position p) {
      slot.element.construct(item_of(first));
      slot.turn.store(p + filled, prim::release);
      ++first;
      --count;
    });
    core.has_put(claimed.seen, claimed.next);
    return queue_outcome::done;
  }

  // Gives the oldest items to f(T&&), `most` at most. `most` then says how many it were.
  template <class F>
  queue_outcome take_some(queue_core& core, std::size_t& most, bool sleepy, F&& f) noexcept {
    const queue_positions& positions = core.positions();
    claim claimed;
    const queue_outcome outcome = claim_items(core, most, sleepy, claimed);
    most = 0;
    if (outcome != queue_outcome::done) return outcome;
    for_each_claimed(positions, claimed, [&](place& slot, position p) {
      slot.element.take(f);
      slot.turn.store(p + positions.round() + vacant, prim::release);
      ++most;
    });
    core.has_taken(claimed.seen);
    return queue_outcome::done;
  }

 private:
  using position = queue_core::position;
  static constexpr position vacant = 0;
  static constexpr position filled = 1;

  struct place {
    prim::atomic<position> turn;
    element_slot<T> element;
  };
  static constexpr std::size_t alignment = std::max(alignof(place), destructive_interference);

  // The positions from where the end was seen up to `next`. The slot of the first one was looked up
  // before the end was moved: nothing that is done with it waits for the result of that.
  struct claim {
    queue_word seen{};
    position next = 0;
    place* slot = nullptr;
  };

  static place* make_places(const queue_positions& positions);
  place& place_of(const queue_positions& positions, position p) noexcept {
    return places_[positions.slot(p)];
  }
  template <class F>
  void for_each_claimed(const queue_positions& positions, const claim& claimed, F&& f) noexcept {
    place* slot = claimed.slot;
    for (position p = claimed.seen.at();; slot = &place_of(positions, p)) {
      f(*slot, p);
      p = positions.after(p);
      if (p == claimed.next) return;
    }
  }
  // How far the slot is ahead of (above 0) or behind (below) what somebody wants to do.
  static std::int64_t ahead(const place& slot, position wanted_turn) noexcept {
    return static_cast<std::int64_t>(slot.turn.load(prim::acquire) - wanted_turn);
  }
  // As many positions as are ready from p on, which is; ready they stay until they are claimed.
  position ready_from(const queue_positions& positions, position p, position turn,
                      std::size_t wanted) noexcept {
    position next = positions.after(p);
    while (--wanted > 0 && ahead(place_of(positions, next), next + turn) == 0) {
      next = positions.after(next);
    }
    return next;
  }
  // Inlined even where several callers share them, so that claims stay in registers.
  [[gnu::always_inline]] queue_outcome claim_room(queue_core& core, std::size_t wanted, bool sleepy,
                                                  claim& c) noexcept;
  [[gnu::always_inline]] queue_outcome claim_items(queue_core& core, std::size_t wanted,
                                                   bool sleepy, claim& c) noexcept;

  place* const places_;
};

template <class T>
auto slot_ring<T>::make_places(const queue_positions& positions) -> place* {
  const std::size_t count = positions.capacity();
  auto* const places = static_cast<place*>(prim::allocate(count * sizeof(place), alignment));
  std::uninitialized_default_construct_n(places, count);
  position p = positions.first();
  for (std::size_t i = 0; i < count; ++i, p = positions.after(p)) {
    places[i].turn.store(p + vacant, prim::relaxed);
  }
  return places;
}

template <class T>
inline queue_outcome slot_ring<T>::claim_room(queue_core& core, std::size_t wanted, bool sleepy,
                                              claim& c) noexcept {
  const queue_positions& positions = core.positions();
  prim::patience spin;
  c.seen = core.tail();
  for (;;) {
    if (c.seen.is_closed()) return queue_outcome::closed;
    const position p = c.seen.at();
    c.slot = &place_of(positions, p);
    const std::int64_t distance = ahead(*c.slot, p + vacant);
    if (distance == 0) {
      c.next = ready_from(positions, p, vacant, wanted);
      if (core.move_tail(c.seen, c.next)) return queue_outcome::done;
    } else if (distance > 0) {  // others were here
      c.seen = core.tail();
    } else {
      if (!sleepy || core.is_full(p)) return queue_outcome::not_now;
      spin.wait();  // a get is in its middle
      c.seen = core.tail();
    }
  }
}

template <class T>
inline queue_outcome slot_ring<T>::claim_items(queue_core& core, std::size_t wanted, bool sleepy,
                                               claim& c) noexcept {
  const queue_positions& positions = core.positions();
  prim::patience spin;
  c.seen = core.head();
  for (;;) {
    const position p = c.seen.at();
    c.slot = &place_of(positions, p);
    const std::int64_t distance = ahead(*c.slot, p + filled);
    if (distance == 0) {
      c.next = ready_from(positions, p, filled, wanted);
      if (core.move_head(c.seen, c.next)) return queue_outcome::done;
    } else if (distance > 0) {
      c.seen = core.head();
    } else {
      if (!sleepy) return queue_outcome::not_now;
      const queue_word tail = core.tail();
      if (tail.at() == p) {
        return tail.is_closed() ? queue_outcome::closed : queue_outcome::not_now;
      }
      spin.wait();  // a put is in its middle
      c.seen = core.head();
    }
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
