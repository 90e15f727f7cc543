// A value that can be exchanged for another without an exception. For the library's own use.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Holds a T, on the heap where moving or swapping it may throw.
template <class T>
class exchangeable {
  static constexpr bool in_place =
      std::is_nothrow_move_constructible_v<T> && std::is_nothrow_swappable_v<T>;

 public:
  explicit exchangeable(T value) : held_(hold(std::move(value))) {}

  T& get() noexcept {
    if constexpr (in_place) {
      return held_;
    } else {
      return *held_;
    }
  }
  const T& get() const noexcept { return const_cast<exchangeable*>(this)->get(); }
  void swap(exchangeable& other) noexcept {
    using std::swap;
    swap(held_, other.held_);
  }

 private:
  using holder = std::conditional_t<in_place, T, std::unique_ptr<T>>;
  static holder hold(T&& value) {
    if constexpr (in_place) {
      return std::move(value);
    } else {
      return std::make_unique<T>(std::move(value));
    }
  }
  holder held_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
