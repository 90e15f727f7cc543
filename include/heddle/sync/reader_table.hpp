// Where the readers of reader-writer locks make themselves visible without writing to anything that
// they share with each other. For the library's own use.
#pragma once

#include <cstddef>
#include <span>

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/asymmetric_fence.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// What one thread reads just now: a few slots, each with a lock's address or null. The thread alone
// writes them, writers of any lock look at them. Rows are static and never freed, so that a reader
// may touch its row after its lock is gone.
class alignas(destructive_interference) reader_row final : prim::thread_exit_hook {
 public:
  using slot = prim::atomic<const void*>;

  constexpr reader_row() noexcept : prim::thread_exit_hook(nullptr) {}

  // The calling thread's row; null before it has entered.
  static reader_row* mine() noexcept {
    return static_cast<reader_row*>(prim::thread_value(prim::thread_slot::reader_row));
  }
  // Gives the calling thread a row until it ends; when there is none left, the one without a free
  // slot.
  HEDDLE_API static void enter() noexcept;
  // All rows that threads have now or had before. In the order of seq_cst operations a row is among
  // them before its thread has written to a slot.
  static std::span<reader_row> used() noexcept;

  // The row's own thread: a slot that has this value, or null.
  slot* find(const void* value) noexcept {
    for (slot& s : slots_) {
      if (s.load(prim::relaxed) == value) return &s;
    }
    return nullptr;
  }
  // The same: empties the slot, and wakes those who wait for that.
  void give_up(slot& s) noexcept {
    s.store(nullptr, prim::release);
    prim::light_fence();
    if (wanted_.load(prim::relaxed)) [[unlikely]]
      wake(s);
  }

  // Everybody else.
  std::span<const slot> slots() const noexcept { return slots_; }
  // Sleeps until the slot has no longer this value; false when the limit came first.
  // Requires: the caller is inside a blocking_region.
  bool sleep_while(const slot& s, const void* value, const wait_limit& limit);

 private:
  static void thread_ends(prim::thread_exit_hook* hook) noexcept;

  HEDDLE_API void wake(const slot& s) noexcept;
  bool withdraw(wait_queue::node& n) noexcept;

  slot slots_[prim::limits::reader_slots] = {};
  prim::atomic<bool> wanted_{false};  // somebody sleeps below; changes under the lock
  prim::atomic<bool> taken_{false};   // it belongs to a thread
  prim::short_lock lock_;
  wait_queue sleepers_ HEDDLE_GUARDED_BY(lock_);
};

}  // namespace heddle::inline HEDDLE_ABI::detail
