// What parallel_invoke and coro::fork_join are made of: what may be taken from its owner. Users
// need algorithm/parallel_invoke.hpp and coro/fork.hpp.
#pragma once

#include <cstdint>
#include <new>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/lockfree/split_deque.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/thread_local.hpp>
#include <heddle/prim/thread_table.hpp>
#include <heddle/probe/counters.hpp>
#include <heddle/sync/completion.hpp>

namespace heddle::inline HEDDLE_ABI {
class thread_pool;
}

namespace heddle::inline HEDDLE_ABI::detail {

class pool_core;
class fork_lane;

// What its owner has put where others may take it: a child, or the rest of a coroutine.
class fork_entry {
 public:
  // Called by who has taken it, once. Nobody touches the entry afterwards.
  using function = void (*)(fork_entry*, fork_lane& thief) noexcept;

  fork_entry(const fork_entry&) = delete;
  fork_entry& operator=(const fork_entry&) = delete;

 protected:
  explicit fork_entry(function taken) noexcept : taken_(taken) {}
  ~fork_entry() = default;

 private:
  friend class fork_lane;

  const function taken_;
  std::uint8_t level_ = 0;  // how urgent its owner is
};

// A child of parallel_invoke. It lives on the parent's stack, and the parent does not go on before
// it has the child back or the child has run.
class HEDDLE_API fork_job : public fork_entry {
 protected:
  using body = void (*)(fork_job*) noexcept;

  // fork_job(&taken<&my_child::run>, context)
  template <body Run>
  static void taken(fork_entry* e, fork_lane& thief) noexcept {
    static_cast<fork_job*>(e)->run_stolen(thief, Run);
  }
  fork_job(function when_taken, context_ref context) noexcept
      : fork_entry(when_taken), context_(context) {}
  ~fork_job() = default;

  // Of a child that was taken: whether it has run. What it did happened before.
  bool has_run() const noexcept { return done_.done(); }

 private:
  friend class fork_lane;

  void run_stolen(fork_lane& thief, body run) noexcept;

  const context_ref context_;  // the parent's, which keeps it
  // Of a child that was taken: who runs it, and that it has run.
  prim::atomic<fork_lane*> thief_{nullptr};
  completion done_;
};

// An entry as it lies in a lane. What it is can be told before it is taken, when it must not be
// touched: whoever waits in the middle of a task may run a child on top of that, but not the rest
// of a coroutine, which may wait for what is beneath.
class fork_ref {
 public:
  explicit fork_ref(std::uintptr_t word = 0) noexcept : word_(word) {}
  static fork_ref to_child(fork_entry& child) noexcept {
    return fork_ref(reinterpret_cast<std::uintptr_t>(&child));
  }
  static fork_ref to_rest(fork_entry& rest) noexcept {
    return fork_ref(reinterpret_cast<std::uintptr_t>(&rest) | rest_mark);
  }

  bool is_rest() const noexcept { return (word_ & rest_mark) != 0; }
  fork_entry* entry() const noexcept { return reinterpret_cast<fork_entry*>(word_ & ~rest_mark); }
  std::uintptr_t word() const noexcept { return word_; }

 private:
  static constexpr std::uintptr_t rest_mark = 1;

  std::uintptr_t word_;
};

// A worker thread's place for its children. It belongs to the thread and not to the slot: a thread
// that blocks, and gives its slot away, has them on its stack all the same.
//
// Protocol: docs/protocols/fork_join.md.
class HEDDLE_API fork_lane {
 public:
  explicit fork_lane(pool_core& core);  // throws std::bad_alloc
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
  bool push(fork_job& child) noexcept { return push(child, fork_ref::to_child(child)); }
  bool push_rest(fork_entry& rest) noexcept { return push(rest, fork_ref::to_rest(rest)); }
  // The child pushed last is back; or somebody has taken it, and wait_for() is due.
  bool take_back() noexcept {
    std::uintptr_t child = 0;
    return deque_.pop(child);
  }
  void wait_for(fork_job& child) noexcept;
  // The same as push_rest() where there is room. True: answer() is due.
  bool has_room() const noexcept { return deque_.has_room(); }
  bool push_rest_into_room(fork_entry& rest) noexcept {
    rest.level_ = mark_->level;
    return deque_.push_into_room(fork_ref::to_rest(rest).word());
  }
  void answer() noexcept {
    deque_.answer();
    wake();
  }
  // The owner's: whether the child pushed last is still there for certain, and nobody has asked.
  // Then whoever takes it sees what the owner wrote before.
  bool keeps_newest() const noexcept { return deque_.keeps_newest(); }
  // The owner's: whether there is nothing that others could take, or somebody has asked for it.
  bool wants_a_child() const noexcept { return deque_.is_asked() || deque_.empty(); }

  // For tasks of that executor that fork in the middle of a job: the calling worker's lane, open
  // from here on until close(), by whoever runs the job. Null: the thread is no worker of that
  // pool, or has a lane open already.
  static fork_lane* open_for(executor_ref home) noexcept;
  void close() noexcept;
  bool serves(executor_ref home) const noexcept { return home == home_; }

  // The owner's: where the next entry comes to lie; and the newest one from `floor` on. Null: all
  // were taken back, or by thieves; what these did before happened before the return.
  std::int64_t height() const noexcept { return deque_.end(); }
  fork_entry* take_newest(std::int64_t floor) noexcept {
    if (deque_.end() == floor) return nullptr;
    std::uintptr_t newest = 0;
    if (deque_.pop(newest)) [[likely]]
      return fork_ref(newest).entry();
    prim::fence(prim::acquire);
    return nullptr;
  }
  // The same in two steps, by who knows what it is, and that it is not below the floor. False:
  // thieves are near, and end_taking_back() has to tell whether it was taken.
  bool begin_to_take_back() noexcept { return deque_.begin_pop(); }
  bool end_taking_back() noexcept {
    const bool is_back = deque_.end_pop();
    if (!is_back) prim::fence(prim::acquire);
    return is_back;
  }

 private:
  friend class pool_core;
  friend class worker;
  using theft = split_deque<std::uintptr_t>::theft;

  bool push(fork_entry& e, fork_ref ref) noexcept {
    e.level_ = mark_->level;
    try {
      if (deque_.push(ref.word())) [[unlikely]]
        wake();
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }
  void adopt(worker_mark& mark) noexcept;
  bool may_have_children() const noexcept {
    return is_open_.load(prim::relaxed) && !deque_.empty();
  }
  bool stack_is_used_up() const noexcept {
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) <= stack_floor_;
  }
  void open() noexcept;
  void wake() noexcept;
  void disown() noexcept { owned_.store(false, prim::release); }
  void run_stolen(fork_entry& child) noexcept;
  bool run_descendant_of(fork_job& child) noexcept;

  split_deque<std::uintptr_t> deque_;  // of fork_refs
  // The owner's.
  const executor_ref home_;
  pool_core& core_;
  worker_mark* mark_ = nullptr;
  std::uintptr_t stack_end_ = 0;    // it goes on elsewhere below this
  std::uintptr_t stack_floor_ = 0;  // or, where nobody else can, below this
  unsigned depth_ = 0;              // of scopes in which it is open
  // The pool's.
  fork_lane* next_ = nullptr;
  prim::atomic<bool> is_open_{false};
  prim::atomic<bool> owned_{true};
  // Of what the owner has taken, or tries to take, as a worker without another task.
  owned_counter visits_begun_, visits_ended_;
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
