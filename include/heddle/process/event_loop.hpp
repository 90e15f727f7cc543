// One thread that waits for everything: descriptors, timers, child processes and posted jobs.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include <heddle/base/executor_ref.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::process {

class event_loop;

// Which readiness a descriptor is watched for; the values are epoll's.
enum class readiness : std::uint32_t { readable = 0x001, writable = 0x004 };

// Receives a descriptor's events. The object must outlive its registration.
class HEDDLE_API io_handler {
 public:
  // Called on the loop's thread. `events` are epoll's bits (EPOLLIN, EPOLLHUP, EPOLLERR, ...).
  // May unwatch this or any other descriptor and destroy itself.
  virtual void on_ready(std::uint32_t events) noexcept = 0;

 protected:
  ~io_handler() = default;
};

// A one-shot timer, armed and disarmed on the loop's thread only. Destroying it disarms it.
class HEDDLE_API timer {
 public:
  using function = void (*)(void* argument) noexcept;

  timer(event_loop& loop, function f, void* argument) noexcept;
  ~timer();
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;

  // Arms, or moves an armed timer. Fires once, on the loop's thread, not before `when`.
  // Throws std::bad_alloc. Complexity: logarithmic in the armed timers.
  void arm(std::chrono::steady_clock::time_point when);
  void disarm() noexcept;
  bool armed() const noexcept { return position_ != not_armed; }

 private:
  friend class event_loop;
  static constexpr std::size_t not_armed = static_cast<std::size_t>(-1);

  event_loop& loop_;
  function function_;
  void* argument_;
  std::chrono::steady_clock::time_point when_{};
  std::size_t position_ = not_armed;
};

// An executor that also waits. Jobs run on the thread that is in run(), in the order posted.
//
// Thread-safety: post, stop and executor from any thread; everything else on the loop's thread
// (or, while nobody is in run(), on the thread that owns the loop).
class HEDDLE_API event_loop {
 public:
  // Throws std::system_error when descriptors or memory are exhausted.
  event_loop();
  // Requires: nobody is in run(). Effects: jobs not run are discarded.
  ~event_loop();
  event_loop(const event_loop&) = delete;
  event_loop& operator=(const event_loop&) = delete;

  // Serves until stop(). Idle, it sleeps in the kernel without a timeout.
  // Throws std::system_error when the kernel refuses to wait.
  void run();
  // Makes run() return after the events in hand. Sticky: a later run() returns at once, until
  // restart().
  void stop() noexcept;
  void restart() noexcept;

  // Never blocks longer than a short critical section; after the loop's destruction has begun the
  // job is discarded.
  void post(job* j) noexcept;
  executor_ref executor() noexcept;

  // Watches a descriptor (level-triggered) until unwatch. `events`: EPOLLIN, EPOLLOUT.
  // Throws std::system_error.
  void watch(int descriptor, std::uint32_t events, io_handler& handler);
  // Safe inside any handler: events already fetched for this descriptor are dropped.
  void unwatch(int descriptor) noexcept;

 private:
  friend class timer;
  struct core;
  std::unique_ptr<core> core_;
};

}  // namespace heddle::inline HEDDLE_ABI::process
