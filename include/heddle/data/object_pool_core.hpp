// What of an object_pool does not depend on the type of its objects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <heddle/base/cache_line.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/asymmetric_fence.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/fork.hpp>
#include <heddle/probe/counters.hpp>
#include <heddle/probe/per_thread.hpp>

namespace heddle::inline HEDDLE_ABI {

// How many objects a pool keeps. With 0 of both kinds nothing is kept: an object that is given back
// is destroyed.
struct object_pool_options {
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  // That the constructor makes. The store has room for them in any case.
  std::size_t initial = 0;
  // Idle ones that a thread has for itself, at most. With 0 each is fetched from the store.
  std::size_t kept_per_thread = 64;
  // Idle ones in the store, at most. A portion that has no room there whole is destroyed. What
  // threads that end leave is kept in any case, and only later counted.
  std::size_t kept_shared = 1024;
  // Objects, idle ones included. Beyond it acquire() throws; it never waits.
  std::size_t most = unlimited;
};

struct object_pool_statistics {
  std::uint64_t created = 0;
  std::uint64_t reused = 0;     // leases that needed no new object
  std::uint64_t returned = 0;   // leases that have ended
  std::uint64_t discarded = 0;  // objects that were destroyed, for whatever reason
  // Of a thread: leases that it had taken and not ended itself, at most at one time (what others
  // end for it is not subtracted). Of the pool: objects that there were, idle ones included, at
  // most at one time.
  std::uint64_t peak = 0;
};

namespace detail {

class object_pool_core;

// The head of an object.
struct pooled {
  struct links {
    pooled* next = nullptr;        // in its portion
    pooled* next_first = nullptr;  // the first of another portion, as this one is of its own
    std::size_t size = 0;          // of its portion, if it is the first
  };
  prim::cell<links> in_portion;
  void* object = nullptr;
};

// What a thread has of a pool: objects that it keeps, and counts. Only the thread changes them,
// unless it has ended, or the pool has been closed and the thread is not inside.
class HEDDLE_API pool_place {
 public:
  pool_place(object_pool_core& pool, std::size_t capacity);
  pool_place(const pool_place&) = delete;
  pool_place& operator=(const pool_place&) = delete;

  // Between the two the pool's end waits for this thread. False, and it does not, when the pool has
  // been closed.
  bool enter(const prim::atomic<bool>& closed) noexcept {
    inside_.store(true, prim::relaxed);
    prim::light_fence();
    if (!closed.load(prim::relaxed)) [[likely]]
      return true;
    leave();
    return false;
  }
  void leave() noexcept { inside_.store(false, prim::release); }
  bool is_inside() const noexcept { return inside_.load(prim::acquire); }

  // Null when it has none. The latest one has a field of its own: a take and a give-back in turn
  // need neither size nor array.
  pooled* pop() noexcept {
    if (pooled* const p = latest_.get()) [[likely]] {
      latest_.set(nullptr);
      return p;
    }
    const std::size_t size = size_.get();
    if (size == 0) return nullptr;
    size_.set(size - 1);
    return kept_[size - 1].get();
  }
  // False when it has no room.
  bool push(pooled* p) noexcept {
    pooled* const before = latest_.get();
    if (before != nullptr) {
      const std::size_t size = size_.get();
      if (size + 1 == capacity_) return false;
      kept_[size].set(before);
      size_.set(size + 1);
    } else if (capacity_ == 0) [[unlikely]] {
      return false;
    }
    latest_.set(p);
    return true;
  }
  // The oldest ones as a portion, so many of them if there are; null when there is none.
  pooled* cut(std::size_t count) noexcept;
  pooled* cut_all() noexcept { return cut(capacity_); }

  void count_taken() noexcept {
    taken.add();
    const auto out = static_cast<std::int64_t>(taken.read() - returned.read());
    if (out > peak_.load(prim::relaxed)) peak_.store(out, prim::relaxed);
  }
  object_pool_statistics statistics() const;

  // Whether its thread is one of this process, and not of the one that it was forked from.
  bool is_of_this_process() const noexcept {
    return generation_.load(prim::relaxed) == prim::fork_generation();
  }

  void taken_over() noexcept;
  void left_behind() noexcept;

