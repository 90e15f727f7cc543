// The seam's condition variable.
#pragma once

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/mutex.hpp>

#if HEDDLE_MODEL
#include <heddle/model/condition_variable.hpp>
#else

#include <condition_variable>
#include <mutex>

namespace heddle::inline HEDDLE_ABI::prim {

// For a predicate that is changed under a prim::mutex. Waits may end for no reason, so they stand
// in a loop that looks at the predicate.
class condition_variable {
 public:
  condition_variable() = default;
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  void wait(mutex& m) HEDDLE_REQUIRES(m) {
    std::unique_lock<std::mutex> held(m.native_, std::adopt_lock);
    native_.wait(held);
    held.release();
  }
  // Returns false when the deadline passed.
  bool wait_until(mutex& m, time_point deadline) HEDDLE_REQUIRES(m) {
    std::unique_lock<std::mutex> held(m.native_, std::adopt_lock);
    const bool in_time = native_.wait_until(held, deadline) == std::cv_status::no_timeout;
    held.release();
    return in_time;
  }
  void notify_one() noexcept { native_.notify_one(); }
  void notify_all() noexcept { native_.notify_all(); }

 private:
  std::condition_variable native_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
