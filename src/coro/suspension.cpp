#include <heddle/coro/suspension.hpp>

#include <memory>

#include <heddle/base/errors.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The callback comes last, for it may come at once: then it finds the awaiter in the list. It may
// still run when the task goes on, on another thread: end() waits for it.
bool suspension::begin(task_frame& task) {
  task_ = &task;
  if (task.stop_requested()) {
    ending_.set(ending::stopped);
    return false;
  }
  task.note_context();
  const prim::stop_token* const stop = task.stop();
  if (!kind_.enter(*this)) return false;
  if (stop != nullptr && stop->stop_possible()) {
    has_callback_ = true;
    callback_.construct<callback>(*stop, trip{*this});
  }
  return parties_.fetch_sub(1, prim::acq_rel) != 1;
}

void suspension::trip::operator()() const noexcept {
  if (self.kind_.leave(self)) self.arrive(ending::stopped);
}

void suspension::arrive() noexcept {
  task_frame* const task = task_;
  if (parties_.fetch_sub(1, prim::acq_rel) == 1) task->go_on();
}

bool suspension::end() noexcept {
  if (task_ == nullptr) return true;
  if (has_callback_) {
    has_callback_ = false;
    std::destroy_at(callback_.as<callback>());
  }
  refused_ = task_->take_refusal();
  return happened() && !refused_;
}

suspension::~suspension() {
  if (has_callback_) std::destroy_at(callback_.as<callback>());
}

void suspension::throw_ending() const {
  if (ending_.get() == ending::stopped) throw cancelled("stopped while a task waited");
  if (ending_.get() == ending::given_up) throw cancelled("what a task waited for was given up");
  task_frame::throw_refused();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
