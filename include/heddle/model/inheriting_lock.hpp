// The modelled half of <heddle/prim/inheriting_lock.hpp>.
#pragma once

#include <heddle/model/clock.hpp>
#include <heddle/model/condition_variable.hpp>
#include <heddle/model/config.hpp>
#include <heddle/model/mutex.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// A model has no priorities: any thread may run at any time. What is left is a lock with deadlines.
class inheriting_lock {
 public:
  constexpr inheriting_lock() noexcept = default;
  inheriting_lock(const inheriting_lock&) = delete;
  inheriting_lock& operator=(const inheriting_lock&) = delete;

  bool try_lock() noexcept {
    const scoped_lock lock(guard_);
    if (held_) return false;
    held_ = true;
    return true;
  }
  bool lock_until(clock::time_point deadline) noexcept {
    const scoped_lock lock(guard_);
    while (held_) {
      if (deadline == clock::time_point::max()) {
        let_go_.wait(guard_);
      } else if (!let_go_.wait_until(guard_, deadline) && held_) {
        return false;
      }
    }
    held_ = true;
    return true;
  }
  void unlock() noexcept {
    const scoped_lock lock(guard_);
    held_ = false;
    let_go_.notify_one();
  }
  bool is_locked() noexcept {
    const scoped_lock lock(guard_);
    return held_;
  }

 private:
  mutex guard_;
  condition_variable let_go_;
  bool held_ = false;
};

}  // namespace heddle::inline HEDDLE_ABI::prim
