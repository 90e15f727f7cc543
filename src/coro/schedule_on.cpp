#include <heddle/coro/schedule_on.hpp>

#include <heddle/exec/pool_ref.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

void executor_change::change(task_frame& task) noexcept {
  task_ = &task;
  before_ = task.executor();
  task.note_context();
  // A resident of that pool stays one.
  if (pool_residence::known_as(before_) != where_) task.move_to(where_);
  task.go_on();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
