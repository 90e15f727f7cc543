// A queue with room for so many items, whose users wait for room and for items.
#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>

#include <heddle/prim/config.hpp>
#include <heddle/queue/blocking_queue.hpp>
#include <heddle/queue/locked_ring.hpp>
#include <heddle/queue/slot_ring.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

template <class T>
using ring_for =
    std::conditional_t<std::is_nothrow_move_constructible_v<T>, slot_ring<T>, locked_ring<T>>;

}  // namespace detail

// First in, first out, in one order for all threads; never more than `capacity` items.
// Everything else: blocking_queue.
//
//   heddle::bounded_queue<page> pages(100, "pages");
//   producer: while (more) if (!pages.put(next())) break;   ...   pages.close();
//   consumer: for (page& p : pages) index(p);
//
// Where T moves without throwing a put and a get that need not wait are lock-free but for a moment:
// each waits for another one of the other side that is in the middle of moving an item. Other T are
// moved under a lock.
// Allocates in the constructor alone: the room for all items.
template <class T>
class bounded_queue : public blocking_queue<detail::ring_for<T>> {
 public:
  // The name is copied, for reports. Throws std::invalid_argument for a capacity of 0 and beyond
  // 2^40, std::bad_alloc.
  explicit bounded_queue(std::size_t capacity, std::string_view name = {})
      : blocking_queue<detail::ring_for<T>>("bounded_queue", capacity, name) {}
};

}  // namespace heddle::inline HEDDLE_ABI
