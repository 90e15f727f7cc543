// The seam's mutex: for short critical sections inside the library, which never block elsewhere
// while holding it. Users' locks are heddle::mutex.
#pragma once

#include <heddle/prim/annotations.hpp>
#include <heddle/prim/config.hpp>

#if HEDDLE_MODEL
#include <heddle/model/mutex.hpp>
#else

#include <mutex>

namespace heddle::inline HEDDLE_ABI::prim {

class condition_variable;

class HEDDLE_CAPABILITY("mutex") mutex {
 public:
  mutex() = default;
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock() HEDDLE_ACQUIRE() { native_.lock(); }
  void unlock() HEDDLE_RELEASE() { native_.unlock(); }
  bool try_lock() HEDDLE_TRY_ACQUIRE(true) { return native_.try_lock(); }

 private:
  friend class condition_variable;

  std::mutex native_;
};

// Holds a lock for a scope; `M` is anything with lock and unlock.
template <class M>
class HEDDLE_SCOPED_CAPABILITY scoped_lock {
 public:
  explicit scoped_lock(M& m) HEDDLE_ACQUIRE(m) : mutex_(m) { mutex_.lock(); }
  ~scoped_lock() HEDDLE_RELEASE() { mutex_.unlock(); }
  scoped_lock(const scoped_lock&) = delete;
  scoped_lock& operator=(const scoped_lock&) = delete;

 private:
  M& mutex_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
