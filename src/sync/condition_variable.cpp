#include <heddle/prim/patience.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/condition_variable.hpp>

#include <utility>

namespace heddle::inline HEDDLE_ABI {

condition_variable::~condition_variable() {
  prim::patience spin;
  while (inside_.load(prim::acquire) != 0) spin.wait();
}

// The region lasts until the thread has the lock again: what may be refused is refused before the
// lock is let go.
bool condition_variable::wait_for_turn(const lock_ref& lock, const wait_limit& limit) {
  node n(lock.home, probe_, this);
  wait_record record = limit.record(wait_kind::condition, this, probe_.name());
  // Once it is notified it waits for the lock, in its queue.
  record.held = &n;
  record.owner = [](const void* held) noexcept {
    const node& waiting = *static_cast<const node*>(held);
    const bool moved = waiting.home != nullptr && waiting.state.load(prim::relaxed) == fate::chosen;
    return moved ? waiting.home->owner() : 0;
  };
  const blocking_region region(record);
  // Whoever changes the predicate afterwards gets the lock after this, and so sees the count.
  inside_.fetch_add(1, prim::relaxed);
  {
    const prim::scoped_lock held(list_lock_);
    append(n);
  }
  const auto leave = [&]() noexcept {
    n.recorded.gave_up();
    inside_.fetch_sub(1, prim::release);
  };
  try {
    lock.release(lock.lock);
  } catch (...) {  // it was not held
    if (give_up(n)) {
      leave();
    } else {
      n.sleeper.waiter.parker.park();
    }
    throw;
  }
  const bool notified =
      sleep_until_chosen(n.sleeper.waiter.parker, limit, [&]() noexcept { return give_up(n); });
  if (!notified) leave();
  lock.acquire(lock.lock);
  return notified;
}

// False when a notifier has chosen it; then nothing here is touched.
bool condition_variable::give_up(node& n) noexcept {
  fate state = fate::waits;
  if (!n.state.compare_exchange_strong(state, fate::given_up, prim::relaxed, prim::relaxed)) {
    return false;
  }
  const prim::scoped_lock held(list_lock_);
  unlink(n);
  return true;
}

void condition_variable::notify(bool all) noexcept {
  node* chosen = nullptr;
  node** end = &chosen;
  {
    const prim::scoped_lock held(list_lock_);
    for (node* n = first_; n != nullptr && (all || chosen == nullptr);) {
      node* const next = n->after;
      fate state = fate::waits;
      if (n->state.compare_exchange_strong(state, fate::chosen, prim::relaxed, prim::relaxed)) {
        unlink(*n);
        n->after = nullptr;
        *end = n;
        end = &n->after;
        inside_.fetch_sub(1, prim::relaxed);
      }
      n = next;
    }
  }
  while (chosen != nullptr) {
    node& n = *std::exchange(chosen, chosen->after);  // waking may end it
    n.recorded.passed();
    if (n.home == nullptr || !n.home->append(n.sleeper)) {
      n.sleeper.waiter.wake(&n.sleeper.waiter);
    }
  }
}

void condition_variable::append(node& n) noexcept {
  n.before = last_;
  (last_ != nullptr ? last_->after : first_) = &n;
  last_ = &n;
}

void condition_variable::unlink(node& n) noexcept {
  (n.before != nullptr ? n.before->after : first_) = n.after;
  (n.after != nullptr ? n.after->before : last_) = n.before;
}

}  // namespace heddle::inline HEDDLE_ABI
