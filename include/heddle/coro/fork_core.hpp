// What tasks that fork are made of. Users need fork.hpp.
#pragma once

#include <cassert>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

#include <heddle/coro/frame.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The children of a task that forks, whatever they return. It is what lies in the lane, too: the
// rest of the parent. Lives in the frame of the parent, which joins before it goes.
//
// `taken_` counts the children that the parent did not wait for: it is changed by the parent, or by
// who takes it from the lane, and then is the one to let it go on. `left_` counts the same children
// as they end, down from zero, until the parent waits and adds `taken_`.
// Protocol: docs/protocols/coroutines.md.
class HEDDLE_API fork_core : private fork_entry {
 public:
  explicit fork_core(task_frame& parent) noexcept : fork_entry(&was_taken), parent_(&parent) {}
  ~fork_core() { assert(taken_ == 0 && trouble_.load(prim::relaxed) == 0); }
  fork_core(const fork_core&) = delete;
  fork_core& operator=(const fork_core&) = delete;

  // A child that has not begun, and whom it tells of its end: as one that was forked, or as one
  // that its parent waits for.
  struct child {
    task_frame* frame;
    task_frame::end_function forked_ended;
    task_frame::end_function awaited_ended;
  };
  template <class T>
  static child child_of(task_promise<T>& body) noexcept;

  // Begins a child of the task that is being suspended; returns who goes on, which is the parent
  // when nothing more is to begin. The parent may go on elsewhere before this returns.
  std::coroutine_handle<> fork(const child& c) noexcept {
    return has_failed() ? drop(c) : begin(c);
  }
  // The same, though one has failed.
  std::coroutine_handle<> begin(const child& c) noexcept {
    const std::coroutine_handle<> handle =
        parent_->begin_child(*c.frame, stopped_by(*this), c.forked_ended, this);
    task_run& run = task_run::of_this_thread();
    if (run.lane == nullptr && !run.find_lane(parent_->executor())) [[unlikely]] {
      c.frame->ends_with(c.awaited_ended);
      return handle;
    }
    const task_frame::end_function awaited = c.awaited_ended;
    task_frame& frame = *c.frame;
    if (!run.lane->push_rest(*this)) [[unlikely]]
      frame.ends_with(awaited);
    return handle;
  }
  // The same, but the parent waits for it.
  std::coroutine_handle<> call(const child& c) noexcept {
    if (has_failed()) [[unlikely]]
      return drop(c);
    return parent_->begin_child(*c.frame, stopped_by(*this), c.awaited_ended, this);
  }
  bool has_failed() const noexcept { return (trouble_.load(prim::relaxed) & failed) != 0; }

  // At the end of a child, on whatever thread. True: nobody has taken the parent, and it is back.
  bool take_back() const noexcept {
    const task_run& run = task_run::of_this_thread();
    if (run.lane == nullptr) return false;
    [[maybe_unused]] const fork_entry* const newest = run.lane->take_newest(run.floor);
    assert(newest == nullptr || newest == this);
    return newest != nullptr;
  }
  // False: it was taken, and the child counts. The last that the child does with it.
  std::coroutine_handle<> count_down(executor_ref ran_on) noexcept;
  void fail(std::exception_ptr failure) noexcept;
  task_frame& parent() const noexcept { return *parent_; }

  // For the parent, at the join.
  bool nobody_was_taken() const noexcept { return taken_ == 0; }
  bool has_trouble() const noexcept { return trouble_.load(prim::relaxed) != 0; }
  bool suspend() noexcept;
  void end_join() {
    if (taken_ != 0 || has_trouble()) [[unlikely]]
      settle();
  }

  // The end of a run: a parent whose child has been suspended. Null: none is left.
  static std::coroutine_handle<> take_left(const task_run& run) noexcept;

 protected:
  // For a parent that fails between a fork and the join.
  void give_up() noexcept;
  // Behind the end of all children: the first failure, or null.
  std::exception_ptr take_failure() noexcept;

 private:
  friend stopped_by;

  // The word of trouble: whether a child has failed, or the parent, and where more is told.
  struct trouble;
  static constexpr std::uintptr_t failed = 1;
  static constexpr std::uintptr_t given_up = 2;

