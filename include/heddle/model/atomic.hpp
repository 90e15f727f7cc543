// The modelled half of <heddle/prim/atomic.hpp>.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <heddle/model/config.hpp>
#include <heddle/model/runtime.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

using std::memory_order;
inline constexpr memory_order relaxed = std::memory_order_relaxed;
inline constexpr memory_order acquire = std::memory_order_acquire;
inline constexpr memory_order release = std::memory_order_release;
inline constexpr memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr memory_order seq_cst = std::memory_order_seq_cst;

// std::atomic<T> with a history of stores, of which a load may read any that the memory model
// allows. Each access is a choice point.
template <class T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T>);
  static_assert(sizeof(T) <= 8, "the checker models atomics of up to eight bytes");
  using where = model::detail::where;
  using bits = std::uint64_t;

 public:
  using value_type = T;
  static constexpr bool is_always_lock_free = true;

  constexpr atomic() noexcept : atomic(T()) {}
  constexpr atomic(T value) noexcept : value_(value) {
    if (executing()) {
      model::detail::construct(handle_, model::detail::object_kind::atomic, this, first());
    }
  }
  constexpr ~atomic() {
    if (executing()) {
      model::detail::destroy(handle_, model::detail::object_kind::atomic, this);
    }
  }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  bool is_lock_free() const noexcept { return true; }

  T load(memory_order order = seq_cst, where w = where::current()) const noexcept {
    if (!executing()) return value_;
    return model::detail::value_of<T>(model::detail::load(handle_, this, first(), order, w));
  }
  void store(T value, memory_order order = seq_cst, where w = where::current()) noexcept {
    if (executing()) {
      model::detail::store(handle_, this, first(), model::detail::bits_of(value), order, w);
    } else {
      value_ = value;
    }
  }
  T exchange(T value, memory_order order = seq_cst, where w = where::current()) noexcept {
    return modify([](bits, bits desired) { return desired; }, model::detail::bits_of(value), order,
                  w);
  }

  bool compare_exchange_weak(T& expected, T desired, memory_order success, memory_order failure,
                             where w = where::current()) noexcept {
    return exchange_if(expected, desired, success, failure, true, w);
  }
  bool compare_exchange_weak(T& expected, T desired, memory_order order = seq_cst,
                             where w = where::current()) noexcept {
    return exchange_if(expected, desired, order, reading_half(order), true, w);
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order success, memory_order failure,
                               where w = where::current()) noexcept {
    return exchange_if(expected, desired, success, failure, false, w);
  }
  bool compare_exchange_strong(T& expected, T desired, memory_order order = seq_cst,
                               where w = where::current()) noexcept {
    return exchange_if(expected, desired, order, reading_half(order), false, w);
  }

  T fetch_add(T by, memory_order order = seq_cst, where w = where::current()) noexcept
    requires(std::is_integral_v<T>)
  {
    return modify([](bits old, bits n) { return narrow(old + n); }, model::detail::bits_of(by),
                  order, w);
  }
  T fetch_sub(T by, memory_order order = seq_cst, where w = where::current()) noexcept
    requires(std::is_integral_v<T>)
  {
    return modify([](bits old, bits n) { return narrow(old - n); }, model::detail::bits_of(by),
                  order, w);
  }
  T fetch_and(T by, memory_order order = seq_cst, where w = where::current()) noexcept
    requires(std::is_integral_v<T>)
  {
    return modify([](bits old, bits n) { return old & n; }, model::detail::bits_of(by), order, w);
  }
  T fetch_or(T by, memory_order order = seq_cst, where w = where::current()) noexcept
    requires(std::is_integral_v<T>)
  {
    return modify([](bits old, bits n) { return old | n; }, model::detail::bits_of(by), order, w);
  }
  T fetch_xor(T by, memory_order order = seq_cst, where w = where::current()) noexcept
    requires(std::is_integral_v<T>)
  {
    return modify([](bits old, bits n) { return old ^ n; }, model::detail::bits_of(by), order, w);
  }
  T fetch_add(std::ptrdiff_t by, memory_order order = seq_cst, where w = where::current()) noexcept
    requires(std::is_pointer_v<T>)
  {
    return modify([](bits old, bits n) { return old + n; }, stride(by), order, w);
  }
  T fetch_sub(std::ptrdiff_t by, memory_order order = seq_cst, where w = where::current()) noexcept
    requires(std::is_pointer_v<T>)
  {
    return modify([](bits old, bits n) { return old - n; }, stride(by), order, w);
  }

  operator T() const noexcept { return load(); }
  T operator=(T value) noexcept {
    store(value);
    return value;
  }
  T operator++() noexcept { return fetch_add(1) + 1; }
  T operator++(int) noexcept { return fetch_add(1); }
  T operator--() noexcept { return fetch_sub(1) - 1; }
  T operator--(int) noexcept { return fetch_sub(1); }

 private:
  static constexpr bool executing() noexcept {
    return !std::is_constant_evaluated() && model::detail::executing;
  }
  static constexpr memory_order reading_half(memory_order order) noexcept {
    if (order == acq_rel) return acquire;
    return order == release ? relaxed : order;
  }
  // The bits beyond T stay zero, so that equal values have equal bits.
  static bits narrow(bits b) noexcept {
    return model::detail::bits_of(model::detail::value_of<T>(b));
  }
  static bits stride(std::ptrdiff_t by) noexcept {
    return static_cast<bits>(by) * sizeof(std::remove_pointer_t<T>);
  }

  bits first() const noexcept { return model::detail::bits_of(value_); }

  T modify(model::detail::modify f, bits argument, memory_order order, where w) noexcept {
    if (!executing()) {
      const T old = value_;
      value_ = model::detail::value_of<T>(f(first(), argument));
      return old;
    }
    return model::detail::value_of<T>(
        model::detail::read_modify_write(handle_, this, first(), f, argument, order, w));
  }

  bool exchange_if(T& expected, T desired, memory_order success, memory_order failure, bool weak,
                   where w) noexcept {
    bits wanted = model::detail::bits_of(expected);
    if (!executing()) {
      if (first() == wanted) {
        value_ = desired;
        return true;
      }
      expected = value_;
      return false;
    }
    const bool done = model::detail::compare_exchange(
        handle_, this, first(), wanted, model::detail::bits_of(desired), success, failure, weak, w);
    if (!done) expected = model::detail::value_of<T>(wanted);
    return done;
  }

  T value_;  // before the first execution, and outside of executions
  mutable model::detail::handle handle_;
};

inline void fence(memory_order order,
                  model::detail::where w = model::detail::where::current()) noexcept {
  if (model::detail::executing) model::detail::fence(order, w);
}

}  // namespace heddle::inline HEDDLE_ABI::prim
