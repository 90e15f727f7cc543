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

bool completion::attach(waiter& w) noexcept {
  prim::patience spin;  // the lock bit is held for the length of a list walk
  std::uintptr_t word = word_.load(prim::acquire);
  for (;;) {
    if (word == done_word) return false;
    if ((word & lock_bit) != 0) {
      spin.wait();
      word = word_.load(prim::acquire);
      continue;
    }
    w.next.set(head(word));
    if (word_.compare_exchange_weak(word, reinterpret_cast<std::uintptr_t>(&w), prim::release,
                                    prim::acquire)) {
      return true;
    }
  }
}

bool completion::detach(waiter& w) noexcept {
  prim::patience spin;  // the lock bit is held for the length of a list walk
  std::uintptr_t word = word_.load(prim::acquire);
  for (;;) {
    if (word == done_word) return false;
    if ((word & lock_bit) != 0) {
      spin.wait();
      word = word_.load(prim::acquire);
      continue;
    }
    if (word_.compare_exchange_weak(word, word | lock_bit, prim::acquire, prim::acquire)) break;
  }
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
  prim::patience spin;  // the lock bit is held for the length of a list walk
  std::uintptr_t word = word_.load(prim::relaxed);
  for (;;) {
    if ((word & lock_bit) != 0) {
      spin.wait();
      word = word_.load(prim::relaxed);
      continue;
    }
    if (word_.compare_exchange_weak(word, done_word, prim::acq_rel, prim::relaxed)) break;
  }
  for (waiter* w = reversed(head(word)); w != nullptr;) {
    waiter* const rest = w->next.get();  // waking may end the node
    w->wake(w);
    w = rest;
  }
}

}  // namespace heddle::inline HEDDLE_ABI
