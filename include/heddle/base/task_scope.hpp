// What every task has around it while it runs.
#pragma once

#include <heddle/base/context_slot.hpp>
#include <heddle/base/task_name.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The context in which the task was made, and its name for whoever asks what the thread is doing;
// both as before at the end. The scope ends on the thread on which it began.
class task_scope {
 public:
  task_scope(context_ref inside, const char* name) noexcept
      : task_scope(inside, name, prim::thread_values()) {}
  ~task_scope() { *context_ = before_; }
  task_scope(const task_scope&) = delete;
  task_scope& operator=(const task_scope&) = delete;

 private:
  task_scope(context_ref inside, const char* name, void** values) noexcept
      : context_(&values[static_cast<unsigned>(prim::thread_slot::context)]),
        before_(*context_),
        name_(name, values[static_cast<unsigned>(prim::thread_slot::task_name)]) {
    *context_ = inside;
  }

  void** const context_;
  void* const before_;
  const task_name_scope name_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
