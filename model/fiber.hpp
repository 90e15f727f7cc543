// Stacks, and the switch between them.
#pragma once

#include <cstddef>

#include <heddle/model/config.hpp>

namespace heddle::inline HEDDLE_ABI::model::detail {

// A stack with a guard page that runs one function, which never returns.
class fiber {
 public:
  fiber() = default;  // the stack of whoever calls switch_to
  ~fiber();
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;

  // Before the first switch on this thread of the system.
  static void adopt_this_thread() noexcept;

  // Makes the stack ready to run entry() from its start; whatever stood on it is abandoned.
  // Throws std::bad_alloc.
  void prepare(void (*entry)());
  // Leaves this fiber, which runs, for the other.
  void switch_to(fiber& other) noexcept;
  bool contains(const void* address) const noexcept;

 private:
  // What the C++ runtime keeps for each thread about exceptions in flight.
  struct exception_state {
    void* caught = nullptr;
    unsigned uncaught = 0;
  };

  void* memory_ = nullptr;
  void* saved_ = nullptr;  // the stack pointer, or the ucontext_t
  exception_state exceptions_;
};

}  // namespace heddle::inline HEDDLE_ABI::model::detail
