#include <heddle/base/unhandled.hpp>
#include <heddle/data/subscription.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/sync/blocking_region.hpp>

#include <chrono>
#include <exception>

namespace heddle::inline HEDDLE_ABI::detail {

snapshot_listener::~snapshot_listener() = default;

void snapshot_changes::add(snapshot_listener& listener, std::uint64_t since) noexcept {
  references_.fetch_add(1, prim::relaxed);
  listener.changes_ = this;
  listener.since_ = since;
  const prim::scoped_lock lock(lock_);
  (last_ == nullptr ? first_ : last_->next_) = &listener;
  last_ = &listener;
}

void snapshot_changes::append(snapshot_node& published) noexcept {
  const prim::scoped_lock lock(lock_);
  if (first_ == nullptr) return;
  published.keep();
  (last_change_ == nullptr ? first_change_ : last_change_->next_change_) = &published;
  last_change_ = &published;
}

void snapshot_changes::deliver() noexcept {
  {
    const prim::scoped_lock lock(lock_);
    if (delivering_) return;
    delivering_ = true;
  }
  while (snapshot_node* const changed = next_change()) {
    snapshot_listener* l = nullptr;
    while ((l = next_listener(l)) != nullptr) tell(*l, *changed);
    changed->drop();
  }
}

// Null when there is none: the one that delivers has ended then.
snapshot_node* snapshot_changes::next_change() noexcept {
  snapshot_listener* gone = nullptr;
  snapshot_node* changed = nullptr;
  {
    const prim::scoped_lock lock(lock_);
    gone = take_gone();
    changed = first_change_;
    if (changed == nullptr) {
      delivering_ = false;
    } else {
      first_change_ = changed->next_change_;
      if (first_change_ == nullptr) last_change_ = nullptr;
    }
  }
  drop_all(gone);
  return changed;
}

snapshot_listener* snapshot_changes::next_listener(const snapshot_listener* behind) noexcept {
  const prim::scoped_lock lock(lock_);
  return behind == nullptr ? first_ : behind->next_;
}

void snapshot_changes::tell(snapshot_listener& listener,
                            snapshot_node& changed) noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  if (changed.version() <= listener.since_ || !begin_call(listener)) return;
  listener.caller_.store(prim::thread_number() + 1, prim::relaxed);
  try {
    listener.call(changed);
  } catch (...) {
    report_unhandled(std::current_exception());
  }
  listener.caller_.store(0, prim::relaxed);
  const bool ended_inside = listener.ended_inside_;
  listener.calling_.unlock();
  if (ended_inside) listener.clear();
}

// Locks what the end of its subscription waits for. Nobody else ever locks that, so it is free or
// the listener is gone.
bool snapshot_changes::begin_call(snapshot_listener& listener) noexcept
    HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  while (!listener.calling_.try_lock()) {
    if (is_gone(listener)) return false;
    prim::pause();
  }
  if (!is_gone(listener)) return true;
  listener.calling_.unlock();
  return false;
}

bool snapshot_changes::is_gone(const snapshot_listener& listener) noexcept {
  const prim::scoped_lock lock(lock_);
  return listener.gone_;
}

snapshot_listener* snapshot_changes::take_gone() noexcept {
  snapshot_listener* taken = nullptr;
  snapshot_listener** at = &first_;
  last_ = nullptr;
  while (snapshot_listener* const l = *at) {
    if (l->gone_) {
      *at = l->next_;
      l->next_ = std::exchange(taken, l);
    } else {
      last_ = l;
      at = &l->next_;
    }
  }
  return taken;
}

// The list's counts.
void snapshot_changes::drop_all(snapshot_listener* listeners) noexcept {
  while (listeners != nullptr) std::exchange(listeners, listeners->next_)->drop();
}

namespace {

// With a deadline, since a watchdog that breaks deadlocks may end a wait without one, and a
// destructor must not return before the call has.
void lock_at_last(mutex& calling) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  while (!calling.try_lock_until(prim::deadline_after(std::chrono::hours(1)))) {
  }
}

void await_call(mutex& calling) noexcept HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  wait_regardless([&] { lock_at_last(calling); });
  calling.unlock();
}

}  // namespace

void snapshot_changes::end(snapshot_listener& listener) noexcept {
  snapshot_changes& self = *listener.changes_;
  snapshot_listener* taken = nullptr;
  {
    const prim::scoped_lock lock(self.lock_);
    listener.gone_ = true;
    if (!self.delivering_) taken = self.take_gone();
  }
  if (listener.caller_.load(prim::relaxed) == prim::thread_number() + 1) {
    listener.ended_inside_ = true;
  } else {
    await_call(listener.calling_);
    listener.clear();
  }
  self.drop_all(taken);
  listener.drop();
  self.drop();
}

void snapshot_changes::close() noexcept {
  snapshot_listener* taken = nullptr;
  {
    const prim::scoped_lock lock(lock_);
    for (snapshot_listener* l = first_; l != nullptr; l = l->next_) l->gone_ = true;
    taken = take_gone();
  }
  drop_all(taken);
  drop();
}

void snapshot_changes::drop() noexcept {
  if (references_.fetch_sub(1, prim::acq_rel) == 1) delete this;
}

}  // namespace heddle::inline HEDDLE_ABI::detail
