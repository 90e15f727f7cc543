// error: deleted
// A unique_task is one call: two copies could make it twice.
#include <heddle/base/unique_task.hpp>
#include <utility>

heddle::unique_task pass_on(heddle::unique_task& task) {
#ifdef MUST_NOT_COMPILE
  return task;
#else
  return std::move(task);
#endif
}
