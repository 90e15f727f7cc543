#include <heddle/prim/thread_local.hpp>
#include <heddle/sync/blocking_region.hpp>

#include <utility>

namespace heddle::inline HEDDLE_ABI {

blocking_delegate* current_blocking_delegate() noexcept {
  return static_cast<blocking_delegate*>(prim::thread_value(prim::thread_slot::blocking_delegate));
}

blocking_delegate* exchange_blocking_delegate(blocking_delegate* next) noexcept {
  return static_cast<blocking_delegate*>(
      std::exchange(prim::thread_value(prim::thread_slot::blocking_delegate), next));
}

// While a thread is inside a region it has no delegate: what blocks inside blocks for the same
// reason, and the delegate has heard of it.
blocking_region::blocking_region(wait_record& record)
    : record_(record), delegate_(exchange_blocking_delegate(nullptr)) {
  if (delegate_ == nullptr) return;
  try {
    delegate_->enter(record_);
  } catch (...) {
    exchange_blocking_delegate(delegate_);
    throw;
  }
}

blocking_region::~blocking_region() {
  if (delegate_ == nullptr) return;
  delegate_->leave(record_);
  exchange_blocking_delegate(delegate_);
}

bool wait_for_completion(completion& event, wait_kind kind, prim::time_point deadline) {
  if (event.done()) return true;
  if (deadline != prim::never && prim::clock::now() >= deadline) return false;
  wait_record record{kind, &event};
  const blocking_region region(record);
  thread_waiter self;
  if (!event.attach(self)) return true;
  if (self.parker.park_until(deadline)) return true;
  if (event.detach(self)) return false;
  self.parker.park();
  return true;
}

bool wait_for_completion(completion& event, wait_kind kind, const prim::stop_token& stop) {
  if (!stop.stop_possible()) return wait_for_completion(event, kind);
  if (event.done()) return true;
  if (stop.stop_requested()) return false;
  wait_record record{kind, &event};
  const blocking_region region(record);
  thread_waiter self;
  if (!event.attach(self)) return true;
  // Whoever takes the node out of the list wakes the thread: the event, or the stop. Never both, so
  // one park() is enough and the node may die after it.
  bool stopped = false;
  {
    const auto on_stop = [&]() noexcept {
      if (!event.detach(self)) return;
      stopped = true;
      self.parker.unpark();
    };
    const prim::stop_callback<decltype(on_stop)> callback(stop, on_stop);
    self.parker.park();
  }
  return !stopped;
}

}  // namespace heddle::inline HEDDLE_ABI
