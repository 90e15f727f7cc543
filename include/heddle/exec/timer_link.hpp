// A timer's place in its queue. Users need timers.hpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

class timer_core;

// Lives inside of what is to be run. While it is armed, the queue holds its address, and is the one
// to give `work` its verb.
//
// Thread-safety: arm() before anybody else knows the link; leave() from any thread.
class HEDDLE_API timer_link {
 public:
  timer_link() noexcept = default;
  timer_link(const timer_link&) = delete;
  timer_link& operator=(const timer_link&) = delete;

  // Lets go of the queue: afterwards nobody touches the link. True when it was still armed: then
  // the work is the caller's. Once. Complexity: logarithmic.
  bool leave() noexcept { return core_ != nullptr && leave_core(); }

 private:
  friend class timer_core;
  friend class timer_heap;
  static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

  bool leave_core() noexcept;

  // Guarded by the core's mutex. `armed_` may be read without: who sees false is spared the lock.
  // That orders nothing, and need not: whoever took the link out of the heap holds the work's
  // entry, and the link lives at least as long as that.
  timer_core* core_ = nullptr;  // retained
  job* work_ = nullptr;
  executor_ref where_;
  prim::time_point when_{};
  std::uint64_t order_ = 0;         // among those of the same time
  std::size_t position_ = nowhere;  // in the heap
  prim::atomic<bool> armed_{false};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
