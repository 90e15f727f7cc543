#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace heddle::inline HEDDLE_ABI {

// Everything is decided under the lock: whoever changes what is held, the capacity or the first in
// the queue serves those who can be served, who get their units with the wake-up. So the first in
// the queue never fits.

void weighted_semaphore::refuse(units n) const {
  throw std::invalid_argument("weighted_semaphore: " + std::to_string(n) +
                              " units asked of a capacity of " + std::to_string(capacity()));
}

weighted_semaphore::answer weighted_semaphore::ask(units n) const noexcept {
  if (n > capacity_) return answer::never;
  if (n == 0) return answer::yes;
  return held_ <= capacity_ - n ? answer::yes : answer::not_now;
}

// Puts the entry into the queue, if there is one, when the units cannot be had now.
weighted_semaphore::answer weighted_semaphore::take(units n, wait_queue::entry* place) noexcept {
  const prim::scoped_lock lock(lock_);
  answer a = ask(n);
  if (a == answer::yes && n != 0 && !queue_.empty()) a = answer::not_now;
  if (a == answer::yes) held_ += n;
  if (a == answer::not_now && place != nullptr) {
    place->amount = n;
    queue_.append(*place);
  }
  return a;
}

bool weighted_semaphore::try_acquire(units n) {
  const answer a = take(n, nullptr);
  if (a == answer::never) refuse(n);
  if (a == answer::not_now) return false;
  if (probe_.active()) [[unlikely]] {
    probe_.passed();
    if (n > 0) probe_.took(n);
  }
  return true;
}

bool weighted_semaphore::acquire_within(units n, const wait_limit& limit) {
  if (try_acquire(n)) return true;
  if (limit.over()) return false;
  lock_wait recorded(probe_, wait_kind::semaphore, this);
  wait_record record = limit.record(wait_kind::semaphore, this, probe_.name());
  record.probe = &probe_;
  record.rescuers = &probe_;
  record.units = capacity() - std::min(n, capacity()) + 1;
  const blocking_region region(record);
  wait_queue::node node;
  answer a = take(n, &node);
  if (a == answer::not_now) {
    if (!sleep_in_queue(node, limit, [&]() noexcept { return withdraw(node); })) return false;
    a = node.refused ? answer::never : answer::yes;
  }
  if (a == answer::never) refuse(n);
  recorded.passed();
  if (n > 0) probe_.took(n);
  return true;
}

bool weighted_semaphore::withdraw(wait_queue::entry& n) noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    if (!queue_.withdraw(n)) return false;
    serve(woken);  // it may have been the first, and too large
  }
  woken.wake();
  return true;
}

void weighted_semaphore::release(units n) {
  units held = 0;
  wait_queue::chain woken;
  // Before: with the units the semaphore may be gone.
  const bool noted = probe_.active() && n > 0;
  if (noted) [[unlikely]]
    probe_.gave(n);
  {
    const prim::scoped_lock lock(lock_);
    held = held_;
    if (n <= held) {
      held_ -= n;
      serve(woken);
    }
  }
  if (n > held) {
    if (noted) probe_.took(n);
    throw std::overflow_error("weighted_semaphore: release of " + std::to_string(n) +
                              " units, with " + std::to_string(held) + " held");
  }
  woken.wake();
}

void weighted_semaphore::resize(units capacity) noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    capacity_ = capacity;
    for (wait_queue::entry* n = queue_.first(); n != nullptr;) {
      wait_queue::entry* const next = n->after;
      if (n->amount > capacity) queue_.take(*n, woken, true);
      n = next;
    }
    serve(woken);
  }
  woken.wake();
}

void weighted_semaphore::serve(wait_queue::chain& woken) noexcept {
  while (!queue_.empty() && ask(queue_.first()->amount) == answer::yes) {
    held_ += queue_.first()->amount;
    queue_.take(*queue_.first(), woken);
  }
}

weighted_semaphore::units weighted_semaphore::capacity() const noexcept {
  const prim::scoped_lock lock(lock_);
  return capacity_;
}

weighted_semaphore::units weighted_semaphore::held() const noexcept {
  const prim::scoped_lock lock(lock_);
  return held_;
}

weighted_semaphore::units weighted_semaphore::available() const noexcept {
  const prim::scoped_lock lock(lock_);
  return held_ < capacity_ ? capacity_ - held_ : 0;
}

}  // namespace heddle::inline HEDDLE_ABI
