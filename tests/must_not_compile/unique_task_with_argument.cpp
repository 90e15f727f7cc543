// error: no matching
// A unique_task is called with no argument, so a callable that wants one does not fit.
#include <heddle/base/unique_task.hpp>

heddle::unique_task make() {
#ifdef MUST_NOT_COMPILE
  return heddle::unique_task([](int) {});
#else
  return heddle::unique_task([] {});
#endif
}
