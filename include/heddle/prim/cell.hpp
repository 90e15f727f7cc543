// A plain field that a protocol guards.
#pragma once

#include <utility>

#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/cell.hpp>
#else

namespace heddle::inline HEDDLE_ABI::prim {

// Natively a plain T. It exists so that the checker sees each access to shared plain memory and
// can tell a data race: a reference to the value never leaves `f`.
//
// Thread-safety: none of its own; two accesses of which one is a write must be ordered by the
// protocol around the cell.
template <class T>
class cell {
 public:
  cell() = default;
  template <class... Args>
  explicit cell(std::in_place_t, Args&&... args) : value_(std::forward<Args>(args)...) {}
  explicit cell(T value) : value_(std::move(value)) {}
  cell(const cell&) = delete;
  cell& operator=(const cell&) = delete;

  template <class F>
  decltype(auto) read(F&& f) const {
    return std::forward<F>(f)(static_cast<const T&>(value_));
  }
  template <class F>
  decltype(auto) write(F&& f) {
    return std::forward<F>(f)(value_);
  }

  T get() const { return value_; }
  void set(T value) { value_ = std::move(value); }

 private:
  T value_{};
};

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
