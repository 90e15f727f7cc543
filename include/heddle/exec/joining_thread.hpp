// A thread of one's own for long-running work that does not belong into a pool.
#pragma once

#include <concepts>
#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include <heddle/base/invoke.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/sync/blocking_region.hpp>

namespace heddle::inline HEDDLE_ABI {

// A named thread that is asked to stop and joined when its object dies, and whose exception is not
// lost: std::jthread, with an end that can be waited for with a limit.
//
// The callable gets a stop_token first if it takes one.
// Thread-safety: of an int; finished() and request_stop() also from other threads.
// Destruction: requests a stop and waits. An exception that nobody read goes to the unhandled
// handler. A thread that destroys its own object detaches.
class joining_thread {
 public:
  joining_thread() noexcept = default;

  // Throws std::system_error when no thread can be started, std::bad_alloc, what copying the
  // arguments throws.
  template <class F, class... Args>
    requires(std::invocable<std::decay_t<F>, std::decay_t<Args>...> ||
             std::invocable<std::decay_t<F>, prim::stop_token, std::decay_t<Args>...>)
  joining_thread(std::string name, F&& f, Args&&... args) {
    promise<void> done;
    finished_ = done.get_future();
    start([end = &detail::access::state(finished_, "joining_thread")->event(),
           name = std::move(name), done = std::move(done), stop = stop_.get_token(),
           f = std::decay_t<F>(std::forward<F>(f)),
           ... args = std::decay_t<Args>(std::forward<Args>(args))]() mutable {
      prim::set_thread_name(name);
      try {
        const detail::task_scope around(nullptr, detail::task_name_of(f), end);
        if constexpr (std::invocable<std::decay_t<F>, prim::stop_token, std::decay_t<Args>...>) {
          detail::invoke(std::move(f), std::move(stop), std::move(args)...);
        } else {
          detail::invoke(std::move(f), std::move(args)...);
        }
      } catch (...) {
        done.set_exception(std::current_exception());
        return;
      }
      done.set_value();
    });
  }

  joining_thread(joining_thread&& other) noexcept = default;
  joining_thread& operator=(joining_thread&& other) noexcept {
    if (this != &other) {
      end();
      stop_ = std::move(other.stop_);
      finished_ = std::move(other.finished_);
      thread_ = std::move(other.thread_);
    }
    return *this;
  }
  ~joining_thread() { end(); }

  bool joinable() const noexcept { return thread_.joinable(); }
  bool request_stop() noexcept { return stop_.request_stop(); }
  prim::stop_token get_stop_token() const noexcept { return stop_.get_token(); }

  // Whether the callable has returned; false for a thread that was never started or was joined.
  bool finished() const { return finished_.valid() && finished_.ready(); }

  // Waits for the end at most so long; true when it has come.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout) {
    return !finished_.valid() || finished_.wait_for(timeout);
  }

  // Waits for the end without asking for it, and throws the callable's exception.
  // Throws no_state when there is no thread, would_starve, deadlock_error, forked; then it is as
  // before.
  void join() {
    auto* const state = detail::access::state(finished_, "joining_thread::join");
    state->require_own_process();
    wait_or_be_interrupted(state->event(), wait_kind::join);
    thread_.join();
    finished_.get();
  }

 private:
  template <class Body>
  void start(Body&& body) {
    try {
      thread_ = prim::thread(std::forward<Body>(body));
    } catch (...) {
      static_cast<void>(finished_.exception());  // a broken promise, which is not news
      throw;
    }
  }

  void end() noexcept {
    if (!thread_.joinable()) return;
    stop_.request_stop();
    if (thread_.get_id() == prim::this_thread_id()) {
      thread_.detach();
    } else {
      detail::access::await_regardless(finished_);  // a wait that a pool hears of
      thread_.join();
    }
    finished_ = {};
  }

  prim::stop_source stop_;
  future<void> finished_;
  prim::thread thread_;
};

}  // namespace heddle::inline HEDDLE_ABI
