#include <heddle/coro/frame.hpp>

#include <heddle/base/errors.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/future/state.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Whom the coroutine that has just stopped on this thread wants to go on.
std::coroutine_handle<> take_next() noexcept {
  return std::coroutine_handle<>::from_address(
      std::exchange(prim::thread_value(prim::thread_slot::coroutine), nullptr));
}

}  // namespace

void resume_next(std::coroutine_handle<> next) noexcept {
  prim::thread_value(prim::thread_slot::coroutine) = next.address();
}

// The loop is for what calls resume_next().
void task_frame::run_here() noexcept {
  const task_scope around(context_, "coroutine");
  for (std::coroutine_handle<> who = handle_; who; who = take_next()) who.resume();
}

void task_frame::act(job* j, verb v) noexcept {
  auto& self = *static_cast<task_frame*>(j);
  if (v == verb::run) {
    self.run_here();
  } else if (v == verb::discard) {
    // The task has begun, and must come to an end: the await throws.
    self.refused_ = true;
    run_on_trampoline(j);
  }
}

std::coroutine_handle<> task_frame::go_on_from(executor_ref from) noexcept {
  if (from == around_.executor) {
    exchange_current(context_);
    return handle_;
  }
  go_on();
  return nullptr;
}

std::coroutine_handle<> task_frame::go_on_with_parent(task_frame& child) noexcept {
  return static_cast<task_frame*>(child.around_.owner)->go_on_from(child.around_.executor);
}

void task_frame::throw_refused() {
  throw cancelled("the task's executor accepts no more work, so the task cannot go on there");
}

}  // namespace heddle::inline HEDDLE_ABI::detail
