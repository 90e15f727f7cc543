// error: nodiscard|unused
// A task that nobody awaits does nothing.
#pragma GCC diagnostic error "-Wunused-result"
#include <heddle/coro/task.hpp>

heddle::coro::task<> work() { co_return; }

heddle::coro::task<> caller() {
#ifdef MUST_NOT_COMPILE
  work();
#else
  co_await work();
#endif
  co_return;
}
