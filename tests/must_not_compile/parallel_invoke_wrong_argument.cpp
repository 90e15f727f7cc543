// error: no matching function
// What is to be called takes no arguments.
#include <heddle/algorithm/parallel_invoke.hpp>

void use(heddle::thread_pool& pool) {
#ifdef MUST_NOT_COMPILE
  heddle::parallel_invoke(pool, [] {}, [](int) {});
#else
  heddle::parallel_invoke(pool, [] {}, [] {});
#endif
}
