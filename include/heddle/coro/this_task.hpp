// What a task knows of itself.
#pragma once

#include <concepts>
#include <coroutine>

#include <heddle/base/executor_ref.hpp>
#include <heddle/coro/frame.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// Asks without suspending.
template <class Answer>
class [[nodiscard]] frame_question {
 public:
  using question = Answer (*)(const task_frame&);

  explicit frame_question(question q) noexcept : question_(q) {}

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<task_frame> P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    task_ = &h.promise();
    return false;
  }
  Answer await_resume() const { return question_(*task_); }

 private:
  const question question_;
  const task_frame* task_ = nullptr;
};

}  // namespace detail

namespace coro {

// co_await get_stop_token(): tells the task when it is no longer wanted, because the task that
// awaits it is not, a task beside it has failed, or its time has run out. The token of nobody when
// nobody can stop it. Throws std::bad_alloc, in tasks that were forked.
inline auto get_stop_token() noexcept {
  return heddle::detail::frame_question<prim::stop_token>([](const heddle::detail::task_frame& t) {
    const prim::stop_token* const stop = t.stop();
    return stop != nullptr ? *stop : prim::stop_token();
  });
}

// co_await get_executor(): where the task runs, and goes on after its waits. A pool's or strand's
// may be used until the task has moved on by schedule_on, or has ended; that of a spawned task
// until that has ended.
inline auto get_executor() noexcept {
  return heddle::detail::frame_question<executor_ref>(
      [](const heddle::detail::task_frame& t) { return t.executor(); });
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
