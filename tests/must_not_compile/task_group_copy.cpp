// error: deleted
// Tasks know the group to which they belong.
#include <utility>

#include <heddle/exec/task_group.hpp>

void use(heddle::task_group& group) {
#ifdef MUST_NOT_COMPILE
  heddle::task_group other(std::move(group));
#else
  heddle::task_group& other = group;
#endif
  other.wait();
}
