// error: no matching function
// The tasks are given away, and nobody shall believe that he still has them.
#include <heddle/coro/gather.hpp>
#include <utility>
#include <vector>

auto run(std::vector<heddle::coro::task<int>>& tasks) {
#ifdef MUST_NOT_COMPILE
  return heddle::coro::gather(tasks);
#else
  return heddle::coro::gather(std::move(tasks));
#endif
}
