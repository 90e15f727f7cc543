// Waiting for a while.
#pragma once

#include <chrono>

#include <heddle/base/job.hpp>
#include <heddle/coro/suspension.hpp>
#include <heddle/exec/timer_link.hpp>
#include <heddle/exec/timers.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

struct timer_access {
  // The work runs in place: on the timers' thread, or here when its time has come already, so it
  // must only post. As timer_queue::arm: the work is the queue's, or has been given its verb.
  static void arm(timer_queue& timers, timer_link& link, prim::time_point when, job* work) {
    constexpr executor_ref in_place{nullptr, [](void*, job* j) noexcept { j->run(j, verb::run); }};
    timers.arm(link, when, in_place, work);
  }
};

class HEDDLE_API delay_wait final : public suspension {
 public:
  explicit delay_wait(prim::time_point until) noexcept : suspension(kind), until_(until) {}

  void await_resume();

 private:
  // What the timers' thread runs, in its own stead: it only posts.
  struct due final : job {
    explicit due(delay_wait& of) noexcept : job(&act), self(of) {}
    static void act(job* j, verb v) noexcept;
    delay_wait& self;
  };
  static const steps kind;

  const prim::time_point until_;
  due due_{*this};
  timer_link link_;
};

}  // namespace detail

namespace coro {

// co_await delay(10ms): goes on no earlier than that, on the process's own timers
// (exec/timers.hpp). A delay of zero or less is none, one beyond the clock's end lasts until the
// task is stopped. Blocks? No. Allocates? Room among the timers. Throws `cancelled` when the task
// is told to stop, has been told so before, or the timers end; std::bad_alloc, std::system_error
// when the timers' thread cannot be started; std::invalid_argument for what is no number.
[[nodiscard]] inline heddle::detail::delay_wait delay_until(prim::time_point when) noexcept {
  return heddle::detail::delay_wait(when);
}
template <class Rep, class Period>
[[nodiscard]] heddle::detail::delay_wait delay(std::chrono::duration<Rep, Period> time) {
  return heddle::detail::delay_wait(prim::deadline_after(heddle::detail::checked_delay(time)));
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
