// Work for an executor, and the state of its future, in one cell. Users need thread_pool.hpp.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/job.hpp>
#include <heddle/future/callable_state.hpp>
#include <heddle/future/state.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
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

// The same for a callable that takes a stop_token: it hears of cancel() on its future, and of the
// executor's own stop.
template <class R, class F>
class stoppable_task final : public callable_state<stoppable_task<R, F>, R, F> {
  using base = callable_state<stoppable_task, R, F>;

 public:
  template <class G>
  stoppable_task(executor_ref home, prim::stop_token executor_stop, G&& callable)
      : base(&base::act, home, std::forward<G>(callable)),
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

// Gives work up when a token of the user's is tripped before the work has begun.
//
// The callback may come while arm() has not returned yet, on this thread or another, when the
// callback object is not there to be destroyed. So arm() and the callback compete in one exchange,
// and the second one cancels. Whoever claims the state disarms the link before the result can be
// seen, and thereby waits for a callback that is under way on another thread; that one finds the
// state claimed, and does not wait for anybody. Inside the callback itself disarming does not wait.
// Protocol: docs/protocols/future.md.
class HEDDLE_API stop_link {
 public:
  explicit stop_link(prim::stop_token token) noexcept : token_(std::move(token)) {}

  // By the maker, before anybody else knows the state. May cancel it at once.
  void arm(future_state& state) noexcept;
  // By the claimer. More than once is as good as once.
  void disarm() noexcept;

  const prim::stop_token& token() const noexcept { return token_; }

 private:
  enum class phase : std::uint8_t { arming, armed, tripped };
  struct trip {
    stop_link& link;
    future_state& state;
    void operator()() const noexcept;
  };

  using callback = prim::stop_callback<trip>;

  prim::stop_token token_;
  prim::atomic<phase> phase_{phase::arming};
  prim::cell<bool> made_{false};
  room_for<callback> callback_;
};

// A task that a token of the user's stops: before it begins by cancelling it, and later, if the
// callable takes a stop_token, by tripping that.
template <class R, class F>
class linked_task final : public callable_state<linked_task<R, F>, R, F> {
  using base = callable_state<linked_task, R, F>;

 public:
  template <class G>
  linked_task(executor_ref home, prim::stop_token user_stop, G&& callable)
      : base(&base::act, home, std::forward<G>(callable)), link_(std::move(user_stop)) {}

  void arm() noexcept { link_.arm(*this); }
  void work() noexcept {
    link_.disarm();
    this->execute([](F&& f) -> R { return detail::invoke(std::move(f)); });
  }
  void drop_work() noexcept {
    link_.disarm();
    base::drop_work();
  }

 private:
  stop_link link_;
};

template <class R, class F>
class linked_stoppable_task final : public callable_state<linked_stoppable_task<R, F>, R, F> {
  using base = callable_state<linked_stoppable_task, R, F>;

 public:
  template <class G>
  linked_stoppable_task(executor_ref home, prim::stop_token executor_stop,
                        prim::stop_token user_stop, G&& callable)
      : base(&base::act, home, std::forward<G>(callable)),
        executor_stop_(std::move(executor_stop)),
        link_(std::move(user_stop)) {}

  void arm() noexcept { link_.arm(*this); }
  void work() noexcept {
    link_.disarm();
    this->execute([this](F&& f) -> R {
      const prim::stop_callback<forward_stop> of_user(link_.token(), forward_stop{stop_});
      const prim::stop_callback<forward_stop> of_executor(executor_stop_, forward_stop{stop_});
      return detail::invoke(std::move(f), stop_.get_token());
    });
  }
  void drop_work() noexcept {
    link_.disarm();
    base::drop_work();
  }
  void request_stop() noexcept { stop_.request_stop(); }

 private:
  prim::stop_source stop_;
  prim::stop_token executor_stop_;
  stop_link link_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
