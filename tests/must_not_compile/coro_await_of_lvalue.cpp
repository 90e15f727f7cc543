// error: discards qualifiers|await_ready
// A task is awaited once, so it is given away.
#include <heddle/coro/task.hpp>
#include <utility>

heddle::coro::task<int> twice(heddle::coro::task<int> t) {
#ifdef MUST_NOT_COMPILE
  co_return 2 * co_await t;
#else
  co_return 2 * co_await std::move(t);
#endif
}
