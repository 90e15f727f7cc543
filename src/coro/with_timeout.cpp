#include <heddle/coro/with_timeout.hpp>

#include <heddle/coro/delay.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The timer has a reference of its own, until it has been given its verb or taken back.
void time_limit::begin(timer_queue& timers, prim::time_point deadline,
                       const prim::stop_token* parents_stop) {
  references_.fetch_add(1, prim::relaxed);
  timer_access::arm(timers, link_, deadline, this);
  if (parents_stop != nullptr && parents_stop->stop_possible()) {
    parents_stop_.emplace(*parents_stop, forward{*this});
  }
}

void time_limit::act(job* j, verb v) noexcept {
  if (v == verb::help) return;
  auto& self = *static_cast<time_limit*>(j);
  if (v == verb::run) self.trip(fate::expired);
  self.release();
}

void time_limit::trip(fate why) noexcept {
  fate none = fate::open;
  if (fate_.compare_exchange_strong(none, why, prim::relaxed)) {
    prim::stop_source(source_).request_stop();
  }
}

bool time_limit::end() noexcept {
  parents_stop_.reset();
  fate none = fate::open;
  const bool was_open = fate_.compare_exchange_strong(none, fate::over, prim::relaxed);
  release(link_.leave() ? 2 : 1);
  return !was_open && none == fate::expired;
}

void time_limit::release(unsigned references) noexcept {
  if (references_.fetch_sub(references, prim::acq_rel) == references) delete this;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
