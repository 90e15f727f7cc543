// The modelled half of <heddle/prim/cell.hpp>.
#pragma once

#include <type_traits>
#include <utility>

#include <heddle/model/config.hpp>
#include <heddle/model/runtime.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// A plain field whose accesses the checker sees. Two of them, of which one is a write, that no
// happens-before orders are a data race, in whatever order they ran.
template <class T>
class cell {
  using where = model::detail::where;

 public:
  constexpr cell() : value_{} { born(); }
  template <class... Args>
  constexpr explicit cell(std::in_place_t, Args&&... args) : value_(std::forward<Args>(args)...) {
    born();
  }
  constexpr explicit cell(T value) : value_(std::move(value)) { born(); }
  constexpr ~cell() {
    if (executing()) model::detail::destroy(handle_, model::detail::object_kind::cell, this);
  }
  cell(const cell&) = delete;
  cell& operator=(const cell&) = delete;

  template <class F>
  decltype(auto) read(F&& f, where w = where::current()) const {
    if (executing()) model::detail::read_cell(handle_, this, w);
    return std::forward<F>(f)(static_cast<const T&>(value_));
  }
  template <class F>
  decltype(auto) write(F&& f, where w = where::current()) {
    if (executing()) model::detail::write_cell(handle_, this, w);
    return std::forward<F>(f)(value_);
  }

  T get(where w = where::current()) const {
    if (executing()) model::detail::read_cell(handle_, this, w);
    return value_;
  }
  void set(T value, where w = where::current()) {
    if (executing()) model::detail::write_cell(handle_, this, w);
    value_ = std::move(value);
  }

 private:
  static constexpr bool executing() noexcept {
    return !std::is_constant_evaluated() && model::detail::executing;
  }
  constexpr void born() noexcept {
    if (executing()) model::detail::construct(handle_, model::detail::object_kind::cell, this);
  }

  T value_;
  mutable model::detail::handle handle_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim
