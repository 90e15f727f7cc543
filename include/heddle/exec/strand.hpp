// Work that must not run at the same time, without a lock: one job after the other.
#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {
class strand_core;
struct strand_access;
}  // namespace detail

// An executor on top of another one. Its jobs run there, never two at the same time, in the order
// in which they were posted; whoever posts does not wait, and no thread waits for a job's turn. So
// data that only jobs of one strand touch needs no lock.
//
// A copy is the same strand. Jobs that were accepted run even when every copy is gone.
// Requires: the executor below, unless it is a pool or a strand, outlives the strand's jobs; a
// strand, or a copy, outlives every use of its executor(), its own jobs' uses excepted, and those
// of coroutines that go on here.
//
// Thread-safety: every member from any thread.
// Memory ordering: what a job did happened before the next job begins; what happened before the
// posting of a job happened before it.
// Waiting: a job that waits keeps the strand waiting. A job that waits for another one of its own
// strand waits for ever. (Elsewhere waiting for a strand's job is like waiting for any: on a pool's
// worker a spare stands in. No waiter runs a strand's job ahead of its turn.)
// Fairness: after 32 jobs in a row the strand goes to the end of the executor's queue, if that has
// one, so that it does not keep a worker from others.
// Shutdown: when the executor below discards what it is given, as a pool does that has been shut
// down or destroyed, so does the strand: the futures are cancelled, nothing is lost.
// After fork: a strand that was at work in the parent runs nothing in the child.
// Complexity: posting is lock-free, with one exchange; a strand that has work to do costs the
// executor below one job for up to 32 of its own.
// Protocol: docs/protocols/strand.md.
class HEDDLE_API strand {
 public:
  // Allocates. Throws std::invalid_argument for a null reference, std::bad_alloc.
  template <takes_jobs E>
    requires(!std::same_as<std::remove_cvref_t<E>, strand>)
  explicit strand(E&& below) : core_(make(detail::named_executor(below, "strand"))) {}
  strand(const strand& other) noexcept;
  strand& operator=(const strand& other) noexcept;
  ~strand();

  executor_ref executor() const noexcept { return {core_, &accept}; }

  // See heddle::submit and heddle::post. From inside the strand, too, the job waits for its turn.
  template <work F>
  auto submit(F&& f) const {
    return heddle::submit(executor(), std::forward<F>(f));
  }
  template <std::invocable F>
  void post(F&& f) const {
    heddle::post(executor(), std::forward<F>(f));
  }

  // Runs f now if this thread is inside the strand; else posts it. An exception of f goes to the
  // unhandled handler either way. Throws as post.
  template <std::invocable F>
  void dispatch(F&& f) const {
    if (!running_in_this_thread()) {
      post(std::forward<F>(f));
      return;
    }
    detail::require_callable(f, "dispatch");
    std::decay_t<F> own(std::forward<F>(f));
    try {
      static_cast<void>(detail::invoke(std::move(own)));
    } catch (...) {
      report_unhandled(std::current_exception());
    }
  }

  // True inside of the strand's jobs, and in what those run on their own stack.
  bool running_in_this_thread() const noexcept;

  // Whether both are the same strand.
  friend bool operator==(const strand&, const strand&) = default;

 private:
  friend detail::strand_access;

  static detail::strand_core* make(executor_ref below);
  static void accept(void* self, job* j) noexcept;

  detail::strand_core* core_;
};

}  // namespace heddle::inline HEDDLE_ABI
