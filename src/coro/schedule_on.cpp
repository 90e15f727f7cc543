#include <heddle/coro/schedule_on.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

void executor_change::change(task_frame& task) noexcept {
  task_ = &task;
  before_ = task.executor();
  task.note_context();
  task.move_to(where_);
  task.go_on();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
