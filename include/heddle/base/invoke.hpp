// std::invoke without <functional>, which costs more to compile than all of base/ together.
#pragma once

#include <type_traits>
#include <utility>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

template <class F, class... Args>
constexpr std::invoke_result_t<F, Args...> invoke(F&& f, Args&&... args) {
  return static_cast<F&&>(f)(static_cast<Args&&>(args)...);
}

// Members are called on an object, a reference_wrapper's get(), or whatever * leads to one.
template <class T, class Object>
constexpr decltype(auto) member_target(Object&& object) {
  if constexpr (std::is_base_of_v<T, std::remove_cvref_t<Object>>) {
    return std::forward<Object>(object);
  } else if constexpr (
      requires {
        typename std::remove_cvref_t<Object>::type;
        object.get();
      } && !requires { *object; }) {
    return object.get();
  } else {
    return *std::forward<Object>(object);
  }
}

template <class M, class T, class Object, class... Args>
  requires std::is_member_function_pointer_v<M T::*>
constexpr decltype(auto) invoke(M T::* member, Object&& object, Args&&... args) {
  return (member_target<T>(std::forward<Object>(object)).*member)(std::forward<Args>(args)...);
}

template <class M, class T, class Object>
  requires std::is_member_object_pointer_v<M T::*>
constexpr decltype(auto) invoke(M T::* member, Object&& object) {
  return (member_target<T>(std::forward<Object>(object)).*member);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
