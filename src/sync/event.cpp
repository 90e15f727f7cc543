#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/event.hpp>

namespace heddle::inline HEDDLE_ABI {

// As in a semaphore, a thread enters the queue in the step that finds the event unset and sets the
// bit, and with the bit set whoever sets the event comes to the lock. Those whom it wakes do not
// look at the event again. Without the bit, the exchange is the last access of set().

void manual_reset_event::set() noexcept {
  std::uint32_t word = word_.load(prim::relaxed);
  for (;;) {
    if ((word & queued) == 0) {
      // Also when it is set: whoever resets it is to see what came before this call.
      if (word_.compare_exchange_weak(word, is_set_bit, prim::release, prim::relaxed)) return;
      continue;
    }
    wait_queue::chain woken;
    {
      const prim::scoped_lock lock(lock_);
      word = word_.load(prim::relaxed);
      if ((word & queued) == 0) continue;
      queue_.take_all(woken);
      word_.exchange(is_set_bit, prim::release);
    }
    woken.wake();
    return;
  }
}

bool manual_reset_event::wait_within(const wait_limit& limit) {
  if (is_set()) {
    if (probe_.active()) [[unlikely]]
      probe_.passed();
    return true;
  }
  if (limit.over()) return false;
  lock_wait recorded(probe_, wait_kind::event, this);
  wait_record record = limit.record(wait_kind::event, this, probe_.name());
  const blocking_region region(record);
  wait_queue::node n;
  if (append(n) && !sleep_in_queue(n, limit, [&]() noexcept { return withdraw(n); })) return false;
  recorded.passed();
  return true;
}

// False when it is set.
bool manual_reset_event::append(wait_queue::entry& n) noexcept {
  const prim::scoped_lock lock(lock_);
  std::uint32_t word = word_.load(prim::acquire);
  do {
    if ((word & is_set_bit) != 0) return false;
  } while (!word_.compare_exchange_weak(word, queued, prim::acquire, prim::acquire));
  queue_.append(n);
  return true;
}

bool manual_reset_event::withdraw(wait_queue::entry& n) noexcept {
  const prim::scoped_lock lock(lock_);
  if (!queue_.withdraw(n)) return false;
  if (queue_.empty()) word_.fetch_and(~queued, prim::relaxed);
  return true;
}

}  // namespace heddle::inline HEDDLE_ABI
