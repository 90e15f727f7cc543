// What a timer_queue consists of: the timers, and the thread that waits for the earliest.
#pragma once

#include <cstddef>
#include <span>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/exec/job_list.hpp>
#include <heddle/exec/timer_link.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/prim/thread.hpp>

#include "timer_heap.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

// References: one for the queue object, one for the thread, and one for each timer that may yet ask
// for the mutex.
//
// The thread sleeps until `wakes_at_`, or until it is unparked by whoever arms an earlier timer. It
// looks at the heap again whenever it has posted what was due, so while it is awake nobody unparks
// it: then `wakes_at_` lies in the past.
class timer_core {
 public:
  timer_core() = default;
  timer_core(const timer_core&) = delete;
  timer_core& operator=(const timer_core&) = delete;

  void retain() noexcept { references_.fetch_add(1, prim::relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) == 1) delete this;
  }

  // It belongs to a process whose child we are: its thread is not here, its mutex may be locked for
  // good. Nobody may touch it.
  bool abandoned() const noexcept { return generation_ != prim::fork_generation(); }

  // Guards the timers: the heap, the links, and what periodic timers know of themselves.
  prim::mutex mutex;

  // Starts the thread if need be, and makes room for one more. False when the queue has ended.
  // Throws std::system_error, std::bad_alloc.
  bool prepare() HEDDLE_REQUIRES(mutex);
  bool ended() const noexcept HEDDLE_REQUIRES(mutex) { return ended_; }
  // What is to be posted where when the link's time has come.
  static void bind(timer_link& link, executor_ref where, job* work) noexcept;
  // Requires: bound, and there is room.
  void arm(timer_link& link, prim::time_point when) noexcept HEDDLE_REQUIRES(mutex);
  // The link's work, which is now the caller's; null when it is not armed.
  job* disarm(timer_link& link) noexcept HEDDLE_REQUIRES(mutex);

  // Those that arm themselves again always find room.
  void add_periodic() noexcept HEDDLE_REQUIRES(mutex) { ++periodic_; }
  void remove_periodic() noexcept HEDDLE_REQUIRES(mutex) { --periodic_; }

  // Arms a link whose owner takes it back by leave(). False when the queue has ended.
  bool arm_new(timer_link& link, prim::time_point when, executor_ref where, job* work);

  std::size_t pending() noexcept;
  std::size_t cancel_all(executor_ref where) noexcept;

  // Discards what is armed, and ends the thread. Once.
  void end() noexcept;

 private:
  struct due_work {
    executor_ref where;
    job* work;
  };

  ~timer_core() = default;

  void run() noexcept;
  std::size_t take_due(std::span<due_work> room) noexcept HEDDLE_REQUIRES(mutex);
  static void discard(job_list& works) noexcept;

  timer_heap heap_ HEDDLE_GUARDED_BY(mutex);
  std::size_t periodic_ HEDDLE_GUARDED_BY(mutex) = 0;
  prim::time_point wakes_at_ HEDDLE_GUARDED_BY(mutex) = prim::time_point::min();
  bool started_ HEDDLE_GUARDED_BY(mutex) = false;
  bool ended_ HEDDLE_GUARDED_BY(mutex) = false;
  prim::thread thread_ HEDDLE_GUARDED_BY(mutex);
  prim::parker parker_;
  prim::atomic<std::size_t> references_{1};
  const unsigned generation_ = prim::fork_generation();
};

}  // namespace heddle::inline HEDDLE_ABI::detail
