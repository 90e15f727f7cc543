#include <heddle/future/stop_link.hpp>

#include <memory>

#include <heddle/future/state.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

void stop_link::arm(future_state& state) noexcept {
  callback_.construct<callback>(token_, trip{*this, state});
  made_.set(true);
  if (phase_.exchange(phase::armed, prim::release) == phase::tripped) state.cancel();
}

// Cancelling ends the life of this very object, so it is the last thing done.
void stop_link::trip::operator()() const noexcept {
  if (link.phase_.exchange(phase::tripped, prim::acquire) == phase::armed) state.cancel();
}

stop_link::~stop_link() {
  if (made_.get()) std::destroy_at(callback_.as<callback>());
}

}  // namespace heddle::inline HEDDLE_ABI::detail
