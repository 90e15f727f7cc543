// Something that happens once, and those who wait for it: the heart of a future.
#pragma once

#include <cstdint>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI {

// A one-shot event in one word, with an intrusive list of waiters.
//
// Each waiter leaves the list exactly once: complete() takes it and wakes it, or detach() takes it
// and nobody wakes it. There is no third way, so whoever detaches without success knows that one
// wake-up is on its way and must receive it before the node may die.
//
// Thread-safety: complete() once; everything else from any thread.
// Memory ordering: what happened before complete() happened before a done() that returns true, an
// attach() that returns false, and every wake().
// Destruction: the owner keeps it alive until complete() has returned; the waiters need not.
// Protocol: docs/protocols/future.md.
class HEDDLE_API completion {
 public:
  completion() = default;
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;

  bool done() const noexcept { return word_.load(prim::acquire) == done_word; }

  // Adds a waiter, or returns false because it has happened.
  // Lock-free but for a detach() in progress.
  bool attach(waiter& w) noexcept;

  // Takes a waiter out again. False: complete() has it, and wakes it or has woken it.
  // Requires: w was attached here. Complexity: linear in the waiters.
  bool detach(waiter& w) noexcept;

  // Lets it happen, and wakes the waiters in the order in which they came.
  void complete() noexcept;

 private:
  // The word: nothing, a list's head, a head with the lock bit while somebody unlinks, or done.
  static constexpr std::uintptr_t done_word = 1;
  static constexpr std::uintptr_t lock_bit = 2;

  static waiter* head(std::uintptr_t word) noexcept {
    return reinterpret_cast<waiter*>(word & ~lock_bit);
  }

  std::uintptr_t settled(prim::memory_order order) const noexcept;

  prim::atomic<std::uintptr_t> word_{0};
};

}  // namespace heddle::inline HEDDLE_ABI
