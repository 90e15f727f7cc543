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
  if (delegate_ != nullptr) {
    try {
      delegate_->enter(record_);
    } catch (...) {
      exchange_blocking_delegate(delegate_);
      throw;
    }
  }
  published_.begin(record);
}

blocking_region::~blocking_region() {
  published_.end();
  if (delegate_ == nullptr) return;
  delegate_->leave(record_);
  exchange_blocking_delegate(delegate_);
}

namespace {

// A thread in the list of a completion. The event takes the node out and wakes the thread, or
// somebody else does who ends the wait; never both, so one park() is enough.
struct completion_wait final : wait_record {
  completion_wait(completion& e, wait_kind what) noexcept
      : wait_record{.kind = what, .object = &e}, event(e) {
    over = [](const wait_record& r) noexcept {
      return static_cast<const completion_wait&>(r).event.done();
    };
  }

  static bool interrupted(wait_record& r, char* text) noexcept {
    auto& self = static_cast<completion_wait&>(r);
    if (self.verdict != nullptr) return false;  // the node has left already
    if (!self.attached.load(prim::acquire) || !self.event.detach(self.thread)) return false;
    self.verdict = text;
    self.thread.parker.unpark();
    return true;
  }

  completion& event;
  thread_waiter thread;
  prim::atomic<bool> attached{false};  // before, nobody else may look for the node in the list
};

}  // namespace

bool wait_for_completion(completion& event, wait_kind kind, prim::time_point deadline) {
  if (event.done()) return true;
  if (deadline != prim::never && prim::clock::now() >= deadline) return false;
  completion_wait self(event, kind);
  self.deadline = deadline;
  const blocking_region region(self);
  if (!event.attach(self.thread)) return true;
  if (self.thread.parker.park_until(deadline)) return true;
  if (event.detach(self.thread)) return false;
  self.thread.parker.park();
  return true;
}

void wait_or_be_interrupted(completion& event, wait_kind kind, const char* name) {
  if (event.done()) return;
  completion_wait self(event, kind);
  self.name = name;
  self.interrupt = &completion_wait::interrupted;
  {
    const blocking_region region(self);
    if (!event.attach(self.thread)) return;
    self.attached.store(true, prim::release);
    self.thread.parker.park();
  }
  if (self.verdict != nullptr) throw_verdict(self);
}

bool wait_for_completion(completion& event, wait_kind kind, const prim::stop_token& stop) {
  if (!stop.stop_possible()) return wait_for_completion(event, kind);
  if (event.done()) return true;
  if (stop.stop_requested()) return false;
  completion_wait self(event, kind);
  self.stoppable = true;
  const blocking_region region(self);
  if (!event.attach(self.thread)) return true;
  bool stopped = false;
  {
    const auto on_stop = [&]() noexcept {
      if (!event.detach(self.thread)) return;
      stopped = true;
      self.thread.parker.unpark();
    };
    const prim::stop_callback<decltype(on_stop)> callback(stop, on_stop);
    self.thread.parker.park();
  }
  return !stopped;
}

bool wait_regardless(completion& event, wait_kind kind, prim::time_point deadline) noexcept {
  return wait_regardless([&] { return wait_for_completion(event, kind, deadline); });
}

}  // namespace heddle::inline HEDDLE_ABI
