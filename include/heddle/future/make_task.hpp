// Tasks out of callables, for executors that give out futures. Users need thread_pool.hpp.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/stop_link.hpp>
#include <heddle/future/task.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

template <class F, class... Args>
concept takes_stop = std::invocable<std::decay_t<F>, prim::stop_token, std::decay_t<Args>...>;

template <class F>
struct task_result : std::invoke_result<F> {};
template <class F>
  requires takes_stop<F>
struct task_result<F> : std::invoke_result<F, prim::stop_token> {};
template <class F>
using task_result_t = typename task_result<std::decay_t<F>>::type;

// A job for an executor and the future of its result. Whoever has it gives the job its verb once.
template <class R>
struct made_task {
  future<R> result;
  job* work;
};

// The executor's own stop: a token, or something that has a stop_token() to be asked for only when
// a task wants one, since copying a token is not free.
template <class Stop>
prim::stop_token token_of(const Stop& stop) {
  if constexpr (std::same_as<Stop, prim::stop_token>) {
    return stop;
  } else {
    return stop.stop_token();
  }
}

// Allocates one cell. `home` is the executor that the job is for: its waiting workers may help, and
// continuations go there; `executor_stop` is tripped when it wants its running work to stop.
//
// Work may be linked to a token of the user's. When that is tripped before the work has begun, the
// future is ready as cancelled at once, on the thread that trips it, and the job is a tombstone; so
// it may be when this returns, if the token had been tripped before. A token that nobody can trip
// any more costs nothing.
// Throws std::bad_alloc, what moving f throws.
template <class Stop, class F>
auto make_task(executor_ref home, const Stop& executor_stop, prim::stop_token user_stop, F&& f)
    -> made_task<task_result_t<F>> {
  using function = std::decay_t<F>;
  using result = task_result_t<F>;
  using state = std::conditional_t<takes_stop<function>, stoppable_task<result, function>,
                                   task<result, function>>;
  prim::stop_token* const link = user_stop.stop_possible() ? &user_stop : nullptr;
  state* made = nullptr;
  if constexpr (takes_stop<function>) {
    made = make_linked_state<state>(link, home, prim::stop_source(), token_of(executor_stop),
                                    std::forward<F>(f));
  } else {
    made = make_linked_state<state>(link, home, std::forward<F>(f));
  }
  if (link != nullptr) link_of(made)->arm(*made);
  return {access::make<result>(made), made};
}
template <class Stop, class F>
auto make_task(executor_ref home, const Stop& executor_stop, F&& f) -> made_task<task_result_t<F>> {
  return make_task(home, executor_stop, prim::stop_token(), std::forward<F>(f));
}

// A job whose result nobody waits for, stopped in the same way; its exception goes to the unhandled
// handler.
template <class Stop, class F>
job* make_posted_task(const Stop& executor_stop, prim::stop_token user_stop, F&& f) {
  return make_task(executor_ref{}, executor_stop, std::move(user_stop), std::forward<F>(f)).work;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
