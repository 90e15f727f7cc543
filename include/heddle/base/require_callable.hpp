// Callables that are not there.
#pragma once

#include <stdexcept>
#include <string>
#include <type_traits>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Function pointers, std::function and the like can be empty; others cannot.
// Throws std::invalid_argument, which names the operation.
template <class F>
void require_callable(const F& f, const char* operation) {
  if constexpr (!std::is_function_v<F> && requires { static_cast<bool>(f == nullptr); }) {
    if (f == nullptr) throw std::invalid_argument(std::string(operation) + ": a null callable");
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
