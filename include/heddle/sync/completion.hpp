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
// Whoever builds on it has three marks in the same word, which are set once and never taken back:
// setting one tells which were there before, and whether it had happened.
//
// Thread-safety: complete() once; everything else from any thread.
// Memory ordering: what happened before complete() happened before a done() that returns true, an
// attach() that returns false, and every wake(). Of the marks: as told to set() and look().
// Destruction: the owner keeps it alive until complete() has returned; the waiters need not. An
// owner who knows by the marks that it is wanted no more, or is the only one that ever waits, may
// destroy it as soon as it is done.
// Protocol: docs/protocols/future.md.
class HEDDLE_API completion {
 public:
  enum class marks : std::uintptr_t { none = 0, first = 1, second = 2, third = 4 };
  friend constexpr marks operator|(marks a, marks b) noexcept {
    return static_cast<marks>(static_cast<std::uintptr_t>(a) | static_cast<std::uintptr_t>(b));
  }

  // The word at one moment.
  class snapshot {
   public:
    bool done() const noexcept { return (word_ & ~mark_bits) == closed; }
    // All of them.
    bool has(marks m) const noexcept { return (~word_ & static_cast<std::uintptr_t>(m)) == 0; }

   private:
    friend class completion;
    explicit constexpr snapshot(std::uintptr_t word) noexcept : word_(word) {}

    std::uintptr_t word_;
  };

  constexpr completion() noexcept = default;
  // With marks from the start; or over before it began.
  explicit constexpr completion(marks m) noexcept : word_(static_cast<std::uintptr_t>(m)) {}
  static constexpr struct happened_t {
  } happened{};
  constexpr completion(happened_t, marks m) noexcept
      : word_(closed | static_cast<std::uintptr_t>(m)) {}
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;

  bool done() const noexcept { return look(prim::acquire).done(); }

  // Adds a waiter, or returns false because it has happened.
  // Lock-free but for a detach() in progress.
  bool attach(waiter& w) noexcept;

  // Takes a waiter out again. False: complete() has it, and wakes it or has woken it.
  // Requires: w was attached here. Complexity: linear in the waiters.
  bool detach(waiter& w) noexcept;

  // Lets it happen, sets the marks as well, and wakes the waiters in the order in which they came.
  // Returns what was there before. One read-modify-write, unless others change the word meanwhile.
  snapshot complete(marks m = marks::none) noexcept;

  snapshot look(prim::memory_order order) const noexcept { return snapshot(word_.load(order)); }

  // Sets marks by one read-modify-write; returns what was there before.
  snapshot set(marks m, prim::memory_order order) noexcept {
    return snapshot(word_.fetch_or(static_cast<std::uintptr_t>(m), order));
  }

 private:
  // Three bits of marks, the lock bit, and the head of the list above them. Somebody who unlinks a
  // node locks the list, which then has at least that node; a list that is locked and empty is
  // closed for good: it has happened.
  static constexpr std::uintptr_t mark_bits = 7;
  static constexpr std::uintptr_t lock_bit = 8;
  static constexpr std::uintptr_t closed = lock_bit;

  static waiter* head(std::uintptr_t word) noexcept {
    return reinterpret_cast<waiter*>(word & ~(lock_bit | mark_bits));
  }

  std::uintptr_t settled(prim::memory_order order) const noexcept;

  prim::atomic<std::uintptr_t> word_{0};
};

}  // namespace heddle::inline HEDDLE_ABI
