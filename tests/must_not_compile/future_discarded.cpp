// error: nodiscard|unused
// A future that nobody keeps reports its exception as unhandled, so it is not dropped in silence.
#pragma GCC diagnostic error "-Wunused-result"
#include <heddle/exec/thread_pool.hpp>

void use(heddle::thread_pool& pool) {
#ifdef MUST_NOT_COMPILE
  pool.submit([] {});
#else
  pool.post([] {});
#endif
}
