// One thread that waits for everything: descriptors, timers, child processes and posted jobs.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <heddle/base/executor_ref.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::process {

class event_loop;
class launcher;
class loop_resident;
class timer_heap;

// Which readiness a descriptor is watched for; the values are epoll's.
enum class readiness : std::uint32_t { readable = 0x001, writable = 0x004 };

// Receives a descriptor's events. The object must outlive its registration.
class HEDDLE_API io_handler {
 public:
  // Called on the loop's thread. `events` are epoll's bits (EPOLLIN, EPOLLHUP, EPOLLERR, ...).
  // May watch and unwatch this or any other descriptor and destroy itself.
  virtual void on_ready(std::uint32_t events) noexcept = 0;

 protected:
  ~io_handler() = default;
};

// A one-shot timer, armed and disarmed on the loop's thread only. Destroying it disarms it; when
// the loop is destroyed first, its timers are disarmed and may only be destroyed.
class HEDDLE_API timer {
 public:
  using function = void (*)(void* argument) noexcept;

  timer(event_loop& loop, function f, void* argument) noexcept;
  ~timer();
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;

  // Arms, or moves an armed timer. Fires once, on the loop's thread, not before `when`; timers of
  // the same time fire in the order they were armed. The function may arm or destroy any timer,
  // its own included. time_point::max() never fires.
  // Throws std::bad_alloc. Complexity: logarithmic in the armed timers.
  void arm(std::chrono::steady_clock::time_point when);
  void disarm() noexcept;
  bool armed() const noexcept { return position_ != not_armed; }

 private:
  friend class event_loop;
  friend class timer_heap;
  static constexpr std::size_t not_armed = static_cast<std::size_t>(-1);

  event_loop& loop_;
  function function_;
  void* argument_;
  std::chrono::steady_clock::time_point when_{};
  std::uint64_t order_ = 0;  // breaks ties between equal times
  std::size_t position_ = not_armed;
};

// An executor that also waits. Jobs run on the thread that is in run(), in the order posted.
//
// Thread-safety: post, stop, restart and executor from any thread; everything else on the loop's
// thread (or, while nobody is in run(), on the thread that owns the loop).
// After fork: the child process may not use the loop, which shares its kernel objects.
class HEDDLE_API event_loop {
 public:
  // Throws std::system_error when descriptors are exhausted, std::bad_alloc.
  event_loop();
  // Requires: nobody is in run(), and every child handle on the loop is destroyed.
  // Effects: spawned commands are killed and their futures cancelled; jobs not run are discarded,
  // on this thread.
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  // Serves until stop(). Idle, it sleeps in the kernel without a timeout.
  // Throws std::system_error when the kernel refuses to wait.
  void run();
  // Makes run() return after the events in hand and the jobs that were posted before stop(). Later
  // jobs are kept. Sticky: a later run() returns at once, until restart().
  void stop() noexcept;
  // Undoes stop(): jobs that were kept are run by the next run().
  void restart() noexcept;

  // Runs the job on the loop's thread. Jobs still there when the loop is destroyed are discarded.
  // Memory ordering: what happens before post() happens before the job.
  // Blocks for a short critical section at most. Allocates nothing.
  void post(job* j) noexcept;
  executor_ref executor() noexcept;

  // Watches a descriptor (level-triggered) until unwatch. `events`: EPOLLIN, EPOLLOUT. Watching it
  // again replaces the events and the handler.
  // Throws std::system_error (EPERM for a regular file, which is always ready), std::bad_alloc.
  void watch(int descriptor, std::uint32_t events, io_handler& handler);
  // Requires: the descriptor has not been closed yet. Does nothing when it is not watched.
  // Safe inside any handler: events already fetched for this descriptor are dropped.
  void unwatch(int descriptor) noexcept;

 private:
  friend class timer;
  friend class child;
  friend class loop_resident;
  struct core;

  launcher& children() noexcept;
  loop_resident*& residents() noexcept;

  std::unique_ptr<core> core_;
};

}  // namespace heddle::inline HEDDLE_ABI::process
