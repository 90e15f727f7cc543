// An event loop with a thread of its own.
#pragma once

#include <string_view>

#include <heddle/prim/config.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/process/event_loop.hpp>

namespace heddle::inline HEDDLE_ABI::process {

class HEDDLE_API loop_thread {
 public:
  // Throws std::system_error when a descriptor or a thread cannot be had.
  // The name is what /proc and debuggers show; its first 15 bytes count.
  explicit loop_thread(std::string_view name = "heddle-loop");
  // Stops the loop and waits for its thread, then destroys the loop: commands that still run on it
  // are killed, and jobs that were posted too late are discarded.
  // Requires: not called on the loop's own thread.
  ~loop_thread();
  loop_thread(const loop_thread&) = delete;
  loop_thread& operator=(const loop_thread&) = delete;

  event_loop& loop() noexcept { return loop_; }
  executor_ref executor() noexcept { return loop_.executor(); }

 private:
  event_loop loop_;
  prim::thread thread_;
};

}  // namespace heddle::inline HEDDLE_ABI::process
