#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/latch.hpp>

#include <stdexcept>
#include <string>

namespace heddle::inline HEDDLE_ABI {

// The queue is that of an event which is set when the count reaches zero: see event.cpp.

void latch::refuse(std::ptrdiff_t expected) {
  throw std::invalid_argument("latch: a count of " + std::to_string(expected));
}

void latch::count_down(std::ptrdiff_t n) {
  std::uint64_t word = word_.load(prim::relaxed);
  for (;;) {
    const auto left = static_cast<std::ptrdiff_t>(word / one);
    if (n < 0 || n > left) {
      throw std::invalid_argument("latch: count_down of " + std::to_string(n) + ", with " +
                                  std::to_string(left) + " left");
    }
    if (n == left && (word & queued) != 0) {
      if (open(word)) return;
      word = word_.load(prim::relaxed);
    } else {
      const std::uint64_t less = word - static_cast<std::uint64_t>(n) * one;
      if (word_.compare_exchange_weak(word, less, prim::release, prim::relaxed)) return;
    }
  }
}

// Takes what is left, and wakes those in the queue; unless the word has changed. Acquires what came
// before the other counts: those who are woken learn it from here.
bool latch::open(std::uint64_t word) noexcept {
  wait_queue::chain woken;
  {
    const prim::scoped_lock lock(lock_);
    if (!word_.compare_exchange_strong(word, 0, prim::acq_rel, prim::relaxed)) return false;
    queue_.take_all(woken);
  }
  woken.wake();
  return true;
}

bool latch::wait_within(const wait_limit& limit) {
  if (try_wait()) {
    if (probe_.active()) [[unlikely]]
      probe_.passed();
    return true;
  }
  if (limit.over()) return false;
  lock_wait recorded(probe_, wait_kind::latch, this);
  wait_record record = limit.record(wait_kind::latch, this, probe_.name());
  const blocking_region region(record);
  wait_queue::node n;
  if (append(n) && !sleep_in_queue(n, limit, [&]() noexcept { return withdraw(n); })) return false;
  recorded.passed();
  return true;
}

// False when the latch is open.
bool latch::append(wait_queue::entry& n) noexcept {
  const prim::scoped_lock lock(lock_);
  std::uint64_t word = word_.load(prim::acquire);
  do {
    if (word < one) return false;
  } while (!word_.compare_exchange_weak(word, word | queued, prim::acquire, prim::acquire));
  queue_.append(n);
  return true;
}

bool latch::withdraw(wait_queue::entry& n) noexcept {
  const prim::scoped_lock lock(lock_);
  if (!queue_.withdraw(n)) return false;
  if (queue_.empty()) word_.fetch_and(~queued, prim::relaxed);
  return true;
}

}  // namespace heddle::inline HEDDLE_ABI