  static void was_taken(fork_entry* e, fork_lane& thief) noexcept;
  std::coroutine_handle<> drop(const child& c) const noexcept;
  void settle();
  void tell_of_failure() noexcept;
  static trouble* trouble_of(std::uintptr_t word) noexcept;
  trouble& find_trouble();
  void make_trouble();

  std::int64_t taken_ = 0;
  prim::atomic<std::int64_t> left_{0};
  task_frame* const parent_;
  prim::atomic<std::uintptr_t> trouble_{0};
};

// How children of each kind end.
template <class T>
struct forked_child {
  static std::coroutine_handle<> forked_ended(task_frame& child) noexcept {
    fork_core& parents = note_end(child);
    if (parents.take_back()) [[likely]] {
      const std::coroutine_handle<> parent = parents.parent().go_on_in_run();
      child.handle().destroy();
      return parent;
    }
    const executor_ref ran_on = child.executor();
    exchange_current(nullptr);  // the frame keeps it
    child.handle().destroy();
    return parents.count_down(ran_on);
  }

  static std::coroutine_handle<> awaited_ended(task_frame& child) noexcept {
    task_frame& parent = note_end(child).parent();
    const executor_ref ran_on = child.executor();
    exchange_current(nullptr);
    child.handle().destroy();
    return parent.go_on_from(ran_on);
  }

  static fork_core& note_end(task_frame& child) noexcept {
    auto& body = static_cast<task_promise<T>&>(child);
    auto& parents = *static_cast<fork_core*>(child.owner());
    if (body.failed()) [[unlikely]]
      parents.fail(body.take_error());
    return parents;
  }
};

template <class T>
fork_core::child fork_core::child_of(task_promise<T>& body) noexcept {
  return {&body, &forked_child<T>::forked_ended, &forked_child<T>::awaited_ended};
}

// The same of children whose frames stay, for their values, until their handles go.
template <class T>
struct kept_child {
  static std::coroutine_handle<> forked_ended(task_frame& child) noexcept {
    fork_core& parents = forked_child<T>::note_end(child);
    if (parents.take_back()) [[likely]] {
      child.note_left();
      return parents.parent().go_on_in_run();
    }
    const executor_ref ran_on = child.executor();
    exchange_current(nullptr);
    if (!child.leave()) child.handle().destroy();
    return parents.count_down(ran_on);
  }

  static std::coroutine_handle<> awaited_ended(task_frame& child) noexcept {
    task_frame& parent = forked_child<T>::note_end(child).parent();
    const executor_ref ran_on = child.executor();
    exchange_current(nullptr);
    child.note_left();
    return parent.go_on_from(ran_on);
  }
};

// The children that a task forks itself, until it joins, or has ended. Made at the first fork; from
// there on it is told of the task's end, and tells whoever waits for that when there is no child.
class HEDDLE_API task_forks : public fork_core {
 public:
  // Null: the task has not forked.
  static task_forks* find(const task_frame& parent) noexcept {
    return parent.forks() ? static_cast<task_forks*>(parent.owner()) : nullptr;
  }
  // Throws std::bad_alloc.
  template <class T>
  static task_forks& of(task_promise<T>& parent) {
    if (parent.forks()) return *static_cast<task_forks*>(parent.owner());
    return *new task_forks(parent, &failure_of<T>);
  }

  static void* operator new(std::size_t bytes) { return prim::allocate_cell(bytes, alignment); }
  static void operator delete(void* memory, std::size_t bytes) noexcept {
    prim::deallocate_cell(memory, bytes, alignment);
  }

 private:
  // Whether the parent has failed; it fails with what it is given.
  using failure_function = bool (*)(task_frame& parent, std::exception_ptr*) noexcept;
  static constexpr std::size_t alignment = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

  task_forks(task_frame& parent, failure_function failure) noexcept;

  template <class T>
  static bool failure_of(task_frame& parent, std::exception_ptr* failure) noexcept {
    auto& body = static_cast<task_promise<T>&>(parent);
    if (failure != nullptr) body.fail(std::move(*failure));
    return body.failed();
  }
  static std::coroutine_handle<> parent_ended(task_frame& parent) noexcept;
  std::coroutine_handle<> end_parent() noexcept;

  const task_frame::end_function ended_;
  void* const owner_;
  const failure_function failure_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
