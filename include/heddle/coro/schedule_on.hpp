// Where a task goes on.
#pragma once

#include <concepts>
#include <coroutine>

#include <heddle/base/executor_ref.hpp>
#include <heddle/coro/frame.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

class [[nodiscard]] executor_change {
 public:
  explicit executor_change(executor_ref where) noexcept : where_(where) {}

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<task_frame> P>
  void await_suspend(std::coroutine_handle<P> h) {
    change(h.promise());
  }
  void await_resume() { arrive(); }

 private:
  // The post is the last. Throws std::bad_alloc; then nothing has changed.
  HEDDLE_API void change(task_frame& task);
  // Throws cancelled.
  HEDDLE_API void arrive();

  const executor_ref where_;
  executor_ref before_;
  task_frame* task_ = nullptr;
};

}  // namespace detail

namespace coro {

// co_await schedule_on(pool): the task goes on as a job of that executor, when that comes to it,
// and so do, from then on, its waits and the tasks that it awaits. Who awaits this task goes on
// where it was. On the task's own executor it gives others an opportunity to run first. Requires:
// an executor that is neither a pool nor a strand outlives the task, or its next schedule_on; those
// refuse the task when they have ended, as for coro::spawn. Blocks? As the executor's post: pools
// do not. Throws std::invalid_argument for a null executor; std::bad_alloc, only if the task has
// moved before and forked children that it has not joined; `cancelled` when the executor accepts no
// more work: the task still belongs to the one before, but is on the thread that was told so until
// its next wait.
template <takes_jobs E>
heddle::detail::executor_change schedule_on(E&& where) {
  return heddle::detail::executor_change(heddle::detail::named_executor(where, "schedule_on"));
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
