// The modelled half of <heddle/prim/parker.hpp>.
#pragma once

#include <heddle/model/clock.hpp>
#include <heddle/model/config.hpp>
#include <heddle/model/runtime.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

class parker {
  using where = model::detail::where;
  static constexpr auto kind = model::detail::object_kind::parker;

 public:
  parker() noexcept {
    if (model::detail::executing) model::detail::construct(handle_, kind, this);
  }
  ~parker() {
    if (model::detail::executing) model::detail::destroy(handle_, kind, this);
  }
  parker(const parker&) = delete;
  parker& operator=(const parker&) = delete;

  void park(where w = where::current()) noexcept {
    model::detail::park(handle_, this, model::detail::no_deadline, w);
  }
  bool park_until(clock::time_point deadline, where w = where::current()) noexcept {
    return model::detail::park(handle_, this, deadline.time_since_epoch().count(), w);
  }
  void unpark(where w = where::current()) noexcept { model::detail::unpark(handle_, this, w); }

 private:
  model::detail::handle handle_;
};

}  // namespace heddle::inline HEDDLE_ABI::prim
