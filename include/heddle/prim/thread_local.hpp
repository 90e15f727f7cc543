// Thread-local values behind the seam.
#pragma once

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// Each user of thread-local storage in the library, by name. A `thread_local` in a header would be
// one object per shared library with hidden visibility; these live once, in the library.
enum class thread_slot : unsigned {
  blocking_delegate,  // sync/blocking_region
  worker,             // exec/thread_pool
  context,            // base/context_slot
  task_name,          // base/task_name
  trampoline,         // future/state
  discarding,         // future/state
  per_thread,         // probe/per_thread
  name,               // probe/names
  running,            // exec/strand, exec/timers
  inline_jobs,        // exec/inline_executor
  number,             // prim/seed
  fork_hook,          // prim/fork
  held_locks,         // sync/ranked_mutex
  caller_of,          // exec/thread_pool: whose task it runs in its own stead
  kernel_number,      // prim/inheriting_lock
  task,               // base/task_scope
  wait_slot,          // probe/wait_board
  reader_row,         // sync/reader_table
  dictionary_call,    // data/dictionary
  fork_lane,          // exec/fork
  offered_task,       // exec/task_group
  coroutine,          // coro/frame
  snapshot_row,       // data/snapshot_table: its first slot
  count,
};

// The calling thread's value, null at first. The reference is good until the thread exits.
HEDDLE_API void*& thread_value(thread_slot slot) noexcept;

// All of them in one step, indexed by slot: for code that needs several and cannot change threads
// in between.
HEDDLE_API void** thread_values() noexcept;

// Something to be done when a thread ends: an intrusive node, so that registering it allocates
// nothing of its own.
struct thread_exit_hook {
  using function = void (*)(thread_exit_hook*) noexcept;

  explicit constexpr thread_exit_hook(function f) noexcept : run(f) {}
  thread_exit_hook(const thread_exit_hook&) = delete;
  thread_exit_hook& operator=(const thread_exit_hook&) = delete;

  function run;
  thread_exit_hook* next = nullptr;

 protected:
  ~thread_exit_hook() = default;
};

// Runs the hook when the calling thread ends, after the destructors of its thread_local objects,
// the newest hook first. A hook may end its own life, and may register others, which run after it.
// The main thread's hooks run only if it ends by pthread_exit: the end of the process is not the
// end of a thread, and static destructors still find everything in place.
//
// Requires: the hook lives until it runs, and is registered once.
// Throws std::system_error when the process has no thread-specific key left, or no memory for one.
HEDDLE_API void at_thread_exit(thread_exit_hook& hook);

}  // namespace heddle::inline HEDDLE_ABI::prim
