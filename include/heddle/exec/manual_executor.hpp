// An executor whose work runs when somebody says so: for tests, and for threads with a loop of
// their own.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/exec/job_list.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/future/future.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/sync/event_count.hpp>

namespace heddle::inline HEDDLE_ABI {

// Keeps jobs in the order in which they came until somebody runs them, on the thread of whoever
// does. With one thread that drives it a test is deterministic: nothing happens between its lines.
//
// Thread-safety: every member from any thread; several threads may drive it at once, and then jobs
// begin in order. Driving it from inside one of its jobs is fine, too.
// Waiting: while a thread drives it, a job that gets the future of another task of this executor
// runs that task, if nobody has begun it. Everything else that waits for work that only the waiter
// could run waits for ever: get() outside of a job, a continuation's future, a wait with a limit.
// Use run_until_ready.
// Destruction: discards what is left; futures of that are cancelled. Nobody drives it, nor posts.
class HEDDLE_API manual_executor {
 public:
  manual_executor() = default;
  ~manual_executor() { close(); }
  manual_executor(const manual_executor&) = delete;
  manual_executor& operator=(const manual_executor&) = delete;

  executor_ref executor() noexcept { return {this, &accept}; }

  // See heddle::submit and heddle::post.
  template <work F>
  auto submit(F&& f) {
    return heddle::submit(executor(), std::forward<F>(f));
  }
  template <std::invocable F>
  void post(F&& f) {
    heddle::post(executor(), std::forward<F>(f));
  }

  // Runs the oldest job. False when there is none. Blocks as the job does.
  bool run_one();
  // Runs the jobs that are here now, and not those that come meanwhile; returns how many.
  std::size_t run_ready();
  // Runs jobs until none is left, those that come meanwhile included; returns how many. A job that
  // always posts another keeps it going for ever.
  std::size_t drain();
  // Runs jobs as they come until the deadline has passed or the executor is closed; returns how
  // many. None begins after the deadline. Blocks. Throws would_starve.
  std::size_t run_until(prim::time_point deadline);
  template <class Rep, class Period>
  std::size_t run_for(std::chrono::duration<Rep, Period> time) {
    return run_until(prim::deadline_after(time));
  }
  // Runs jobs as they come until the future is ready, or the deadline has passed, or the executor
  // is closed; true when the future is ready, whoever made it so. Nobody else uses it meanwhile.
  // Blocks. Throws no_state, would_starve.
  template <class T>
  bool run_until_ready(const future<T>& f, prim::time_point deadline = prim::never) {
    return run_until_done(detail::access::state(f, "manual_executor::run_until_ready")->event(),
                          deadline);
  }

  // Jobs that wait to be run; those that were cancelled do not count. Complexity: linear in them.
  std::size_t pending() const;

  // Discards what is pending and, from now on, what comes. Who is in run_until returns.
  void close() noexcept;
  bool closed() const;

 private:
  static void accept(void* self, job* j) noexcept;
  bool append(job* j) noexcept;
  job* pop() noexcept;
  job* pop(std::uint32_t newest) noexcept;
  std::uint32_t newest_stamp() const noexcept;
  void give_run(job* j) noexcept;
  template <class Condition>
  bool run_while_waiting(prim::time_point deadline, Condition holds, std::size_t& count);
  bool run_until_done(completion& event, prim::time_point deadline);

  mutable prim::mutex mutex_;
  detail::job_list jobs_ HEDDLE_GUARDED_BY(mutex_);
  std::uint32_t last_stamp_ HEDDLE_GUARDED_BY(mutex_) = 0;  // of the job that came last
  bool closed_ HEDDLE_GUARDED_BY(mutex_) = false;
  event_count changed_;
};

}  // namespace heddle::inline HEDDLE_ABI
