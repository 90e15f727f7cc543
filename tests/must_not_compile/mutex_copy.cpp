// error: deleted
// A mutex is its address: those who wait for it are queued there.
#include <heddle/sync/mutex.hpp>

void use(heddle::mutex& lock) {
#ifdef MUST_NOT_COMPILE
  heddle::mutex other = lock;
#else
  heddle::mutex& other = lock;
#endif
  other.lock();
  other.unlock();
}
