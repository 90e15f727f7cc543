// A task that has so much time.
#pragma once

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <optional>

#include <heddle/base/errors.hpp>
#include <heddle/base/job.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/timer_link.hpp>
#include <heddle/exec/timers.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// A stop that comes with a deadline, or when the parent's does. The timers' thread may be in it
// when the task has ended, and the task may end on that thread, inside of it: so nobody waits for
// the other, and the last one destroys it.
class HEDDLE_API time_limit final : private job {
 public:
  // Throws std::bad_alloc.
  static time_limit* make() { return new time_limit; }

  // Throws what arming the timer throws.
  void begin(timer_queue& timers, prim::time_point deadline, const prim::stop_token* parents_stop);
  // By the owner, once. Whether the deadline came first, before the parent's stop and this call.
  bool end() noexcept;

  const prim::stop_token& token() const noexcept { return token_; }

 private:
  enum class fate : std::uint8_t { open, expired, stopped, over };
  struct forward {
    time_limit& to;
    void operator()() const noexcept { to.trip(fate::stopped); }
  };

  time_limit() : job(&act) {}
  ~time_limit() = default;

  static void act(job* j, verb v) noexcept;
  void trip(fate why) noexcept;
  void release(unsigned references = 1) noexcept;

  prim::atomic<unsigned> references_{1};
  prim::atomic<fate> fate_{fate::open};
  prim::stop_source source_;
  const prim::stop_token token_ = source_.get_token();
  timer_link link_;
  std::optional<prim::stop_callback<forward>> parents_stop_;
};

template <class T>
class [[nodiscard]] limited_wait final : public task_wait<T> {
 public:
  limited_wait(task_promise<T>* body, time_limit* limit, prim::time_point deadline) noexcept
      : task_wait<T>(body), limit_(limit), deadline_(deadline) {}
  ~limited_wait() {
    if (limit_ != nullptr) limit_->end();
  }

  template <std::derived_from<task_frame> P>
  transfer await_suspend(std::coroutine_handle<P> parent) {
    task_frame& frame = parent.promise();
    limit_->begin(timer_queue::standard(), deadline_, frame.stop());
    return transfer_to<transfer>(this->begin(frame, &limit_->token()));
  }
  T await_resume() {
    if (!std::exchange(limit_, nullptr)->end()) return this->take();
    try {
      static_cast<void>(this->take());
    } catch (const cancelled&) {
      // As it was told.
    }
    throw timed_out();
  }

 private:
  time_limit* limit_;
  const prim::time_point deadline_;
};

// g++ 12 warns of each frame that holds something of a user's anonymous namespace.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

template <class T, class Duration>
coro::task<T> run_with_timeout(coro::task<T> body, Duration time) {
  time_limit* const limit = time_limit::make();
  co_return co_await limited_wait<T>(task_access::release(body, "with_timeout"), limit,
                                     prim::deadline_after(time));
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace detail

namespace coro {

// Runs the task, and tells it to stop when it has not ended that long after it began. When it has
// ended then, throws timed_out, whatever its value; an exception other than `cancelled` is thrown
// as it is. So the task never outlives the call; one that does not heed the stop holds it up.
//
// A stop goes from one that is inside of another to the next by calls, as with gather.
//
// The time is that of the process's own timers, whose thread tells the task. Zero or less: the task
// is told to stop before it begins.
// Throws std::invalid_argument for a time that is no number, no_state for a task that is not valid;
// when it is awaited, std::bad_alloc, and std::system_error when the timers' thread cannot be
// started; then the task has not begun.
template <class T, class Rep, class Period>
task<T> with_timeout(task<T> body, std::chrono::duration<Rep, Period> time) {
  if (!body.valid()) throw no_state("with_timeout");
  return heddle::detail::run_with_timeout(std::move(body), heddle::detail::checked_delay(time));
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
