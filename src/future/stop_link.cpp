#include <heddle/future/task.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

void stop_link::arm(future_state& state) noexcept {
  callback_.emplace(token_, trip{*this, state});
  if (phase_.exchange(phase::armed, prim::acq_rel) == phase::tripped) state.cancel();
}

// Cancelling ends the life of this very object, so it is the last thing done.
void stop_link::trip::operator()() const noexcept {
  if (link.phase_.exchange(phase::tripped, prim::acq_rel) == phase::armed) state.cancel();
}

}  // namespace heddle::inline HEDDLE_ABI::detail
