// Work for later.
#pragma once

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/exec/periodic_timer.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/exec/timer_link.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/make_task.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

// What schedule_every can be given: f(), or f(const timer_tick&), called again and again.
template <class F>
concept periodic_work =
    std::invocable<std::decay_t<F>&> || std::invocable<std::decay_t<F>&, const timer_tick&>;

namespace detail {

class standard_timers;
class timer_core;
struct timer_access;  // coro/delay.hpp

// Work, the future of its result, and its place among the timers, in one cell. No waiter runs it
// ahead of its time.
template <class R, class F>
class timed_task final : public callable_state<timed_task<R, F>, R, F> {
  using base = callable_state<timed_task, R, F>;
  static constexpr bool stoppable = std::invocable<F, prim::stop_token>;
  struct no_source {};

 public:
  template <class G>
  timed_task(executor_ref home, G&& f) : base(&act, home, std::forward<G>(f)) {}

  timer_link& link() noexcept { return link_; }

  // For the claimer.
  void work() noexcept {
    link_.leave();
    if constexpr (stoppable) {
      this->execute([this](F&& f) -> R { return detail::invoke(std::move(f), stop_.get_token()); });
    } else {
      this->execute([](F&& f) -> R { return detail::invoke(std::move(f)); });
    }
  }
  void drop_work() noexcept {
    const bool was_armed = link_.leave();
    base::drop_work();
    if (was_armed) this->drop_entry();
  }
  void request_stop() noexcept {
    if constexpr (stoppable) stop_.request_stop();
  }

 private:
  static void act(job* j, verb v) noexcept {
    if (v != verb::help) base::act(j, v);
  }

  [[no_unique_address]] std::conditional_t<stoppable, prim::stop_source, no_source> stop_;
  timer_link link_;
};

// Throws std::invalid_argument for what is no number.
template <class Rep, class Period>
std::chrono::duration<Rep, Period> checked_delay(std::chrono::duration<Rep, Period> delay) {
  if constexpr (std::is_floating_point_v<Rep>) {
    if (std::isnan(delay.count())) {
      throw std::invalid_argument("schedule_after: a delay that is not a number");
    }
  }
  return delay;
}

// A period of the clock; less than a nanosecond is one. Throws std::invalid_argument.
template <class Rep, class Period>
prim::clock::duration checked_period(std::chrono::duration<Rep, Period> period) {
  using wide = std::chrono::duration<long double>;
  if (!(period > period.zero())) {
    throw std::invalid_argument("schedule_every: a period that is not positive: " +
                                std::to_string(wide(period).count()) + " s");
  }
  if (wide(period) >= wide(prim::clock::duration::max())) return prim::clock::duration::max();
  return std::chrono::ceil<prim::clock::duration>(period);
}

}  // namespace detail

// Gives work to executors when its time has come. One thread sleeps until the earliest time; it is
// started by the first work that has to wait. With nothing to wait for it sleeps for good.
//
// Times are the steady clock's. Nothing is given away before its time; how long after depends on
// the kernel (some 50 microseconds), and on what the executor has to do. The thread only posts: on
// an inline_executor, though, it runs the work, and all other timers wait.
// Requires: an executor outlives the timers that go to it. Those that are left when it ends are got
// rid of by cancel_all.
// Thread-safety: every member from any thread.
// Destruction: cancels what is left, and waits for the thread; called by its thread, it does not
// wait. No other call is under way.
// After fork: in the child it is empty, and good for new work. Futures and handles of the parent's
// timers stay what they were, and nothing comes of them.
class HEDDLE_API timer_queue {
 public:
  constexpr timer_queue() noexcept = default;
  ~timer_queue();
  timer_queue(const timer_queue&) = delete;
  timer_queue& operator=(const timer_queue&) = delete;

