// Work for an executor, and the state of its future, in one cell. Users need thread_pool.hpp.
#pragma once

#include <type_traits>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/future/callable_state.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

template <class R, class F>
class task final : public callable_state<task<R, F>, R, F> {
  using base = callable_state<task, R, F>;

 public:
  template <class G>
  task(executor_ref home, G&& callable) : base(&base::act, home, std::forward<G>(callable)) {}

  void work() noexcept {
    this->execute([](F&& f) -> R { return detail::invoke(std::move(f)); });
  }
};

// Trips the token of work that runs.
struct forward_stop {
  prim::stop_source& to;
  void operator()() const noexcept { to.request_stop(); }
};

// The same for a callable that takes a stop_token: it hears of cancel() on its future, which a
// linked token calls as well, and of the executor's own stop.
template <class R, class F>
class stoppable_task final : public callable_state<stoppable_task<R, F>, R, F> {
  using base = callable_state<stoppable_task, R, F>;

 public:
  // The source is made before, since it allocates: here nothing may fail once there is a callable.
  template <class G>
  stoppable_task(executor_ref home, prim::stop_source stop, prim::stop_token executor_stop,
                 G&& callable)
      : base(&base::act, home, std::forward<G>(callable)),
        stop_(std::move(stop)),
        executor_stop_(std::move(executor_stop)) {}

  void work() noexcept {
    this->execute([this](F&& f) -> R {
      const prim::stop_callback<forward_stop> link(executor_stop_, forward_stop{stop_});
      return detail::invoke(std::move(f), stop_.get_token());
    });
  }
  void request_stop() noexcept { stop_.request_stop(); }

 private:
  prim::stop_source stop_;
  prim::stop_token executor_stop_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
