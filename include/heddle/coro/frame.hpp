// What the frames of all tasks have in common, whatever they return. Users need task.hpp.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/prim/thread_table.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Without optimization, and under its AddressSanitizer, g++ makes a real call of a transfer from
// one coroutine to another, and long chains of awaits overflow the stack. There a coroutine that
// stops leaves the handle of the next to whoever resumed it. Code of both kinds may be mixed.
#if defined(__GNUC__) && !defined(__clang__) && (!defined(__OPTIMIZE__) || HEDDLE_ASAN)
using transfer = void;
#else
using transfer = std::coroutine_handle<>;
#endif

class fork_core;
class fork_lane;
class task_frame;

// What a thread knows while it runs tasks, one after another, in the course of one job of their
// executor: task_frame::run_here() has it on its stack.
struct task_run {
  // Requires: a task of this library's runs. Looked for anew by whoever needs it: after each
  // suspension a task may be in another run.
  static task_run& of_this_thread() noexcept {
    return *static_cast<task_run*>(
        prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::coroutine)]);
  }

  // For tasks that fork; false where there is nobody to take what they fork.
  HEDDLE_API bool find_lane(executor_ref home) noexcept;
  // Who goes on when the one that runs has stopped. Null: nobody is left.
  std::coroutine_handle<> take_next() noexcept;

  std::coroutine_handle<> next;  // who is first to
  task_frame* ended = nullptr;   // then this, whose last child has ended behind its own end
  fork_lane* lane = nullptr;
  std::int64_t floor = 0;  // below that the lane holds what others left there
  bool opened_lane = false;
};

// What an await_suspend returns to let `next` go on, or nobody if it is null.
template <class Transfer>
Transfer transfer_to(std::coroutine_handle<> next) noexcept {
  if constexpr (std::is_void_v<Transfer>) {
    task_run::of_this_thread().next = next;
  } else {
    return next ? next : std::noop_coroutine();
  }
}

// Who may stop a task: who has a token's source; or, of one that was forked, a failure beside it
// and who may stop its parent; or nobody.
class stopped_by {
 public:
  constexpr stopped_by() noexcept = default;
  // Null: nobody.
  stopped_by(const prim::stop_token* token) noexcept
      : bits_(reinterpret_cast<std::uintptr_t>(token)) {}
  explicit stopped_by(fork_core& parent) noexcept
      : bits_(reinterpret_cast<std::uintptr_t>(&parent) | forked) {}

  // That of a parent that forks is made when somebody first asks for it. Throws std::bad_alloc.
  const prim::stop_token* token() const {
    return parent() == nullptr ? reinterpret_cast<const prim::stop_token*>(bits_) : parents_token();
  }
  bool requested() const noexcept {
    if (bits_ == 0) return false;
    if (parent() != nullptr) return parent_is_stopped();
    return reinterpret_cast<const prim::stop_token*>(bits_)->stop_requested();
  }
  fork_core* parent() const noexcept {
    return (bits_ & forked) != 0 ? reinterpret_cast<fork_core*>(bits_ & ~forked) : nullptr;
  }

 private:
  static constexpr std::uintptr_t forked = 1;

  HEDDLE_API const prim::stop_token* parents_token() const;
  HEDDLE_API bool parent_is_stopped() const noexcept;

  std::uintptr_t bits_ = 0;
};

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
    stopped_by stop;
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
    begin_in(current_context());
  }
  // The same for a child of this task, which is about to be suspended; returns the child's handle.
  std::coroutine_handle<> begin_child(task_frame& child, stopped_by stop) noexcept {
    return begin_child(child, stop, &go_on_with_parent, this);
  }
  std::coroutine_handle<> begin_child(task_frame& child, stopped_by stop, end_function ended,
                                      void* owner) noexcept {
    note_context();
    child.around_ = {around_.executor, stop, ended, owner};
    child.begin_in(context_);
    return child.handle_;
  }
  // Before it begins: somebody else is to be told of its end.
  void ends_with(end_function ended) noexcept { around_.ended = ended; }

  // Whether it has forked children of its own, by which it is known when it has ended.
  bool forks() const noexcept { return forks_; }
  void begin_to_fork(end_function ended, void* owner) noexcept {
    forks_ = true;
    around_.ended = ended;
    around_.owner = owner;
  }
  // They have ended: it is told whom it was to be told before.
  std::coroutine_handle<> end_of_forks(end_function ended, void* owner) noexcept {
    around_.ended = ended;
    around_.owner = owner;
    return end();
  }
  // The body has ended, and the last child is to let it go on, to its end. Before the wait.
  void wait_at_end() noexcept { waits_at_end_ = true; }
  bool waits_at_end() const noexcept { return waits_at_end_; }
  // The same as go_on_from(), of a task that waits so.
  std::coroutine_handle<> end_from(executor_ref from) noexcept;
  std::coroutine_handle<> end_in_run() noexcept {
    context_of_this_thread() = context_;
    return end();
  }

  // A forked child is left by itself, at its end, and by its handle. False: the other has left it
  // before, and the caller destroys the frame.
  bool leave() noexcept { return !is_left_.exchange(true, prim::acq_rel); }
  // The same at its end, when it is certain that the handle is still to come.
  void note_left() noexcept { is_left_.store(true, prim::relaxed); }
  // For who has the handle: whether the child has ended.
  bool is_left() const noexcept { return is_left_.load(prim::acquire); }

  // Runs the task on this thread, from where it is suspended, until it is suspended again.
  void run_here() noexcept;
  // The same on its executor. The last that the caller does with the task.
  void go_on() noexcept { around_.executor.post(this); }
  // The same on this thread, as what a coroutine that stops here returns; or on its executor, if
  // `from` has run on another one. The last as well.
  std::coroutine_handle<> go_on_from(executor_ref from) noexcept;
  // The same, by who knows that it is on its executor.
  std::coroutine_handle<> go_on_in_run() noexcept {
    context_of_this_thread() = context_;
    return handle_;
  }
  // From now on it belongs to another executor.
  void move_to(executor_ref where) noexcept { around_.executor = where; }

  // Before it is suspended: what it did to the thread's context goes with it.
  void note_context() noexcept {
    if (const auto now = static_cast<context_ref>(context_of_this_thread()); now != context_)
        [[unlikely]]
      set_context(now);
  }

  std::coroutine_handle<> handle() const noexcept { return handle_; }
  executor_ref executor() const noexcept { return around_.executor; }
  stopped_by who_stops() const noexcept { return around_.stop; }
  // Null when nobody can stop it. Throws std::bad_alloc.
  const prim::stop_token* stop() const { return around_.stop.token(); }
  bool stop_requested() const noexcept { return around_.stop.requested(); }
  end_function told_at_end() const noexcept { return around_.ended; }
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
    if (first_context_ != nullptr) [[unlikely]]
      first_context_->release(first_context_);
  }

 private:
  static constexpr std::size_t alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

  struct at_end {
    bool await_ready() const noexcept { return false; }
    template <std::derived_from<task_frame> P>
    transfer await_suspend(std::coroutine_handle<P> h) const noexcept {
      task_frame& self = h.promise();
      return transfer_to<transfer>(self.end());
    }
    void await_resume() const noexcept {}
  };

  // Whoever waits for its end is told.
  std::coroutine_handle<> end() noexcept { return around_.ended(*this); }
  static void act(job* j, verb v) noexcept;
  static std::coroutine_handle<> go_on_with_parent(task_frame& child) noexcept;
  static void*& context_of_this_thread() noexcept {
    return prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::context)];
  }
  void begin_in(context_ref first) noexcept {
    if (first != nullptr) [[unlikely]]
      first->retain(first);
    context_ = first;
  }
  // The one in which the task began is kept: a scope of the task's puts it back at its end.
  void set_context(context_ref other) noexcept {
    if (other != nullptr) [[unlikely]]
      other->retain(other);
    if (!has_changed_context_) {
      has_changed_context_ = true;
      first_context_ = context_;
    } else if (context_ != nullptr) {
      context_->release(context_);
    }
    context_ = other;
  }

  const std::coroutine_handle<> handle_;
  surroundings around_{};
  context_ref context_ = nullptr;        // retained
  context_ref first_context_ = nullptr;  // the same, once it is no longer that one
  bool has_changed_context_ = false;
  bool refused_ = false;
  bool forks_ = false;
  bool waits_at_end_ = false;
  prim::atomic<bool> is_left_{false};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
