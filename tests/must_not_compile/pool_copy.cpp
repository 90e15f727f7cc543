// error: deleted
// A pool is its threads, of which there are no copies.
#include <heddle/exec/thread_pool.hpp>

void use(heddle::thread_pool& pool) {
#ifdef MUST_NOT_COMPILE
  heddle::thread_pool other(pool);
#else
  heddle::thread_pool& other = pool;
#endif
  other.post([] {});
}
