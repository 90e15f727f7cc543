// The modelled half of <heddle/prim/shared_mutex.hpp>.
#pragma once

#include <type_traits>

#include <heddle/model/config.hpp>
#include <heddle/model/runtime.hpp>
#include <heddle/prim/annotations.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// Whoever comes first gets it: no reader waits for a writer that waits. The try forms may fail for
// no reason.
class HEDDLE_CAPABILITY("shared_mutex") shared_mutex {
  using where = model::detail::where;
  static constexpr auto kind = model::detail::object_kind::shared_mutex;

 public:
  constexpr shared_mutex() noexcept {
    if (executing()) model::detail::construct(handle_, kind, this);
  }
  constexpr ~shared_mutex() {
    if (executing()) model::detail::destroy(handle_, kind, this);
  }
  shared_mutex(const shared_mutex&) = delete;
  shared_mutex& operator=(const shared_mutex&) = delete;

  void lock(where w = where::current()) HEDDLE_ACQUIRE() {
    if (executing()) model::detail::lock(handle_, kind, this, w);
  }
  void unlock(where w = where::current()) HEDDLE_RELEASE() {
    if (executing()) model::detail::unlock(handle_, kind, this, w);
  }
  bool try_lock(where w = where::current()) HEDDLE_TRY_ACQUIRE(true) {
    return !executing() || model::detail::try_lock(handle_, kind, this, w);
  }

  void lock_shared(where w = where::current()) HEDDLE_ACQUIRE_SHARED() {
    if (executing()) model::detail::lock_shared(handle_, this, w);
  }
  void unlock_shared(where w = where::current()) HEDDLE_RELEASE_SHARED() {
    if (executing()) model::detail::unlock_shared(handle_, this, w);
  }
  bool try_lock_shared(where w = where::current()) HEDDLE_TRY_ACQUIRE_SHARED(true) {
    return !executing() || model::detail::try_lock_shared(handle_, this, w);
  }

 private:
  static constexpr bool executing() noexcept {
    return !std::is_constant_evaluated() && model::detail::executing;
  }

  model::detail::handle handle_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim
