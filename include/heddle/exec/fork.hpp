// What parallel_invoke is made of: children on their parents' stacks. Users need
// algorithm/parallel_invoke.hpp.
#pragma once

#include <cstdint>
#include <new>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/lockfree/split_deque.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/prim/thread_table.hpp>
#include <heddle/sync/completion.hpp>

namespace heddle::inline HEDDLE_ABI {
class thread_pool;
}

namespace heddle::inline HEDDLE_ABI::detail {

class pool_core;
class fork_lane;

// A child that its parent has put where others may take it. It lives on the parent's stack, and the
// parent does not go on before it has the child back or the child has run.
class fork_job {
 public:
  using function = void (*)(fork_job*) noexcept;

  fork_job(const fork_job&) = delete;
  fork_job& operator=(const fork_job&) = delete;

 protected:
  fork_job(function run, context_ref context) noexcept : run_(run), context_(context) {}
  ~fork_job() = default;

 private:
  friend class fork_lane;

  const function run_;
  const context_ref context_;  // the parent's, which keeps it
  std::uint8_t level_ = 0;     // how urgent the parent is
  // Of a child that was taken: who runs it, and that it has run.
  prim::atomic<fork_lane*> thief_{nullptr};
  completion done_;
};

// A worker thread's place for its children. It belongs to the thread and not to the slot: a thread
// that blocks, and gives its slot away, has them on its stack all the same.
//
// Protocol: docs/protocols/fork_join.md.
class HEDDLE_API fork_lane {
 public:
  explicit fork_lane(pool_core& core) : core_(core) {}  // throws std::bad_alloc
  fork_lane(const fork_lane&) = delete;
  fork_lane& operator=(const fork_lane&) = delete;

  // The calling thread's while it is open; null on threads that must open theirs first, if they
  // have one.
  static fork_lane* of_this_thread() noexcept {
    return static_cast<fork_lane*>(
        prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::fork_lane)]);
  }
  // The same, but only a lane of that pool.
  static fork_lane* of_this_thread(thread_pool& pool) noexcept;
  static context_ref context_of_this_thread() noexcept {
    return static_cast<context_ref>(
        prim::inlined_thread_values()[static_cast<unsigned>(prim::thread_slot::context)]);
  }

  // Whether the calling thread's stack has room for a task of ordinary appetite.
  bool has_stack() const noexcept {
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) > stack_end_;
  }

  // The owner's, for its children in the order of a stack. False: there is no memory for it.
  bool push(fork_job& child) noexcept {
    child.level_ = mark_->level;
    try {
      if (deque_.push(&child)) [[unlikely]]
        wake();
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }
  // The child pushed last is back; or somebody has taken it, and wait_for() is due.
  bool take_back() noexcept {
    fork_job* child = nullptr;
    return deque_.pop(child);
  }
  void wait_for(fork_job& child) noexcept;
  // The owner's: whether there is nothing that others could take, or somebody has asked for it.
  bool wants_a_child() const noexcept { return deque_.is_asked() || deque_.empty(); }

 private:
  friend class pool_core;
  friend class worker;
  using theft = split_deque<fork_job*>::theft;

  void adopt(worker_mark& mark) noexcept;
  bool may_have_children() const noexcept {
    return is_open_.load(prim::relaxed) && !deque_.empty();
  }
  bool stack_is_used_up() const noexcept {
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) <= stack_floor_;
  }
  void open() noexcept;
  void close() noexcept;
  void wake() noexcept;
  void disown() noexcept { owned_.store(false, prim::release); }
  void run_stolen(fork_job& child) noexcept;
  bool run_descendant_of(fork_job& child) noexcept;

  split_deque<fork_job*> deque_;
  // The owner's.
  pool_core& core_;
  worker_mark* mark_ = nullptr;
  std::uintptr_t stack_end_ = 0;    // it goes on elsewhere below this
  std::uintptr_t stack_floor_ = 0;  // or, where nobody else can, below this
  unsigned depth_ = 0;              // of scopes in which it is open
  // The pool's.
  fork_lane* next_ = nullptr;
  prim::atomic<bool> is_open_{false};
  prim::atomic<bool> owned_{true};
};

// Calls `call(context, lane)` where there is a lane, or with none when there is no worker that
// could do it. Throws what it throws.
using fork_call = void (*)(void* context, fork_lane* lane);
HEDDLE_API void call_with_lane(fork_call call, void* context);

// The same on that pool: on a worker of its own in place, else as a task of it, for which the
// calling thread waits; with no lane where the worker has no memory for one, or the pool runs tasks
// in their submitters' stead. Throws as thread_pool::submit, would_starve and `cancelled` as well;
// then the call has not been made.
HEDDLE_API void call_with_lane(thread_pool& pool, fork_call call, void* context);

}  // namespace heddle::inline HEDDLE_ABI::detail
