// error: no matching function|no matching member function
// A stop_token is for work that somebody can cancel; what is posted has no future.
#include <heddle/exec/thread_pool.hpp>
#include <stop_token>

void use(heddle::thread_pool& pool) {
  const auto work = [](std::stop_token stop) { static_cast<void>(stop.stop_requested()); };
#ifdef MUST_NOT_COMPILE
  pool.post(work);
#else
  static_cast<void>(pool.submit(work));
#endif
}
