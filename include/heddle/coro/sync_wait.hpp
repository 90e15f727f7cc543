// From threads to coroutines: waiting for a task.
#pragma once

#include <coroutine>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// An executor that lives as long as a call of sync_wait, and runs on its thread.
//
// A stack of jobs in one word, which the thread takes as a whole; when it is empty the thread
// leaves a mark there and sleeps. Whoever finds the mark wakes it, and that is the last that anyone
// does with the object who has posted to it; without the mark the exchange is the last. So it may
// be destroyed as soon as the last job has been run.
class HEDDLE_API waiting_loop : private task_end {
 public:
  explicit waiting_loop(const prim::stop_token& stop) noexcept : task_end(&ended), stop_(stop) {}
  waiting_loop(const waiting_loop&) = delete;
  waiting_loop& operator=(const waiting_loop&) = delete;

  // Runs the task to its end, wherever that is.
  void run(task_frame& task) noexcept;

 private:
  struct last_job final : job {
    last_job() noexcept : job([](job*, verb) noexcept {}) {}
  };

  static std::coroutine_handle<> ended(task_end& self, task_frame& task) noexcept;
  void post(job* j) noexcept;
  job* take() noexcept;
  void sleep() noexcept;

  const prim::stop_token& stop_;
  prim::atomic<job*> newest_{nullptr};
  prim::parker parker_;
  last_job last_;
};

}  // namespace detail

namespace coro {

// Runs the task on the calling thread, and returns its value or throws its exception. Between its
// waits, so do all tasks that it awaits; those that schedule_on another executor, there.
//
// The task hears of a stop by its waits and by get_stop_token(); the call itself returns when the
// task has ended, and not before.
// Blocks: the thread sleeps while there is nothing to run; a worker of a pool lets a spare one take
// its place meanwhile. Never throws of itself, but no_state.
template <class T>
T sync_wait(task<T> body, const prim::stop_token& stop = {}) {
  auto* const promise = heddle::detail::task_access::release(body, "sync_wait");
  const task<T> own = heddle::detail::task_access::adopt(promise);
  heddle::detail::waiting_loop(stop).run(*promise);
  return promise->take();
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