  owned_counter taken;
  owned_counter made;  // of the taken ones; counted after them
  owned_counter returned;
  owned_counter discarded;

 private:
  prim::atomic<bool> inside_{false};
  prim::cell<pooled*> latest_;
  prim::cell<std::size_t> size_;  // of the array, which has one less than the capacity, but in cut
  const std::size_t capacity_;
  const std::unique_ptr<prim::cell<pooled*>[]> kept_;
  prim::atomic<std::int64_t> peak_{0};
  prim::atomic<unsigned> generation_;  // of the process in which its thread has begun to use it
  object_pool_core& pool_;
};

// Lives until the pool has been closed and the last lease has ended.
class HEDDLE_API object_pool_core {
 public:
  object_pool_core(const object_pool_options& options, bool resets);
  object_pool_core(const object_pool_core&) = delete;
  object_pool_core& operator=(const object_pool_core&) = delete;

  // Null when there may be no more.
  pooled* take() {
    pool_place& mine = places_.local();
    if (!mine.is_of_this_process()) [[unlikely]]
      mine.taken_over();  // by the child that its thread has forked off
    pooled* const p = mine.pop();
    if (p == nullptr) [[unlikely]]
      return take_elsewhere(mine);
    mine.count_taken();
    return p;
  }

  void give_back(pooled* p) noexcept {
    if (resets_ && !closed_.load(prim::relaxed) && !reset_worked(p)) [[unlikely]]
      return discard(p);
    pool_place* const mine = places_.find();
    if (mine == nullptr || !mine->enter(closed_)) [[unlikely]]
      return give_back_elsewhere(p);
    const bool kept = mine->push(p);
    if (kept) [[likely]]
      mine->returned.add();
    mine->leave();
    if (!kept) [[unlikely]]
      give_back_elsewhere(p);
  }

  void discard(pooled* p) noexcept;

  // The pool's destructor: nobody takes any more. Who gives back may be inside, or come later.
  void close() noexcept;

  [[noreturn]] void fail_exhausted() const;
  object_pool_statistics statistics() const;
  std::vector<object_pool_statistics> statistics_by_thread() const;

 protected:
  virtual ~object_pool_core();
  void fill(std::size_t count);

 private:
  friend class pool_place;

  // May throw. The one that destroys does the reverse of making.
  virtual pooled* make() = 0;
  virtual void reset(pooled& p) = 0;
  virtual void destroy(pooled* p) noexcept = 0;
  virtual void end() noexcept = 0;  // of the core

  // Its lock is that of the store.
  struct HEDDLE_CAPABILITY("mutex") places : per_thread<pool_place> {
    using per_thread::per_thread;
    void lock() const noexcept HEDDLE_ACQUIRE() { per_thread::lock(); }
    void unlock() const noexcept HEDDLE_RELEASE() { per_thread::unlock(); }
  };

  pooled* take_elsewhere(pool_place& mine);
  pooled* made();
  bool reset_worked(pooled* p) noexcept;
  void give_back_elsewhere(pooled* p) noexcept;
  pool_place* place_of_this_thread() noexcept;
  void end_lease(pool_place* mine) noexcept;
  void end_leases(std::int64_t count) noexcept;
  void destroy_portions(pooled* first, pool_place* mine) noexcept;

  void store(pooled* first) noexcept HEDDLE_REQUIRES(places_);
  pooled* fetch() noexcept;
  pooled* fetch_excess() noexcept HEDDLE_REQUIRES(places_);

  const object_pool_options options_;
  const std::size_t portion_;
  const bool resets_;
  prim::atomic<bool> closed_{false};
  places places_;

  // The store: changed under the lock of places_.
  alignas(destructive_interference) prim::cell<pooled*> store_;
  prim::atomic<std::size_t> stored_{0};      // objects there
  prim::cell<std::int64_t> returned_there_;  // by threads without a place
  shared_counter discarded_there_;

  alignas(destructive_interference) prim::atomic<std::size_t> existing_{0};
  prim::atomic<std::size_t> peak_{0};  // of existing_
  // When the pool has been closed: leases that are out. Before, nothing; a lease that ends between
  // closing and counting makes it negative for a while.
  prim::atomic<std::int64_t> out_{0};
};

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI
