// The modelled half of <heddle/prim/mutex.hpp>.
#pragma once

#include <type_traits>

#include <heddle/model/config.hpp>
#include <heddle/model/runtime.hpp>
#include <heddle/prim/annotations.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

class condition_variable;

// try_lock may fail while the mutex is free, as the standard allows; that counts as a spurious
// wake-up among the bounds.
class HEDDLE_CAPABILITY("mutex") mutex {
  using where = model::detail::where;
  static constexpr auto kind = model::detail::object_kind::mutex;

 public:
  constexpr mutex() noexcept {
    if (executing()) model::detail::construct(handle_, kind, this);
  }
  constexpr ~mutex() {
    if (executing()) model::detail::destroy(handle_, kind, this);
  }
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  void lock(where w = where::current()) HEDDLE_ACQUIRE() {
    if (executing()) model::detail::lock(handle_, kind, this, w);
  }
  void unlock(where w = where::current()) HEDDLE_RELEASE() {
    if (executing()) model::detail::unlock(handle_, kind, this, w);
  }
  bool try_lock(where w = where::current()) HEDDLE_TRY_ACQUIRE(true) {
    return !executing() || model::detail::try_lock(handle_, kind, this, w);
  }

 private:
  friend class condition_variable;

  static constexpr bool executing() noexcept {
    return !std::is_constant_evaluated() && model::detail::executing;
  }

  model::detail::handle handle_;
};

// Takes the place of its user in logs.
template <class M>
class HEDDLE_SCOPED_CAPABILITY scoped_lock {
  using where = model::detail::where;

 public:
  explicit scoped_lock(M& m, where w = where::current()) HEDDLE_ACQUIRE(m) : mutex_(m), where_(w) {
    if constexpr (requires { m.lock(w); }) {
      mutex_.lock(w);
    } else {
      mutex_.lock();
    }
  }
  ~scoped_lock() HEDDLE_RELEASE() {
    if constexpr (requires(M& m) { m.unlock(where_); }) {
      mutex_.unlock(where_);
    } else {
      mutex_.unlock();
    }
  }
  scoped_lock(const scoped_lock&) = delete;
  scoped_lock& operator=(const scoped_lock&) = delete;

 private:
  M& mutex_;
  const where where_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim
