#include <heddle/future/task.hpp>

#include <memory>
#include <utility>

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

void stop_link::disarm() noexcept {
  if (!made_.get()) return;
  made_.set(false);
  std::destroy_at(callback_.as<callback>());
}

}  // namespace heddle::inline HEDDLE_ABI::detail
