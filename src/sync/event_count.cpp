#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/event_count.hpp>

namespace heddle::inline HEDDLE_ABI {

// Why no wake-up is lost. The waiter counts itself, fences, then reads the predicate; the notifier
// writes the predicate, fences, then reads the count. One of them sees the other. If it is the
// notifier, it moves the epoch. A waiter with the old epoch does not sleep, or sleeps in the list
// and is taken from it; a waiter that read the new epoch synchronizes with the notifier and sees
// the predicate.

event_count::key event_count::prepare_wait() noexcept {
  prepared_.fetch_add(1, prim::seq_cst);
  const key k = epoch_.load(prim::acquire);
  prim::fence(prim::seq_cst);
  return k;
}

void event_count::cancel_wait() noexcept { prepared_.fetch_sub(1, prim::relaxed); }

bool event_count::wait(key k, prim::time_point deadline) {
  // The count goes down when the thread is awake again, whatever way it came.
  struct on_exit {
    event_count& self;
    ~on_exit() { self.cancel_wait(); }
  } const guard{*this};

  struct waiting final : wait_record {
    waiting(const event_count& e, key its_key, prim::time_point until) noexcept
        : wait_record{.kind = wait_kind::event, .object = &e}, event(e), k(its_key) {
      deadline = until;
      over = [](const wait_record& r) noexcept {
        const auto& self = static_cast<const waiting&>(r);
        return self.event.epoch_.load(prim::relaxed) != self.k;
      };
    }
    const event_count& event;
    const key k;
  };
  waiting record(*this, k, deadline);
  const blocking_region region(record);
  node n;
  {
    const prim::scoped_lock lock(mutex_);
    if (epoch_.load(prim::relaxed) != k) return true;
    append(n);
  }
  if (n.waiter.parker.park_until(deadline)) return true;
  {
    const prim::scoped_lock lock(mutex_);
    if (n.listed) {
      unlink(n);
      return false;
    }
  }
  n.waiter.parker.park();  // taken by a notifier: the wake-up is on its way
  return true;
}

void event_count::notify_one() noexcept { notify(false); }
void event_count::notify_all() noexcept { notify(true); }

void event_count::notify(bool all) noexcept {
  prim::fence(prim::seq_cst);
  if (prepared_.load(prim::relaxed) == 0) return;
  node* taken = nullptr;
  {
    const prim::scoped_lock lock(mutex_);
    epoch_.store(epoch_.load(prim::relaxed) + 1, prim::release);
    taken = first_;
    if (taken == nullptr) return;
    if (all) {
      for (node* n = first_; n != nullptr; n = n->after) n->listed = false;
      first_ = last_ = nullptr;
    } else {
      unlink(*taken);
      taken->after = nullptr;
    }
  }
  while (taken != nullptr) {
    node* const rest = taken->after;  // waking may end the node
    taken->waiter.wake(&taken->waiter);
    taken = rest;
  }
}

void event_count::append(node& n) noexcept {
  n.before = last_;
  n.listed = true;
  (last_ != nullptr ? last_->after : first_) = &n;
  last_ = &n;
}

void event_count::unlink(node& n) noexcept {
  (n.before != nullptr ? n.before->after : first_) = n.after;
  (n.after != nullptr ? n.after->before : last_) = n.before;
  n.listed = false;
}

}  // namespace heddle::inline HEDDLE_ABI
