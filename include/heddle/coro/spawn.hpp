// Starting a task that nobody awaits yet.
#pragma once

#include <exception>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/retain_executor.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/state.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// The state of a future whose value a task makes. Its claimer runs the task up to its first wait;
// the task then finishes the state when it ends, wherever that is. Until then it keeps its
// executor, for all tasks that it awaits as well.
template <class T>
class spawned_task final : public typed_state<T>, private task_end {
 public:
  spawned_task(executor_ref home, task_promise<T>* body)
      : typed_state<T>(&act, home), task_end(&ended), body_(body) {
    body_->surround({.executor = home, .stop = &token_, .end = *this});
    retain_executor(home);
  }

 private:
  static void act(job* j, verb v) noexcept {
    auto& self = *static_cast<spawned_task*>(j);
    if (v == verb::run) {
      if (self.try_claim_entry()) self.body_->run_here();
    } else if (v == verb::help) {
      if (self.try_claim_ahead()) self.body_->run_here();
    } else if (v == verb::discard) {
      self.discard_entry();
    } else if (v == own_verb::drop_work) {
      self.body_->handle().destroy();
      release_executor(self.home());
    } else if (v == own_verb::request_stop) {
      // A copy, for the task may end in the call, and the state with it.
      prim::stop_source(self.stop_).request_stop();
    } else {
      destroy_state(&self);
    }
  }

  static std::coroutine_handle<> ended(task_end& end, task_frame& frame) noexcept {
    auto& self = static_cast<spawned_task&>(end);
    auto& body = static_cast<task_promise<T>&>(frame);
    std::exception_ptr error = body.failed() ? body.take_error() : nullptr;
    if (error == nullptr) {
      try {
        if constexpr (std::is_void_v<T>) {
          self.emplace();
        } else {
          self.emplace(body.take());
        }
      } catch (...) {
        error = std::current_exception();
      }
    }
    exchange_current(nullptr);  // the frame keeps it
    body.handle().destroy();
    release_executor(self.home());
    if (error != nullptr) {
      self.finish_with(outcome::error, std::move(error));
    } else {
      self.finish_with_value();
    }
    return nullptr;
  }

  task_promise<T>* const body_;
  prim::stop_source stop_;
  const prim::stop_token token_ = stop_.get_token();
};

}  // namespace detail

namespace coro {

// Starts the task on the executor; the future has its value or exception. The one way to leave the
// structure: such a task may outlive whoever started it, and a pool or strand as its executor, but
// neither an executor of another kind nor what it was given by reference. Its context is the
// caller's.
//
// Cancelling the future gives up a task that has not begun, and tells one that has to stop;
// dropping the future does neither. An executor that accepts no more work discards the task: the
// future is `cancelled`. A pool that has been shut down or destroyed meanwhile, or a strand on top
// of it, refuses to let the task go on after its next wait: the wait throws `cancelled`, on the
// thread that has ended it.
// Blocks? As the executor's post. Allocates a cell, and what a stop_source takes. Throws no_state,
// std::invalid_argument for a null executor, std::bad_alloc; then the task is as before.
template <takes_jobs E, class T>
future<T> spawn(E&& where, task<T>&& body) {
  const executor_ref home = heddle::detail::named_executor(where, "spawn");
  if (!body.valid()) throw no_state("spawn");
  auto* const promise = heddle::detail::task_access::release(body, "spawn");
  heddle::detail::spawned_task<T>* state = nullptr;
  try {
    state = heddle::detail::make_state<heddle::detail::spawned_task<T>>(home, promise);
  } catch (...) {
    body = heddle::detail::task_access::adopt(promise);
    throw;
  }
  future<T> result = heddle::detail::access::make<T>(state);
  home.post(state);
  return result;
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
