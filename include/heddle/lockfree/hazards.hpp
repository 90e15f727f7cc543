// Who holds which block: so that nobody frees it meanwhile.
#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Hazard pointers that calls hold, not threads: so they need no thread-local memory, and a thread
// that ends leaves nothing behind. Entering one in a record takes the read-modify-write that a
// hazard pointer needs anyway as its fence.
//
// Source: Michael, "Hazard pointers: safe memory reclamation for lock-free objects", TPDS 2004.
class hazards {
  struct alignas(destructive_interference) record {
    prim::atomic<const void*> held{nullptr};
  };
  struct group {
    std::array<record, prim::limits::hazard_records> records;
    prim::atomic<group*> next{nullptr};
  };

 public:
  hazards() = default;
  ~hazards() {
    for (group* g = first_.next.load(prim::acquire); g != nullptr;) {
      destroy_object(std::exchange(g, g->next.load(prim::acquire)));
    }
  }
  hazards(const hazards&) = delete;
  hazards& operator=(const hazards&) = delete;

  // Holds the block at which a pointer points. It is not freed as long as it is held, if whoever
  // frees it first makes the pointer point elsewhere, for good, by a seq_cst exchange, and then
  // asks holds().
  template <class Block>
  class guard {
   public:
    guard(hazards& all, const prim::atomic<Block*>& pointer) noexcept
        : pointer_(pointer), block_(pointer.load(prim::relaxed)), record_(all.enter(block_)) {
      confirm();
    }
    ~guard() { record_.held.store(nullptr, prim::release); }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;

    // Lets the block go, and holds the one at which the pointer points now.
    void follow() noexcept {
      block_ = pointer_.load(prim::relaxed);
      record_.held.store(block_, prim::seq_cst);
      confirm();
    }

    Block& operator*() const noexcept { return *block_; }

   private:
    // It may have been freed before it was entered.
    void confirm() noexcept {
      for (;;) {
        Block* const now = pointer_.load(prim::seq_cst);
        if (now == block_) return;
        block_ = now;
        record_.held.store(block_, prim::seq_cst);
      }
    }

    const prim::atomic<Block*>& pointer_;
    Block* block_;
    record& record_;
  };

  bool holds(const void* block) const noexcept {
    for (const group* g = &first_; g != nullptr; g = g->next.load(prim::seq_cst)) {
      for (const record& r : g->records) {
        if (r.held.load(prim::seq_cst) == block) return true;
      }
    }
    return false;
  }

 private:
  // Enters the block in a free record. When more calls are under way than there are records, it
  // makes more; when there is no memory for them, it waits for one of the calls to end.
  record& enter(const void* block) noexcept {
    const std::size_t start = prim::thread_number();
    for (group* g = &first_;; g = next_of(*g)) {
      for (std::size_t i = 0; i < g->records.size(); ++i) {
        record& r = g->records[(start + i) % g->records.size()];
        const void* free = nullptr;
        if (r.held.load(prim::relaxed) == nullptr &&
            r.held.compare_exchange_strong(free, block, prim::seq_cst, prim::relaxed)) {
          return r;
        }
      }
    }
  }

  group* next_of(group& g) noexcept {
    if (group* const next = g.next.load(prim::acquire)) return next;
    group* added = nullptr;
    try {
      added = make_object<group>();
    } catch (const std::bad_alloc&) {
      prim::yield();
      return &first_;
    }
    group* next = nullptr;
    if (g.next.compare_exchange_strong(next, added, prim::seq_cst, prim::acquire)) return added;
    destroy_object(added);
    return next;
  }

  group first_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
