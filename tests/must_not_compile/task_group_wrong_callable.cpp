// error: no matching function|no matching member function
// A task takes no argument, or a stop_token.
#include <heddle/exec/task_group.hpp>

void use(heddle::task_group& group) {
#ifdef MUST_NOT_COMPILE
  group.run([](int) {});
#else
  group.run([](std::stop_token) {});
#endif
}