  // Posts f to the executor at that time; at once, from here, if it has passed. The future has the
  // result. Cancelling it before then takes the timer out of the queue and frees f now; dropping it
  // does not cancel. f may take a stop_token, as in heddle::submit. A waiter does not run f ahead
  // of its time. prim::never never comes.
  // Blocks? Briefly, for a lock. Allocates one cell, and room in the queue. Throws
  // std::invalid_argument for a null executor or callable, std::system_error when the thread cannot
  // be started, std::bad_alloc, what copying f throws; then nothing will happen.
  // Complexity: logarithmic in the timers that wait, as is cancelling.
  template <takes_jobs E, work F>
  auto schedule_at(E&& where, prim::time_point when, F&& f) {
    using function = std::decay_t<F>;
    using task = detail::timed_task<detail::task_result_t<F>, function>;
    const executor_ref home = detail::named_executor(where, "schedule_at");
    detail::require_callable(f, "schedule_at");
    auto* const made = detail::make_state<task>(home, std::forward<F>(f));
    auto result = detail::access::make<detail::task_result_t<F>>(made);
    arm(made->link(), when, home, made);
    return result;
  }

  // The same, that long from now. A negative time is none; one beyond the clock's end never comes.
  template <takes_jobs E, class Rep, class Period, work F>
  auto schedule_after(E&& where, std::chrono::duration<Rep, Period> delay, F&& f) {
    return schedule_at(std::forward<E>(where), prim::deadline_after(detail::checked_delay(delay)),
                       std::forward<F>(f));
  }

  // Calls f on the executor again and again, never twice at the same time, until the handle is
  // cancelled or dies. Ticks come at the start plus whole multiples of the period, however long the
  // runs take: being late does not add up. What is missed: see missed_ticks. Both are told, to f if
  // it takes a timer_tick, and by the handle's statistics.
  // Throws std::invalid_argument for a period that is not positive, and as schedule_at.
  template <takes_jobs E, class Rep, class Period, periodic_work F>
  periodic_timer schedule_every(E&& where, std::chrono::duration<Rep, Period> period, F&& f,
                                const periodic_options& options = {}) {
    const executor_ref home = detail::named_executor(where, "schedule_every");
    detail::require_callable(f, "schedule_every");
    const prim::clock::duration step = detail::checked_period(period);
    periodic_timer timer(
        new detail::periodic_call<std::decay_t<F>>(home, step, options, std::forward<F>(f)));
    start(timer, prim::deadline_after(options.first_after.value_or(step)));
    return timer;
  }

  // Timers that wait for their time.
  std::size_t pending() const noexcept;

  // Cancels every timer that waits to be given to this executor; returns how many.
  // Complexity: linear in the timers that wait.
  std::size_t cancel_all(executor_ref where) noexcept;

  // The process's own. Made at first use. When the program's static objects are destroyed, it is
  // emptied and its thread ends; whoever uses it later than that starts it anew.
  static timer_queue& standard() noexcept;

 private:
  friend class detail::standard_timers;
  friend struct detail::timer_access;

  // Arms the link, or posts the work. Throws what starting the thread and making room throw; then
  // the work was discarded.
  void arm(detail::timer_link& link, prim::time_point when, executor_ref where, job* work);
  void start(periodic_timer& timer, prim::time_point first);
  detail::timer_core& core();
  detail::timer_core* live_core() const noexcept;
  void end() noexcept;

  prim::atomic<detail::timer_core*> core_{nullptr};
};

// On the process's own queue.
template <takes_jobs E, work F>
auto schedule_at(E&& where, prim::time_point when, F&& f) {
  return timer_queue::standard().schedule_at(std::forward<E>(where), when, std::forward<F>(f));
}
template <takes_jobs E, class Rep, class Period, work F>
auto schedule_after(E&& where, std::chrono::duration<Rep, Period> delay, F&& f) {
  return timer_queue::standard().schedule_after(std::forward<E>(where), delay, std::forward<F>(f));
}
template <takes_jobs E, class Rep, class Period, periodic_work F>
periodic_timer schedule_every(E&& where, std::chrono::duration<Rep, Period> period, F&& f,
                              const periodic_options& options = {}) {
  return timer_queue::standard().schedule_every(std::forward<E>(where), period, std::forward<F>(f),
                                                options);
}

}  // namespace heddle::inline HEDDLE_ABI
