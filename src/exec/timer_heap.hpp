// The armed timers of one queue, the earliest first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <heddle/exec/timer_link.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// A heap of four children a node, with the times beside the pointers, so that a step down reads one
// or two cache lines; each link knows its position, so that it can be taken out of the middle.
// Links of the same time leave in the order in which they came.
// Complexity: logarithmic. Source: LaMarca and Ladner, "The influence of caches on the performance
// of heaps", 1996.
class timer_heap {
 public:
  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept { return entries_.size(); }
  prim::time_point earliest() const noexcept { return entries_.front().when; }
  timer_link& first() const noexcept { return *entries_.front().link; }
  static bool holds(const timer_link& link) noexcept { return link.position_ != nowhere; }

  // From now on push() finds room for `count` links in all. Throws std::bad_alloc.
  void reserve(std::size_t count) {
    if (count > entries_.capacity()) {
      entries_.reserve(std::max(count, 2 * entries_.capacity()));
    }
  }

  // Requires: there is room; the link is not in a heap.
  void push(timer_link& link, prim::time_point when) noexcept {
    link.when_ = when;
    link.order_ = ++last_order_;
    entries_.push_back({when, &link});
    rise(entries_.size() - 1, {when, &link});
  }

  // Requires: the link is here.
  void remove(timer_link& link) noexcept {
    const std::size_t hole = link.position_;
    link.position_ = nowhere;
    const entry last = entries_.back();
    entries_.pop_back();
    if (last.link == &link) return;
    if (hole != 0 && before(last, entries_[parent(hole)])) {
      rise(hole, last);
    } else {
      sink(hole, last);
    }
  }

  // Takes out every link for which the predicate holds, and gives it to `take`.
  // Complexity: linear.
  template <class Predicate, class Take>
  void remove_if(Predicate holds, Take take) noexcept {
    std::size_t kept = 0;
    for (const entry& e : entries_) {
      if (holds(*e.link)) {
        e.link->position_ = nowhere;
        take(*e.link);
      } else {
        entries_[kept++] = e;
      }
    }
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(kept), entries_.end());
    for (std::size_t at = kept; at-- != 0;) sink(at, entries_[at]);
  }

 private:
  static constexpr std::size_t nowhere = timer_link::nowhere;
  static constexpr std::size_t children = 4;

  struct entry {
    prim::time_point when;
    timer_link* link;
  };

  static std::size_t parent(std::size_t at) noexcept { return (at - 1) / children; }
  static bool before(const entry& a, const entry& b) noexcept {
    return a.when != b.when ? a.when < b.when : a.link->order_ < b.link->order_;
  }

  void put(std::size_t at, entry e) noexcept {
    entries_[at] = e;
    e.link->position_ = at;
  }
  void rise(std::size_t at, entry e) noexcept {
    for (; at != 0 && before(e, entries_[parent(at)]); at = parent(at)) {
      put(at, entries_[parent(at)]);
    }
    put(at, e);
  }
  void sink(std::size_t at, entry e) noexcept {
    for (;;) {
      const std::size_t first = children * at + 1;
      if (first >= entries_.size()) break;
      std::size_t least = first;
      const std::size_t end = std::min(first + children, entries_.size());
      for (std::size_t child = first + 1; child < end; ++child) {
        if (before(entries_[child], entries_[least])) least = child;
      }
      if (!before(entries_[least], e)) break;
      put(at, entries_[least]);
      at = least;
    }
    put(at, e);
  }

  std::vector<entry> entries_;
  std::uint64_t last_order_ = 0;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
