// error: no matching function|no matching member function
// Arguments are copies; who wants the callable to change the original says std::ref.
#include <functional>
#include <heddle/exec/thread_pool.hpp>

void use(heddle::thread_pool& pool, int& counter) {
  const auto increase = [](int& n) { ++n; };
#ifdef MUST_NOT_COMPILE
  static_cast<void>(pool.submit(increase, counter));
#else
  static_cast<void>(pool.submit(increase, std::ref(counter)));
#endif
}
