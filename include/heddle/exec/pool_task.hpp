// How a pool takes what it is given: the call as one callable, priority and number checked. Users
// need exec/thread_pool.hpp.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <heddle/base/invoke.hpp>
#include <heddle/exec/task_options.hpp>
#include <heddle/future/make_task.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// A callable and its arguments, each a copy of its own, called once.
template <class F>
F&& bind_call(F&& f) noexcept {
  return std::forward<F>(f);
}
template <class F, class... Args>
  requires(sizeof...(Args) > 0)
auto bind_call(F&& f, Args&&... args) {
  if constexpr (std::invocable<std::decay_t<F>, prim::stop_token, std::decay_t<Args>...>) {
    return [f = std::decay_t<F>(std::forward<F>(f)),
            ... args = std::decay_t<Args>(std::forward<Args>(args))](
               prim::stop_token stop) mutable -> decltype(auto) {
      return detail::invoke(std::move(f), std::move(stop), std::move(args)...);
    };
  } else {
    return [f = std::decay_t<F>(std::forward<F>(f)),
            ... args = std::decay_t<Args>(std::forward<Args>(args))]() mutable -> decltype(auto) {
      return detail::invoke(std::move(f), std::move(args)...);
    };
  }
}

template <class F, class... Args>
concept submittable =
    takes_stop<F, Args...> || std::invocable<std::decay_t<F>, std::decay_t<Args>...>;

// As a job carries it. Throws std::invalid_argument.
inline std::uint8_t job_level(std::optional<priority> level) {
  if (!level) return 0;
  const auto number = static_cast<unsigned>(*level);
  if (number < priority_levels) return static_cast<std::uint8_t>(number + 1);
  throw std::invalid_argument("thread_pool: priority " + std::to_string(number) +
                              "; the least urgent is " + std::to_string(priority_levels - 1));
}

template <std::integral N>
std::size_t checked_count(N count) {
  if (std::cmp_less(count, 0)) {
    throw std::invalid_argument("thread_pool: " + std::to_string(count) + " tasks");
  }
  return static_cast<std::size_t>(count);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
