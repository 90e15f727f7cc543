// Memory in which an object may stand.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Uninitialized memory for an object; whoever uses it knows what is there.
template <std::size_t Size, std::size_t Alignment>
struct room {
  room() noexcept {}  // NOLINT(modernize-use-equals-default): a default one would clear the bytes
  template <class T>
  T* as() noexcept {
    return std::launder(reinterpret_cast<T*>(bytes));
  }
  template <class T>
  const T* as() const noexcept {
    return std::launder(reinterpret_cast<const T*>(bytes));
  }
  template <class T, class... Args>
  void construct(Args&&... args) {
    std::construct_at(reinterpret_cast<T*>(bytes), std::forward<Args>(args)...);
  }
  alignas(Alignment) std::byte bytes[Size];
};
template <class T>
using room_for = room<sizeof(T), alignof(T)>;

}  // namespace heddle::inline HEDDLE_ABI::detail
