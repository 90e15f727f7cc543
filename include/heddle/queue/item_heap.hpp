// Where priority_queue keeps its items: a heap under a lock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/queue/queue_core.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// A binary heap of addresses. Where an item belongs is found out before anything moves, so a
// comparison that throws, or a T, leaves everything as it was.
template <class T, class Compare>
class item_heap {
 public:
  using value_type = T;
  static constexpr bool in_batches = false;

  item_heap(const queue_core&, Compare compare) : compare_(std::move(compare)) {}
  item_heap(const item_heap&) = delete;
  item_heap& operator=(const item_heap&) = delete;

  void destroy(const queue_core&) noexcept {
    const prim::scoped_lock lock(mutex_);
    for (node* n : heap_) destroy_object(n);
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
      insert(std::move(item));
      next = positions.after(seen.at());
      while (!core.move_tail(seen, next)) {
      }
    }
    core.has_put(seen, next);
    return queue_outcome::done;
  }

  template <class F>
  queue_outcome take_some(queue_core& core, std::size_t& most, bool, F&& f) {
    queue_word seen{};
    most = 0;
    {
      const prim::scoped_lock lock(mutex_);
      seen = core.head();
      if (heap_.empty()) {
        return core.closed() ? queue_outcome::closed : queue_outcome::not_now;
      }
      const std::size_t hole = place_of_last();
      std::forward<F>(f)(std::move(heap_.front()->item));
      destroy_object(remove_first(hole));
      const queue_core::position next = core.positions().after(seen.at());
      while (!core.move_head(seen, next)) {
      }
    }
    most = 1;
    core.has_taken(seen);
    return queue_outcome::done;
  }

 private:
  struct node {
    node(T&& i, std::uint64_t n) : item(std::move(i)), number(n) {}
    T item;
    std::uint64_t number;  // in the order of puts
  };

  static std::size_t parent(std::size_t i) noexcept { return (i - 1) / 2; }

  void insert(T&& item) HEDDLE_REQUIRES(mutex_) {
    std::size_t at = heap_.size();
    // Behind its equals: none of those that are there came later.
    while (at > 0 && compare_(std::as_const(heap_[parent(at)]->item), std::as_const(item))) {
      at = parent(at);
    }
    heap_.push_back(nullptr);
    try {
      node* const added = make_object<node>(std::move(item), next_number_);
      for (std::size_t i = heap_.size() - 1; i != at; i = parent(i)) heap_[i] = heap_[parent(i)];
      heap_[at] = added;
    } catch (...) {
      heap_.pop_back();
      throw;
    }
    ++next_number_;
  }

  bool goes_before(const node* a, const node* b) HEDDLE_REQUIRES(mutex_) {
    if (compare_(b->item, a->item)) return true;
    return a->number < b->number && !compare_(a->item, b->item);
  }

  // Where the last one will be when the first one is gone.
  std::size_t place_of_last() HEDDLE_REQUIRES(mutex_) {
    const std::size_t rest = heap_.size() - 1;
    std::size_t at = 0;
    for (std::size_t child = 1; child < rest; child = 2 * at + 1) {
      if (child + 1 < rest && goes_before(heap_[child + 1], heap_[child])) ++child;
      if (!goes_before(heap_[child], heap_[rest])) break;
      at = child;
    }
    return at;
  }

  // Moves those between the top and `place` up by one, and the last one to `place`.
  node* remove_first(std::size_t place) noexcept HEDDLE_REQUIRES(mutex_) {
    node* carried = heap_.back();
    heap_.pop_back();
    if (heap_.empty()) return carried;
    for (std::size_t i = place; i != 0; i = parent(i)) std::swap(carried, heap_[i]);
    std::swap(carried, heap_.front());
    return carried;
  }

  prim::mutex mutex_;
  std::vector<node*> heap_ HEDDLE_GUARDED_BY(mutex_);
  std::uint64_t next_number_ HEDDLE_GUARDED_BY(mutex_) = 0;
  [[no_unique_address]] Compare compare_ HEDDLE_GUARDED_BY(mutex_);
};

}  // namespace heddle::inline HEDDLE_ABI::detail
