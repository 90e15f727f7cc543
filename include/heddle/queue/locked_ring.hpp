// Where bounded_queue keeps items whose move may throw: slots under a lock.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/queue/queue_core.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The ends of the queue are moved under the lock, when the item has been moved: one that throws
// stays where it was.
template <class T>
class locked_ring {
 public:
  using value_type = T;
  static constexpr bool in_batches = false;

  explicit locked_ring(const queue_core& core)
      : slots_(static_cast<slot*>(
            prim::allocate(core.positions().capacity() * sizeof(slot), alignof(slot)))) {
    std::uninitialized_default_construct_n(slots_, core.positions().capacity());
  }
  locked_ring(const locked_ring&) = delete;
  locked_ring& operator=(const locked_ring&) = delete;

  void destroy(const queue_core& core) noexcept {
    const queue_positions& positions = core.positions();
    for (auto p = core.head().at(); p != core.tail().at(); p = positions.after(p)) {
      slots_[positions.slot(p)].destroy();
    }
    std::destroy_n(slots_, positions.capacity());
    prim::deallocate(slots_, positions.capacity() * sizeof(slot), alignof(slot));
  }

  queue_outcome put(queue_core& core, T&& item, bool) {
    const queue_positions& positions = core.positions();
    queue_word seen{};
    queue_core::position next = 0;
    {
      const prim::scoped_lock lock(mutex_);
      seen = core.tail();
      if (seen.is_closed()) return queue_outcome::closed;
      if (core.is_full(seen.at())) return queue_outcome::not_now;
      slots_[positions.slot(seen.at())].construct(std::move(item));
      next = positions.after(seen.at());
      while (!core.move_tail(seen, next)) {
      }
    }
    core.has_put(seen, next);
    return queue_outcome::done;
  }

  // One, whatever `most` says: what f throws comes from the item that stays.
  template <class F>
  queue_outcome take_some(queue_core& core, std::size_t& most, bool, F&& f) {
    const queue_positions& positions = core.positions();
    queue_word seen{};
    most = 0;
    {
      const prim::scoped_lock lock(mutex_);
      seen = core.head();
      const queue_word tail = core.tail();
      if (tail.at() == seen.at()) {
        return tail.is_closed() ? queue_outcome::closed : queue_outcome::not_now;
      }
      slots_[positions.slot(seen.at())].take(f);
      const queue_core::position next = positions.after(seen.at());
      while (!core.move_head(seen, next)) {
      }
    }
    most = 1;
    core.has_taken(seen);
    return queue_outcome::done;
  }

 private:
  using slot = element_slot<T>;

  prim::mutex mutex_;
  slot* const slots_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
