// A blocking queue whose most urgent item is taken next.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <utility>

#include <heddle/prim/config.hpp>
#include <heddle/queue/blocking_queue.hpp>
#include <heddle/queue/item_heap.hpp>

namespace heddle::inline HEDDLE_ABI {

// As in std::priority_queue the greatest item is next: the one that Compare puts behind all others.
// Among equals the one that was put first. Everything else: blocking_queue.
//
// Compare is a strict weak order. When it throws, the call that compared throws, and has put or
// taken nothing. It runs with the queue's lock held, and must not use the queue.
// Complexity: a put and a get compare O(log length) times. Allocates with each put: the item's
// room, and sometimes more places; frees with each get.
template <class T, class Compare = std::less<T>>
class priority_queue : public blocking_queue<detail::item_heap<T, Compare>> {
 public:
  // 2^40 items: as good as no bound.
  static constexpr std::size_t unbounded = std::size_t{1} << 40;

  // The name is copied, for reports. Throws std::invalid_argument for a capacity of 0 and beyond
  // 2^40, std::bad_alloc, what moving the Compare throws.
  explicit priority_queue(std::size_t capacity = unbounded, std::string_view name = {},
                          Compare compare = Compare())
      : blocking_queue<detail::item_heap<T, Compare>>("priority_queue", capacity, name,
                                                      std::move(compare)) {}
};

}  // namespace heddle::inline HEDDLE_ABI
