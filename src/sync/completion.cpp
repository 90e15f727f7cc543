#include <heddle/prim/patience.hpp>
#include <heddle/sync/completion.hpp>

namespace heddle::inline HEDDLE_ABI {

static_assert(alignof(waiter) >= 16, "the low bits of a node's address are marks and a lock");

namespace {

waiter* reversed(waiter* list) noexcept {
  waiter* result = nullptr;
  while (list != nullptr) {
    waiter* const rest = list->next.get();
    list->next.set(result);
    result = list;
    list = rest;
  }
  return result;
}

}  // namespace

// The word, as soon as nobody walks the list.
std::uintptr_t completion::settled(prim::memory_order order) const noexcept {
  prim::patience spin;
  for (;;) {
    const std::uintptr_t word = word_.load(order);
    if ((word & lock_bit) == 0 || snapshot(word).done()) return word;
    spin.wait();
  }
}

bool completion::attach(waiter& w) noexcept {
  for (;;) {
    std::uintptr_t word = settled(prim::acquire);
    if (snapshot(word).done()) return false;
    w.next.set(head(word));
    const std::uintptr_t longer = reinterpret_cast<std::uintptr_t>(&w) | (word & mark_bits);
    if (word_.compare_exchange_weak(word, longer, prim::release, prim::relaxed)) return true;
  }
}

bool completion::detach(waiter& w) noexcept {
  std::uintptr_t word = 0;
  do {
    word = settled(prim::acquire);
    if (snapshot(word).done()) return false;
  } while (!word_.compare_exchange_weak(word, word | lock_bit, prim::acquire, prim::relaxed));
  waiter* const first = head(word);
  waiter* rest = first;
  if (first == &w) {
    rest = w.next.get();
  } else {
    waiter* before = first;
    while (before->next.get() != &w) before = before->next.get();
    before->next.set(w.next.get());
  }
  // Marks may have been set meanwhile, so the head and the lock are taken off by subtraction.
  const std::uintptr_t shorter =
      reinterpret_cast<std::uintptr_t>(first) - reinterpret_cast<std::uintptr_t>(rest) + lock_bit;
  word_.fetch_sub(shorter, prim::release);
  return true;
}

completion::snapshot completion::complete(marks m) noexcept {
  std::uintptr_t word = 0;
  std::uintptr_t over = 0;
  do {
    word = settled(prim::relaxed);
    over = closed | (word & mark_bits) | static_cast<std::uintptr_t>(m);
  } while (!word_.compare_exchange_weak(word, over, prim::acq_rel, prim::relaxed));
  for (waiter* w = reversed(head(word)); w != nullptr;) {
    waiter* const rest = w->next.get();  // waking may end the node
    w->wake(w);
    w = rest;
  }
  return snapshot(word);
}

}  // namespace heddle::inline HEDDLE_ABI
