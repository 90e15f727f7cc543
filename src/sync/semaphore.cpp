#include <heddle/prim/patience.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/semaphore.hpp>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace heddle::inline HEDDLE_ABI {

// Why no wake-up is lost. A thread enters the queue only while the word has no permit, in the same
// step that sets the bit. With the bit set whoever gives permits comes to the lock, and takes as
// many sleepers as it gives permits. One that was taken tries for a permit, whatever its limit
// says, before it goes away or sleeps again; so while a permit is left, somebody awake will look
// for it.
//
// Why the semaphore may be destroyed when the last acquire has returned. Without the bit, the
// exchange that gives the permit is the last access of release. With it, the permit can be taken
// while release still holds the lock; but those whom release found in the queue are inside acquire,
// and leave only when it has woken them, or through the lock.

void semaphore_core::refuse(std::ptrdiff_t permits, std::ptrdiff_t most) {
  throw std::invalid_argument("semaphore: " + std::to_string(permits) + " permits, not 0 to " +
                              std::to_string(most));
}

bool semaphore_core::acquire_slow(const wait_limit& limit) {
  if (limit.over()) return false;
  lock_wait recorded(probe_, kind_, this);
  prim::patience spin;
  while (!spin.exhausted()) {
    spin.wait();
    if (take()) {
      recorded.passed();
      note_taken();
      return true;
    }
  }
  wait_record record = limit.record(kind_, this, probe_.name());
  record.probe = &probe_;
  if (kind_ == wait_kind::semaphore) record.rescuers = &probe_;
  record.units = units_;
  record.over = [](const wait_record& r) noexcept {
    return static_cast<const semaphore_core*>(r.object)->available() > 0;
  };
  const blocking_region region(record);
  wait_queue::node n;
  for (;;) {
    if (append(n) && !sleep_in_queue(n, limit, [&]() noexcept { return withdraw(n); })) {
      return false;
    }
    if (take()) {
      recorded.passed();
      note_taken();
      return true;
    }
    if (limit.over()) return false;
  }
}

// False when there is a permit.
bool semaphore_core::append(wait_queue::entry& n) noexcept {
  const prim::scoped_lock lock(lock_);
  std::uint64_t word = word_.load(prim::relaxed);
  do {
    if (word >= one) return false;
  } while (!word_.compare_exchange_weak(word, word | queued, prim::relaxed, prim::relaxed));
  queue_.append(n);
  return true;
}

bool semaphore_core::withdraw(wait_queue::entry& n) noexcept {
  const prim::scoped_lock lock(lock_);
  if (!queue_.withdraw(n)) return false;
  if (queue_.empty()) word_.fetch_and(~queued, prim::relaxed);
  return true;
}

void semaphore_core::release(std::ptrdiff_t n, std::ptrdiff_t most) {
  if (n < 0) throw std::invalid_argument("semaphore: release of " + std::to_string(n) + " permits");
  const auto more = static_cast<std::uint64_t>(n);
  // Before: with the permits the semaphore may be gone.
  const bool noted = probe_.active() && n > 0 && kind_ == wait_kind::semaphore;
  if (noted) [[unlikely]]
    probe_.gave(more);
  std::uint64_t word = word_.load(prim::relaxed);
  for (;;) {
    const auto there = static_cast<std::ptrdiff_t>(word / one);
    if (n > most - there) {
      if (noted) probe_.took(more);
      throw std::overflow_error("semaphore: release of " + std::to_string(n) + " permits, with " +
                                std::to_string(there) + " of at most " + std::to_string(most) +
                                " there");
    }
    if ((word & queued) != 0) {
      if (give(more, static_cast<std::uint64_t>(most))) return;
      word = word_.load(prim::relaxed);
    } else if (word_.compare_exchange_weak(word, word + more * one, prim::release, prim::relaxed)) {
      return;
    }
  }
}

void semaphore_core::release_to_one() noexcept {
  std::uint64_t word = word_.load(prim::relaxed);
  for (;;) {
    if (word == queued) {
      if (give(1, 1)) return;
      word = word_.load(prim::relaxed);
    } else {
      // Also when there is a permit: whoever takes it is to see what came before this call.
      const std::uint64_t with_one = word >= one ? word : one;
      if (word_.compare_exchange_weak(word, with_one, prim::release, prim::relaxed)) return;
    }
  }
}

// Gives n permits, takes as many sleepers out of the queue, and wakes them. False, and nothing has
// changed, when nobody sleeps any more, or others have given so many that there is no room.
bool semaphore_core::give(std::uint64_t n, std::uint64_t most) noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    std::uint64_t word = word_.load(prim::relaxed);
    // Nobody else adds permits meanwhile: with the bit set that takes the lock.
    if (queue_.empty() || n > most - word / one) return false;
    for (std::uint64_t i = 0; i < n && !queue_.empty(); ++i) queue_.take(*queue_.first(), woken);
    const std::uint64_t bit = queue_.empty() ? queued : 0;
    while (!word_.compare_exchange_weak(word, word + n * one - bit, prim::release, prim::relaxed)) {
    }
  }
  woken.wake();
  return true;
}

}  // namespace heddle::inline HEDDLE_ABI
