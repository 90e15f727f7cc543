#include <heddle/coro/task_set.hpp>

#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

task_set::task_set(task_frame& parent) : parent_(parent), token_(source_.get_token()) {
  const prim::stop_token* const stop = parent.stop();
  if (stop != nullptr && stop->stop_possible()) parents_stop_.emplace(*stop, forward{source_});
}

task_set::~task_set() = default;

void task_set::child::start(task_set& set, task_frame& frame) noexcept {
  set_ = &set;
  frame_ = &frame;
  const executor_ref where = set.parent_.executor();
  frame.surround({.executor = where, .stop = &set.token_, .end = *this});
  set.word_.fetch_add(one, prim::relaxed);
  where.post(this);
}

// Who does not accept it will not run the parent either, which then goes on where it is told so.
void task_set::child::act(job* j, verb v) noexcept {
  auto& self = *static_cast<child*>(j);
  if (v == verb::run) {
    self.frame_->run_here();
  } else if (v == verb::discard) {
    self.frame_->handle().destroy();
    self.has_ended({}, std::make_exception_ptr(cancelled(
                           "a task that has not begun: its executor accepts no more work")));
  }
}

void task_set::fail(std::exception_ptr failure) noexcept {
  if (has_failed_.exchange(true, prim::relaxed)) {
    report_unhandled(std::move(failure));
    return;
  }
  failure_.set(std::move(failure));
  prim::stop_source(source_).request_stop();
}

std::coroutine_handle<> task_set::child_ended(executor_ref ran_on,
                                              std::exception_ptr failure) noexcept {
  if (failure != nullptr) fail(std::move(failure));
  task_frame& parent = parent_;
  std::uint64_t word = word_.load(prim::relaxed);
  std::uint64_t next = 0;
  do {
    next = word - one;
    const bool wakes =
        (word & wants_one) != 0 || ((word & wants_all) != 0 && next < one + wants_all);
    if (wakes) next &= ~marks;
  } while (!word_.compare_exchange_weak(word, next, prim::acq_rel, prim::relaxed));
  return ((word ^ next) & marks) != 0 ? parent.go_on_from(ran_on) : nullptr;
}

// False when it is so already.
bool task_set::suspend(std::uint64_t mark, std::uint64_t most) noexcept {
  parent_.note_context();
  std::uint64_t word = word_.load(prim::acquire);
  do {
    if (word / one <= most) return false;
  } while (!word_.compare_exchange_weak(word, word | mark, prim::acq_rel, prim::acquire));
  return true;
}

void task_set::rethrow() {
  const bool refused = parent_.take_refusal();
  parents_stop_.reset();
  if (std::exception_ptr failure =
          failure_.write([](auto& f) { return std::exchange(f, nullptr); })) {
    std::rethrow_exception(std::move(failure));
  }
  if (refused) task_frame::throw_refused();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
