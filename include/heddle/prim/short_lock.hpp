// A lock for critical sections that are short, nearly always.
#pragma once

#include <heddle/prim/config.hpp>
#include <heddle/prim/mutex.hpp>

#if !HEDDLE_MODEL
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/patience.hpp>
#endif

namespace heddle::inline HEDDLE_ABI::prim {

#if HEDDLE_MODEL
using short_lock = mutex;
#else

// One byte; half the price of prim::mutex where nobody contends, since unlocking is a plain store.
// Whoever finds it held pauses, then gives the core away, then naps: the holder may be preempted.
// Nothing that blocks is done under it. Who has to allocate or to call what is the user's under it,
// as a cache does, says so: others spin, and then nap, as long as that takes.
class HEDDLE_CAPABILITY("mutex") short_lock {
 public:
  short_lock() = default;
  short_lock(const short_lock&) = delete;
  short_lock& operator=(const short_lock&) = delete;

  void lock() noexcept HEDDLE_ACQUIRE() {
    if (held_.exchange(true, acquire)) [[unlikely]]
      wait_and_lock();
  }
  bool try_lock() noexcept HEDDLE_TRY_ACQUIRE(true) {
    return !held_.load(relaxed) && !held_.exchange(true, acquire);
  }
  void unlock() noexcept HEDDLE_RELEASE() { held_.store(false, release); }

 private:
  [[gnu::noinline]] void wait_and_lock() noexcept {
    patience spin;
    do {
      spin.wait();
    } while (held_.load(relaxed) || held_.exchange(true, acquire));
  }

  atomic<bool> held_{false};
};

#endif

}  // namespace heddle::inline HEDDLE_ABI::prim
