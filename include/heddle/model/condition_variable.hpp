// The modelled half of <heddle/prim/condition_variable.hpp>.
#pragma once

#include <type_traits>

#include <heddle/model/clock.hpp>
#include <heddle/model/config.hpp>
#include <heddle/model/mutex.hpp>
#include <heddle/model/runtime.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// Which waiter notify_one wakes is a choice, and so is, as far as the bound goes, a wait that ends
// for no reason.
class condition_variable {
  using where = model::detail::where;
  static constexpr auto kind = model::detail::object_kind::condition_variable;

 public:
  constexpr condition_variable() noexcept {
    if (executing()) model::detail::construct(handle_, kind, this);
  }
  constexpr ~condition_variable() {
    if (executing()) model::detail::destroy(handle_, kind, this);
  }
  condition_variable(const condition_variable&) = delete;
  condition_variable& operator=(const condition_variable&) = delete;

  void wait(mutex& m, where w = where::current()) HEDDLE_REQUIRES(m) {
    model::detail::wait(handle_, this, m.handle_, &m, model::detail::no_deadline, w);
  }
  bool wait_until(mutex& m, clock::time_point deadline, where w = where::current())
      HEDDLE_REQUIRES(m) {
    return model::detail::wait(handle_, this, m.handle_, &m, deadline.time_since_epoch().count(),
                               w);
  }
  void notify_one(where w = where::current()) noexcept {
    model::detail::notify(handle_, this, false, w);
  }
  void notify_all(where w = where::current()) noexcept {
    model::detail::notify(handle_, this, true, w);
  }

 private:
  static constexpr bool executing() noexcept {
    return !std::is_constant_evaluated() && model::detail::executing;
  }

  model::detail::handle handle_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim
