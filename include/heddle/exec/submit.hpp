// Giving callables to any executor.
#pragma once

#include <concepts>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/base/unique_task.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/make_task.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

// An executor, or the reference that one lends.
template <class E>
concept takes_jobs =
    std::same_as<std::remove_cvref_t<E>, executor_ref> || executor<std::remove_reference_t<E>>;

// What an executor can be given: f(), or f(stop_token).
template <class F>
concept work = std::invocable<std::decay_t<F>> || std::invocable<std::decay_t<F>, prim::stop_token>;

namespace detail {

// The reference to an executor that somebody named. Throws std::invalid_argument for a null one.
template <takes_jobs E>
executor_ref named_executor(E&& where, const char* operation) {
  if constexpr (std::same_as<std::remove_cvref_t<E>, executor_ref>) {
    if (!where) throw std::invalid_argument(std::string(operation) + ": no executor");
    return where;
  } else {
    return where.executor();
  }
}

}  // namespace detail

// Runs f on the executor; the future has what it returns or throws. Cancelling the future gives up
// work that has not begun, and trips the stop_token, if f takes one, of work that has. An executor
// that accepts no more discards the work: the future is `cancelled`.
// Blocks? No, nor runs anything, unless the executor does. Allocates one cell. Throws
// std::invalid_argument for a null executor or callable, std::bad_alloc, what copying f throws;
// then nothing was given away.
template <takes_jobs E, work F>
auto submit(E&& where, F&& f) {
  const executor_ref home = detail::named_executor(where, "submit");
  detail::require_callable(f, "submit");
  auto made = detail::make_task(home, prim::stop_token{}, std::forward<F>(f));
  home.post(made.work);
  return std::move(made.result);
}

// The same when nobody needs the result. An exception of f goes to the unhandled handler.
template <takes_jobs E, std::invocable F>
void post(E&& where, F&& f) {
  const executor_ref home = detail::named_executor(where, "post");
  detail::require_callable(f, "post");
  unique_task task(std::forward<F>(f));
  home.post(task.release());
}

}  // namespace heddle::inline HEDDLE_ABI
