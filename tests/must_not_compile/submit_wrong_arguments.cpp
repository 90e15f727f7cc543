// error: no matching function|no matching member function
// Arguments that the callable does not take are refused at the call, not deep inside the pool.
#include <heddle/exec/thread_pool.hpp>

void use(heddle::thread_pool& pool) {
#ifdef MUST_NOT_COMPILE
  static_cast<void>(pool.submit([](int) {}, "text"));
#else
  static_cast<void>(pool.submit([](int) {}, 1));
#endif
}
