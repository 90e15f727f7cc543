#include <heddle/coro/frame.hpp>

#include <memory>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/exec/retain_executor.hpp>
#include <heddle/future/state.hpp>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

// Puts a run in place for a scope, and the one before back at its end.
class run_scope {
 public:
  explicit run_scope(task_run& run) noexcept : before_(std::exchange(current(), &run)) {}
  ~run_scope() { current() = before_; }
  run_scope(const run_scope&) = delete;
  run_scope& operator=(const run_scope&) = delete;

 private:
  static void*& current() noexcept {
    return prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::coroutine)];
  }

  void* const before_;
};

// A task that is refused goes on in the turn of a thread that discards. What it gives to somebody
// who accepts nothing is discarded at once inside of this scope, and not behind that turn: it may
// wait for that. What had begun still waits for its own turn.
class discards_at_once {
 public:
  discards_at_once() noexcept : before_(std::exchange(turn(), nullptr)) {}
  ~discards_at_once() { turn() = before_; }
  discards_at_once(const discards_at_once&) = delete;
  discards_at_once& operator=(const discards_at_once&) = delete;

 private:
  static void*& turn() noexcept { return prim::thread_value(prim::thread_slot::discarding); }

  void* const before_;
};

}  // namespace

bool task_run::find_lane(executor_ref home) noexcept {
  lane = fork_lane::of_this_thread();
  if (lane == nullptr) {
    lane = fork_lane::open_for(home);
    opened_lane = lane != nullptr;
  } else if (!lane->serves(home)) {
    lane = nullptr;
  }
  if (lane != nullptr) floor = lane->height();
  return lane != nullptr;
}

// A task that stops may have left somebody to go on: code that makes no tail calls does, and so
// does a last child whose parent has ended. And it may have left parents in the lane, whose forked
// child has been suspended: they go on as if they had been stolen, so that behind the run the lane
// is as before.
std::coroutine_handle<> task_run::take_next() noexcept {
  while (!next && ended != nullptr) next = std::exchange(ended, nullptr)->end_in_run();
  return next ? std::exchange(next, nullptr) : task_frame::take_left(*this);
}

void task_frame::run_here() noexcept {
  task_run here;
  const task_scope around(context_, "coroutine");
  const run_scope inside(here);
  if (has(waits_at_end)) {
    here.ended = this;
  } else {
    here.next = handle();
  }
  while (const std::coroutine_handle<> first = here.take_next()) first.resume();
  if (here.opened_lane) here.lane->close();
}

void task_frame::act(job* j, verb v) noexcept {
  auto& self = static_cast<task_frame&>(frame_place::of(j));
  if (v == verb::run) {
    std::destroy_at(&self.as_posted);
    if (self.has(refused)) [[unlikely]] {
      const discards_at_once inside;
      self.run_here();
    } else {
      self.run_here();
    }
  } else if (v == verb::discard) {
    // The task has begun, and must come to an end: the await throws.
    self.note(refused);
    run_on_trampoline(j);
  }
}

std::coroutine_handle<> task_frame::go_on_elsewhere() noexcept {
  go_on();
  return nullptr;
}

// Not at once: that would be a call, one inside of the other where task upon task ends so.
std::coroutine_handle<> task_frame::end_from(executor_ref from) noexcept {
  if (from == executor_) {
    task_run::of_this_thread().ended = this;
  } else {
    go_on();
  }
  return nullptr;
}

// In any context. Whoever takes the value of a child that has moved looks whether the parent was
// refused, and so must who takes this one's.
std::coroutine_handle<> task_frame::begin_child_unusually(task_frame& child, stopped_by stop,
                                                          std::uintptr_t marked) noexcept {
  note_context();
  if (has(refused)) child.note(moved);
  bind(child, stop, marked);
  child.begin_in(context_);
  return child.handle();
}

// The one in which the task began is kept: a scope of the task's puts it back at its end.
void task_frame::set_context(context_ref other) noexcept {
  if (other != nullptr) hold(other);
  if (!has(changed_context)) {
    note(changed_context);
    first_context_ = context_;
  } else if (context_ != nullptr) {
    context_->release(context_);
  }
  context_ = other;
}

void task_frame::keep_executor(executor_ref before) noexcept {
  if (has(own_executor)) release_executor(before);
  note(own_executor);
}

void task_frame::let_go() noexcept {
  if (has(holds_context)) {
    if (context_ != nullptr) context_->release(context_);
    if (has(changed_context) && first_context_ != nullptr) first_context_->release(first_context_);
  }
  if (failed()) std::destroy_at(&error_or_value.error);
  if (forks()) end_forking();
  if (has(own_executor)) release_executor(executor_);
}

void task_frame::unhandled_exception() noexcept { fail(std::current_exception()); }

void task_frame::throw_refused() {
  throw cancelled("the task's executor accepts no more work, so the task cannot go on there");
}

}  // namespace heddle::inline HEDDLE_ABI::detail
