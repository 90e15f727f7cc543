#include <heddle/prim/patience.hpp>
#include <heddle/sync/completion.hpp>

namespace heddle::inline HEDDLE_ABI {
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
    if ((word & lock_bit) == 0) return word;
    spin.wait();
  }
}

bool completion::attach(waiter& w) noexcept {
  for (;;) {
    std::uintptr_t word = settled(prim::acquire);
    if (word == done_word) return false;
    w.next.set(head(word));
    if (word_.compare_exchange_weak(word, reinterpret_cast<std::uintptr_t>(&w), prim::release,
                                    prim::relaxed)) {
      return true;
    }
  }
}

bool completion::detach(waiter& w) noexcept {
  std::uintptr_t word = 0;
  do {
    word = settled(prim::acquire);
    if (word == done_word) return false;
  } while (!word_.compare_exchange_weak(word, word | lock_bit, prim::acquire, prim::relaxed));
  waiter* first = head(word);
  if (first == &w) {
    first = w.next.get();
  } else {
    waiter* before = first;
    while (before->next.get() != &w) before = before->next.get();
    before->next.set(w.next.get());
  }
  word_.store(reinterpret_cast<std::uintptr_t>(first), prim::release);
  return true;
}

void completion::complete() noexcept {
  std::uintptr_t word = 0;
  do {
    word = settled(prim::relaxed);
  } while (!word_.compare_exchange_weak(word, done_word, prim::acq_rel, prim::relaxed));
  for (waiter* w = reversed(head(word)); w != nullptr;) {
    waiter* const rest = w->next.get();  // waking may end the node
    w->wake(w);
    w = rest;
  }
}

}  // namespace heddle::inline HEDDLE_ABI
