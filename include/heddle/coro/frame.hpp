// What the frames of all tasks have in common, whatever they return. Users need task.hpp.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Without optimization, and under its AddressSanitizer, g++ makes a real call of a transfer from
// one coroutine to another, and long chains of awaits overflow the stack. There a coroutine that
// stops leaves the handle of the next to whoever resumed it. Code of both kinds may be mixed.
#if defined(__GNUC__) && !defined(__clang__) && (!defined(__OPTIMIZE__) || HEDDLE_ASAN)
using transfer = void;
#else
using transfer = std::coroutine_handle<>;
#endif

HEDDLE_API void resume_next(std::coroutine_handle<> next) noexcept;

// What an await_suspend returns to let `next` go on, or nobody if it is null.
template <class Transfer>
Transfer transfer_to(std::coroutine_handle<> next) noexcept {
  if constexpr (std::is_void_v<Transfer>) {
    resume_next(next);
  } else {
    return next ? next : std::noop_coroutine();
  }
}

// Where a task runs, who may stop it, who waits for its end, and in which context: all of it is
// borrowed from the task that awaits this one, or from whoever started it, and outlives it.
//
// It is a job: where its executor runs that, the task goes on. A task is suspended in one place at
// a time, so one job is enough.
// Protocol: docs/protocols/coroutines.md.
class HEDDLE_API task_frame : public job {
 public:
  // Called when the body has ended; returns who goes on on this thread, or null. May destroy the
  // frame.
  using end_function = std::coroutine_handle<> (*)(task_frame&) noexcept;

  // From whom a task has what it needs to run.
  struct surroundings {
    executor_ref executor;
    const prim::stop_token* stop;  // null when nobody can stop it
    end_function ended;
    void* owner;  // for `ended`
  };

  // Frames come from the cells of their threads, and find their way back there.
  static void* operator new(std::size_t bytes) { return prim::allocate_cell(bytes, alignment); }
  static void operator delete(void* memory, std::size_t bytes) noexcept {
    prim::deallocate_cell(memory, bytes, alignment);
  }

  // A task begins when somebody awaits or starts it.
  std::suspend_always initial_suspend() const noexcept { return {}; }
  auto final_suspend() const noexcept { return at_end(); }

  // By whoever starts it, once; the thread's context becomes its own.
  void surround(const surroundings& s) noexcept {
    around_ = s;
    set_context(current_context());
  }
  // The same for a child of this task, which is about to be suspended; returns the child's handle.
  std::coroutine_handle<> begin_child(task_frame& child, const prim::stop_token* stop) noexcept {
    note_context();
    child.around_ = {around_.executor, stop, &go_on_with_parent, this};
    child.set_context(context_);
    return child.handle_;
  }

  // Runs the task on this thread, from where it is suspended, until it is suspended again.
  void run_here() noexcept;
  // The same on its executor. The last that the caller does with the task.
  void go_on() noexcept { around_.executor.post(this); }
  // The same on this thread, as what a coroutine that stops here returns; or on its executor, if
  // `from` has run on another one. The last as well.
  std::coroutine_handle<> go_on_from(executor_ref from) noexcept;
  // From now on it belongs to another executor.
  void move_to(executor_ref where) noexcept { around_.executor = where; }

  // Before it is suspended: what it did to the thread's context goes with it.
  void note_context() noexcept {
    if (const context_ref now = current_context(); now != context_) [[unlikely]]
      set_context(now);
  }

  std::coroutine_handle<> handle() const noexcept { return handle_; }
  executor_ref executor() const noexcept { return around_.executor; }
  const prim::stop_token* stop() const noexcept { return around_.stop; }
  bool stop_requested() const noexcept {
    return around_.stop != nullptr && around_.stop->stop_requested();
  }
  void* owner() const noexcept { return around_.owner; }

  // Whether its executor has refused to run it, so that it goes on on the thread that was told so;
  // asked once.
  bool take_refusal() noexcept { return std::exchange(refused_, false); }

  // Throws cancelled.
  [[noreturn]] static void throw_refused();

 protected:
  explicit task_frame(std::coroutine_handle<> handle) noexcept : job(&act), handle_(handle) {}
  ~task_frame() {
    if (context_ != nullptr) [[unlikely]]
      context_->release(context_);
  }

 private:
  static constexpr std::size_t alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

  struct at_end {
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<task_frame> P>
    transfer await_suspend(std::coroutine_handle<P> h) const noexcept {
      task_frame& self = h.promise();
      return transfer_to<transfer>(self.around_.ended(self));
    }
    void await_resume() const noexcept {}
  };

  static void act(job* j, verb v) noexcept;
  static std::coroutine_handle<> go_on_with_parent(task_frame& child) noexcept;
  void set_context(context_ref other) noexcept {
    if (other != nullptr) [[unlikely]]
      other->retain(other);
    if (context_ != nullptr) [[unlikely]]
      context_->release(context_);
    context_ = other;
  }

  const std::coroutine_handle<> handle_;
  surroundings around_{};
  context_ref context_ = nullptr;  // retained
  bool refused_ = false;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
