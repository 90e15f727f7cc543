// The seam's reader-writer lock.
#pragma once

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/shared_mutex.hpp>
#else

#include <shared_mutex>

namespace heddle::inline HEDDLE_ABI::prim {

// Held by one thread, or shared by any number. Who comes first is not said. The try forms may fail
// for no reason.
class HEDDLE_CAPABILITY("shared_mutex") shared_mutex {
 public:
  shared_mutex() = default;
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;

  void lock() HEDDLE_ACQUIRE() { native_.lock(); }
  void unlock() HEDDLE_RELEASE() { native_.unlock(); }
  bool try_lock() HEDDLE_TRY_ACQUIRE(true) { return native_.try_lock(); }

  void lock_shared() HEDDLE_ACQUIRE_SHARED() { native_.lock_shared(); }
  void unlock_shared() HEDDLE_RELEASE_SHARED() { native_.unlock_shared(); }
  bool try_lock_shared() HEDDLE_TRY_ACQUIRE_SHARED(true) { return native_.try_lock_shared(); }

 private:
  std::shared_mutex native_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
