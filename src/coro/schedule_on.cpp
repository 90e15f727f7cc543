#include <heddle/coro/schedule_on.hpp>

#include <heddle/exec/retain_executor.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Until it has arrived there the task keeps both.
void executor_change::change(task_frame& task) {
  task_ = &task;
  before_ = task.executor();
  if (where_ != before_) {
    task.keep_executor_for_children();
    retain_executor(where_);
  }
  static_cast<void>(task.take_refusal());  // to go elsewhere is what is left to who was refused
  task.note_context();
  task.move_to(where_);
  task.go_on();
}

void executor_change::arrive() {
  const bool refused = task_->take_refusal();
  if (refused) task_->move_to(before_);
  if (where_ != before_) {
    if (refused) {
      release_executor(where_);
    } else {
      task_->keep_executor(before_);
    }
  }
  if (refused) task_frame::throw_refused();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
