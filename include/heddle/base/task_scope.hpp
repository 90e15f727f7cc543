// What every task has around it while it runs.
#pragma once

#include <cstdint>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/task_name.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// One of the tasks that a thread is in the middle of: a list on its stack, innermost first. Only
// the thread itself changes it; while the thread waits, others may read it (probe/wait_board.hpp).
struct running_task {
  const char* name;     // null: the thread itself, as a worker; see worker_mark
  const void* fulfils;  // what happens only after its end: a future's completion; may be null
  running_task* outer;
};

// How urgent the task of a worker is, as the pool writes it: 0 when nobody has said, else one more
// than its priority. Its thread writes it, others read a moment's truth.
class worker_level {
 public:
  operator std::uint8_t() const noexcept {
#if HEDDLE_MODEL
    return value_;  // nobody else reads it
#else
    return value_.load(prim::relaxed);
#endif
  }
  worker_level& operator=(std::uint8_t level) noexcept {
#if HEDDLE_MODEL
    value_ = level;
#else
    value_.store(level, prim::relaxed);
#endif
    return *this;
  }
  // Returns what it was. By its thread alone: not a read-modify-write.
  std::uint8_t exchange(std::uint8_t level) noexcept {
    const std::uint8_t before = *this;
    *this = level;
    return before;
  }

 private:
#if HEDDLE_MODEL
  std::uint8_t value_ = 0;
#else
  prim::atomic<std::uint8_t> value_{0};
#endif
};

// The outermost entry on a worker's stack.
struct worker_mark : running_task {
  worker_mark(const void* end_of_work, const char* executor) noexcept
      : running_task{nullptr, end_of_work, nullptr}, executor_name(executor) {}

  const char* const executor_name;
  worker_level level;
};

inline running_task* current_task(void** values) noexcept {
  return static_cast<running_task*>(values[static_cast<unsigned>(prim::thread_slot::task)]);
}

// The context in which the task was made, its name for whoever asks what the thread is doing, and
// its place among the tasks that the thread runs; all as before at the end. The scope ends on the
// thread on which it began.
class task_scope {
 public:
  task_scope(context_ref inside, const char* name, const void* fulfils = nullptr) noexcept
      : task_scope(inside, name, fulfils, prim::thread_values()) {}
  ~task_scope() {
    values_[context] = before_;
    values_[task] = self_.outer;
  }
  task_scope(const task_scope&) = delete;
  task_scope& operator=(const task_scope&) = delete;

 private:
  static constexpr auto context = static_cast<unsigned>(prim::thread_slot::context);
  static constexpr auto task = static_cast<unsigned>(prim::thread_slot::task);

  task_scope(context_ref inside, const char* name, const void* fulfils, void** values) noexcept
      : values_(values),
        before_(values[context]),
        self_{name, fulfils, current_task(values)},
        name_(name, values[static_cast<unsigned>(prim::thread_slot::task_name)]) {
    values[context] = inside;
    values[task] = &self_;
  }

  void** const values_;
  void* const before_;
  running_task self_;
  const task_name_scope name_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
