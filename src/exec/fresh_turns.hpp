// For a job that a thread runs in the middle of another one.
#pragma once

#include <cstddef>

#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Jobs that run on the spot take turns: one that comes inside of another waits until that returns.
// A thread that waits inside of such a job, and runs something meanwhile, must not have it wait for
// that: the job may return only when what is run has ended. Inside this scope the turns begin anew.
class fresh_turns {
 public:
  fresh_turns() noexcept : values_(prim::thread_values()) {
    for (std::size_t i = 0; i < count; ++i) {
      before_[i] = value(i);
      value(i) = nullptr;
    }
  }
  ~fresh_turns() {
    for (std::size_t i = 0; i < count; ++i) value(i) = before_[i];
  }
  fresh_turns(const fresh_turns&) = delete;
  fresh_turns& operator=(const fresh_turns&) = delete;

 private:
  static constexpr prim::thread_slot slots[] = {
      prim::thread_slot::trampoline, prim::thread_slot::discarding, prim::thread_slot::inline_jobs};
  static constexpr std::size_t count = sizeof slots / sizeof slots[0];

  void*& value(std::size_t i) noexcept { return values_[static_cast<unsigned>(slots[i])]; }

  void** const values_;
  void* before_[count];
};

}  // namespace heddle::inline HEDDLE_ABI::detail
