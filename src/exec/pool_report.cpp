// What a pool tells about itself.

#include <heddle/exec/pool_report.hpp>

#include "pool_core.hpp"
#include "pool_sizing.hpp"

namespace heddle::inline HEDDLE_ABI {

namespace detail {

pool_report pool_core::full_report() {
  pool_report r;
  r.name = options_.name;
  r.age = prim::clock::now() - born_;
  r.statistics = statistics();
  if (sizer_ != nullptr) r.sizing = sizer_->report();
  return r;
}

std::vector<sizing::logged_choice> pool_core::sizing_log() const {
  return sizer_ != nullptr ? sizer_->log() : std::vector<sizing::logged_choice>{};
}

void pool_core::set_sizing(bool on) noexcept {
  if (sizer_ != nullptr) sizer_->set_on(on);
}

bool pool_core::sizing_is_on() const noexcept { return sizer_ != nullptr && sizer_->is_on(); }

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
