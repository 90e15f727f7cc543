// What the rings and queues of this room keep their elements in.
#pragma once

#include <bit>
#include <cstddef>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include <heddle/prim/allocation.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Room for one T that comes and goes. All accesses go through a cell, so that the checker sees two
// that the protocol around it does not order.
template <class T>
class element_slot {
 public:
  // Requires: the slot is vacant. If T's constructor throws, it stays so.
  template <class... Args>
  void construct(Args&&... args) {
    room_.write([&](room& r) {
      std::construct_at(std::addressof(r.element), std::forward<Args>(args)...);
    });
  }

  // Calls f(T&&) and vacates the slot; if f throws, the element stays.
  template <class F>
  void take(F&& f) {
    room_.write([&](room& r) {
      std::forward<F>(f)(std::move(r.element));
      std::destroy_at(std::addressof(r.element));
    });
  }

  void destroy() noexcept {
    room_.write([](room& r) { std::destroy_at(std::addressof(r.element)); });
  }

 private:
  union room {
    room() noexcept {}
    ~room() {}
    T element;
  };
  prim::cell<room> room_;
};

// A U in memory of its own, however it is aligned. Throws std::bad_alloc and what its constructor
// throws.
template <class U, class... Args>
U* make_object(Args&&... args) {
  void* const memory = prim::allocate(sizeof(U), alignof(U));
  try {
    return ::new (memory) U(std::forward<Args>(args)...);
  } catch (...) {
    prim::deallocate(memory, sizeof(U), alignof(U));
    throw;
  }
}

template <class U>
void destroy_object(U* object) noexcept {
  std::destroy_at(object);
  prim::deallocate(object, sizeof(U), alignof(U));
}

// How many slots a ring of this capacity has: a power of two. `ring` is named by the exception.
inline std::size_t slots_for(const char* ring, std::size_t capacity) {
  constexpr std::size_t most = std::size_t{1} << 40;
  if (capacity == 0) throw std::invalid_argument(std::string(ring) + ": capacity 0");
  if (capacity > most) {
    throw std::invalid_argument(std::string(ring) + ": capacity " + std::to_string(capacity) +
                                " is beyond 2^40");
  }
  return std::bit_ceil(capacity);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
