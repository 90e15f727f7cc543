// Named locks with levels, of which any set is acquired in the one right order, all or none.
#pragma once

#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/ranked_mutex.hpp>

namespace heddle::inline HEDDLE_ABI {

// One lock as it is declared.
struct lock_level {
  std::string name;
  unsigned level = 0;
  bool recursive = false;  // the thread that holds it may acquire it again
};

// What a thread has acquired of a hierarchy, for a scope. Released in reverse order, at the latest
// by the destructor. Requires: on the thread that acquired it.
class HEDDLE_API held_locks {
 public:
  held_locks() = default;
  held_locks(held_locks&& other) noexcept
      : locks_(std::move(other.locks_)), acquired_(std::exchange(other.acquired_, false)) {}
  held_locks& operator=(held_locks&& other) noexcept {
    release();
    locks_ = std::move(other.locks_);
    acquired_ = std::exchange(other.acquired_, false);
    return *this;
  }
  ~held_locks() { release(); }

  // False when the deadline came first, and none is held; after release(); and when moved from.
  explicit operator bool() const noexcept { return acquired_; }
  void release() noexcept;

 private:
  friend class lock_hierarchy;

  std::vector<detail::ordered_mutex*> locks_;  // in the order of acquisition
  bool acquired_ = false;
};

// Locks that are known by name, with an order between them that is declared once.
//
//   lock_hierarchy locks({{"accounts", 10}, {"audit", 20}});
//   const held_locks held = locks.acquire({"audit", "accounts"});
//
// Requires of a set of names: each is above all levels that the thread holds of this hierarchy, or
// is recursive and held by it already. Those of one level can be acquired in one call only.
// Effects: lower levels first; all, or none: when the deadline comes, or something is thrown, what
// was acquired so far is released in reverse order.
// Throws, at once and in the thread that errs, before anything is acquired: lock_order_error for a
// wrong order and for a second acquisition, with both names, levels, and where the first was taken;
// std::invalid_argument for an unknown name. Also would_starve as mutex does, and std::bad_alloc.
// Thread-safety: any thread. Blocks? As heddle::mutex. Allocates: a vector for each acquisition.
// Fairness, memory ordering, statistics: those of heddle::mutex, one named mutex for each name.
// Destruction: nobody holds or waits for any of the locks.
class HEDDLE_API lock_hierarchy {
 public:
  // The names of one acquisition. Refers to them.
  class names {
   public:
    names(std::initializer_list<std::string_view> list) noexcept
        : list_(list.begin(), list.size()) {}
    names(std::span<const std::string_view> list) noexcept : list_(list) {}
    auto begin() const noexcept { return list_.begin(); }
    auto end() const noexcept { return list_.end(); }
    std::size_t size() const noexcept { return list_.size(); }

   private:
    std::span<const std::string_view> list_;
  };

  // Throws std::invalid_argument for an empty name, and for one that is declared twice.
  explicit lock_hierarchy(std::vector<lock_level> levels);
  ~lock_hierarchy();
  lock_hierarchy(const lock_hierarchy&) = delete;
  lock_hierarchy& operator=(const lock_hierarchy&) = delete;

  [[nodiscard]] held_locks acquire(names wanted,
                                   std::source_location where = std::source_location::current()) {
    return try_acquire_until(wanted, prim::never, where);
  }
  // One deadline for all of them; a lock that is free is taken also behind it.
  [[nodiscard]] held_locks try_acquire_until(
      names wanted, prim::time_point deadline,
      std::source_location where = std::source_location::current());
  template <class Rep, class Period>
  [[nodiscard]] held_locks try_acquire_for(
      names wanted, std::chrono::duration<Rep, Period> timeout,
      std::source_location where = std::source_location::current()) {
    return try_acquire_until(wanted, prim::deadline_after(timeout), where);
  }

  // Records acquisitions, waits and holds of all of them, whatever the process records.
  // Throws std::bad_alloc.
  void record(lock_recording what);
  // Throws std::invalid_argument for an unknown name.
  lock_statistics statistics(std::string_view name) const;

 private:
  struct named_lock;

  named_lock& find(std::string_view name) const;

  std::vector<std::unique_ptr<named_lock>> locks_;  // sorted by name
};

}  // namespace heddle::inline HEDDLE_ABI
