#include <heddle/coro/await.hpp>

#include <stdexcept>

namespace heddle::inline HEDDLE_ABI::detail {

constinit const suspension::steps event_wait::kind{[](suspension& s) {
                                                     auto& self = static_cast<event_wait&>(s);
                                                     return queue_access::append(self.event_, self);
                                                   },
                                                   [](suspension& s) noexcept {
                                                     auto& self = static_cast<event_wait&>(s);
                                                     return queue_access::withdraw(self.event_,
                                                                                   self);
                                                   }};

constinit const suspension::steps latch_wait::kind{[](suspension& s) {
                                                     auto& self = static_cast<latch_wait&>(s);
                                                     return queue_access::append(self.latch_, self);
                                                   },
                                                   [](suspension& s) noexcept {
                                                     auto& self = static_cast<latch_wait&>(s);
                                                     return queue_access::withdraw(self.latch_,
                                                                                   self);
                                                   }};

// In the queue of a semaphore who is taken has yet to get a permit: see semaphore.cpp.
constinit const suspension::steps permit_wait::kind{
    [](suspension& s) {
      auto& self = static_cast<permit_wait&>(s);
      while (!queue_access::append(self.core_, self)) {
        if (self.core_.try_acquire()) return false;
      }
      return true;
    },
    [](suspension& s) noexcept {
      auto& self = static_cast<permit_wait&>(s);
      return queue_access::withdraw(self.core_, self);
    }};

// By whoever has given a permit, on the task's behalf. A stop that was requested while the task was
// in no queue has found nobody there, so who goes back looks for one.
void permit_wait::chosen(waiter* w) noexcept {
  auto& self = *static_cast<permit_wait*>(static_cast<entry*>(w));
  while (!self.core_.try_acquire()) {
    self.stay();
    if (queue_access::append(self.core_, self)) {
      if (self.stop_requested() && queue_access::withdraw(self.core_, self)) {
        self.arrive(ending::stopped);
      }
      self.arrive();
      return;
    }
    self.arrive();
  }
  self.arrive();
}

void permit_wait::await_resume() {
  if (end()) return;
  if (happened()) {
    if (most_ == 0) {
      core_.release_to_one();
    } else {
      try {
        core_.release(1, most_);
      } catch (const std::overflow_error&) {
        // Others have given as many as there may be.
      }
    }
  }
  throw_ending();
}

constinit const suspension::steps units_wait::kind{
    [](suspension& s) {
      auto& self = static_cast<units_wait&>(s);
      return queue_access::append(self.from_, self.n_, self);
    },
    [](suspension& s) noexcept {
      auto& self = static_cast<units_wait&>(s);
      return queue_access::withdraw(self.from_, self);
    }};

void units_wait::await_resume() {
  const bool here = end();
  if (!happened()) throw_ending();
  if (refused) queue_access::refuse(from_, n_);
  queue_access::note_taken(from_, n_);
  if (here) return;
  from_.release(n_);
  throw_ending();
}

constinit const suspension::steps state_wait::kind{[](suspension& s) {
                                                     auto& self = static_cast<state_wait&>(s);
                                                     return self.state_->event().attach(self);
                                                   },
                                                   [](suspension& s) noexcept {
                                                     auto& self = static_cast<state_wait&>(s);
                                                     return self.state_->event().detach(self);
                                                   }};

bool queue_access::append(weighted_semaphore& from, weighted_semaphore::units n,
                          wait_queue::entry& e) {
  using answer = weighted_semaphore::answer;
  const answer a = from.take(n, &e);
  if (a == answer::never) from.refuse(n);
  return a == answer::not_now;
}

void queue_access::note_taken(weighted_semaphore& from, weighted_semaphore::units n) noexcept {
  if (n > 0 && from.probe_.active()) from.probe_.took(n);
}

void queue_access::refuse(weighted_semaphore& from, weighted_semaphore::units n) { from.refuse(n); }

}  // namespace heddle::inline HEDDLE_ABI::detail
