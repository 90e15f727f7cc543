#include <heddle/prim/patience.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/mutex.hpp>

#include <optional>

namespace heddle::inline HEDDLE_ABI {

// The queue bit is held for a few instructions. While it is held the locked bit may be set by an
// arriving thread but never cleared: the fast unlock needs a word without the queue bit, and the
// slow one needs the bit for itself.

// A thread that sleeps in the queue, or is about to. Somebody who wants to end the wait takes its
// node out of the queue, where it is only while the thread sleeps there.
struct mutex::sleeper final : wait_record {
  sleeper(mutex& m, prim::time_point until)
      : wait_record{.kind = wait_kind::mutex, .object = &m, .name = m.name()}, home(m) {
    owner = [](const void* lock) noexcept { return static_cast<const mutex*>(lock)->owner(); };
    probe = &m.probe_;
    deadline = until;
    if (until == prim::never) interrupt = &interrupted;
  }

  static bool interrupted(wait_record& r, char* text) noexcept {
    auto& self = static_cast<sleeper&>(r);
    if (!self.home.withdraw(self.place)) return false;
    self.verdict = text;
    self.place.waiter.parker.unpark();
    return true;
  }

  mutex& home;
  node place;
};

bool mutex::lock_slow(prim::time_point deadline) {
  prim::patience spin;
  std::optional<sleeper> self;
  std::optional<blocking_region> region;
  for (;;) {
    std::uintptr_t word = word_.load(prim::relaxed);
    if ((word & locked) == 0) {
      if (word_.compare_exchange_weak(word, word | locked, prim::acquire, prim::relaxed)) {
        return true;
      }
      continue;
    }
    if (first(word) == nullptr && !spin.exhausted()) {
      spin.wait();
      continue;
    }
    if (deadline != prim::never && prim::clock::now() >= deadline) return false;
    if (!region) region.emplace(self.emplace(*this, deadline));
    node& n = self->place;
    if (!append(n)) continue;
    if (n.waiter.parker.park_until(deadline)) {
      if (self->verdict == nullptr) continue;
      region.reset();
      throw_verdict(*self);
    }
    if (withdraw(n)) return false;
    // Chosen by an unlock in the last moment. The lock may be free with others asleep, so this
    // thread must try once more before it gives up: whoever holds it then wakes the next.
    n.waiter.parker.park();
    return take();
  }
}

// Puts the node at the end of the queue, unless the lock has become free.
bool mutex::append(node& n) noexcept {
  prim::patience spin;
  std::uintptr_t word = word_.load(prim::relaxed);
  for (;;) {
    if ((word & locked) == 0) return false;
    if ((word & queue_locked) != 0) {
      spin.wait();
      word = word_.load(prim::relaxed);
      continue;
    }
    if (word_.compare_exchange_weak(word, word | queue_locked, prim::acquire, prim::relaxed)) break;
  }
  node* head = first(word);
  n.next.set(nullptr);  // it may have been in the queue before
  if (head == nullptr) {
    head = &n;
  } else {
    head->last.get()->next.set(&n);
  }
  head->last.set(&n);
  word_.store(reinterpret_cast<std::uintptr_t>(head) | locked, prim::release);
  return true;
}

// Takes the node out of the queue; false when an unlock has taken it.
bool mutex::withdraw(node& n) noexcept {
  prim::patience spin;
  std::uintptr_t word = word_.load(prim::relaxed);
  for (;;) {
    if ((word & queue_locked) != 0) {
      spin.wait();
      word = word_.load(prim::relaxed);
      continue;
    }
    if (word_.compare_exchange_weak(word, word | queue_locked, prim::acquire, prim::relaxed)) break;
  }
  node* head = first(word);
  node* before = nullptr;
  node* at = head;
  while (at != nullptr && at != &n) {
    before = at;
    at = at->next.get();
  }
  if (at != nullptr) {
    node* const after = n.next.get();
    if (before == nullptr) {
      if (after != nullptr) after->last.set(n.last.get());
      head = after;
    } else {
      before->next.set(after);
      if (after == nullptr) head->last.set(before);
    }
  }
  // Not a store: an arriving thread may have set the locked bit meanwhile.
  word = word_.load(prim::relaxed);
  while (!word_.compare_exchange_weak(word,
                                      reinterpret_cast<std::uintptr_t>(head) | (word & locked),
                                      prim::release, prim::relaxed)) {
  }
  return at != nullptr;
}

void mutex::unlock_slow() noexcept {
  prim::patience spin;
  std::uintptr_t word = word_.load(prim::relaxed);
  for (;;) {
    if (word == locked) {
      if (word_.compare_exchange_weak(word, 0, prim::release, prim::relaxed)) return;
      continue;
    }
    if ((word & queue_locked) != 0) {
      spin.wait();
      word = word_.load(prim::relaxed);
      continue;
    }
    if (word_.compare_exchange_weak(word, word | queue_locked, prim::acquire, prim::relaxed)) break;
  }
  node* const chosen = first(word);
  node* const rest = chosen->next.get();
  if (rest != nullptr) rest->last.set(chosen->last.get());
  word_.store(reinterpret_cast<std::uintptr_t>(rest), prim::release);
  chosen->waiter.wake(&chosen->waiter);
}

// These are not inlined, and their callers are: what they return to is the code that wanted the
// lock.

[[gnu::noinline]] bool mutex::lock_observed(prim::time_point deadline) {
  const void* const site = __builtin_return_address(0);
  if (take()) {
    probe_.acquired(site);
    return true;
  }
  if (deadline == prim::never && lock_probe::checked() && probe_.owned_by_this_thread()) {
    probe_.misused("waiting without end for", wait_kind::mutex, this);
  }
  lock_wait wait(probe_, wait_kind::mutex, this);
  if (!lock_slow(deadline)) return false;
  wait.acquired(site);
  return true;
}

[[gnu::noinline]] bool mutex::try_lock_observed() noexcept {
  if (!take()) return false;
  probe_.acquired(__builtin_return_address(0));
  return true;
}

void mutex::unlock_observed() noexcept {
  if (lock_probe::checked()) {
    const bool held = (word_.load(prim::relaxed) & locked) != 0;
    const bool by_another = probe_.owner() != 0 && !probe_.owned_by_this_thread();
    if (!held || by_another) probe_.misused("unlock of", wait_kind::mutex, this);
  }
  probe_.released();
  let_go();
}

}  // namespace heddle::inline HEDDLE_ABI
