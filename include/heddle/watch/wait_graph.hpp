// Who waits for whom: every wait of the process, and the deadlocks among them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/probe/wait_record.hpp>

namespace heddle::inline HEDDLE_ABI {

// A thread that must go on before somebody's wait can end.
struct awaited_thread {
  std::uint32_t number = 0;  // prim::thread_number
  std::string name;          // "thread 7" when it has none
};

// A thread that waits.
struct HEDDLE_API waiting_thread {
  std::uint32_t number = 0;  // prim::thread_number
  int kernel_thread_id = 0;
  std::string name;                // "thread 7" when it has none
  std::vector<std::string> tasks;  // that it is in the middle of, the innermost first
  std::string pool;                // whose worker it is; empty: of none

  wait_kind kind{};
  const void* object = nullptr;  // what it waits for; null for announced calls
  std::string object_name;       // empty when it has none
  std::chrono::nanoseconds waited{};
  bool ends_by_itself = false;  // it has a deadline, or a stop can end it

  // Those whom it waits for, as far as they are known: who holds the lock, runs the task that makes
  // the result, works in the pool that is to end. `are_suspects`: who is known to have used a
  // semaphore or queue, since those have no owner.
  std::vector<awaited_thread> awaits;
  bool are_suspects = false;

  // In one line: thread "io/1" (task "load") has waited 1.2 s for mutex "index", held by thread
  // "io/2". Throws std::bad_alloc.
  std::string to_text() const;
};

// Threads of which each waits for another one of them, so that none will ever go on.
struct HEDDLE_API deadlock {
  std::vector<waiting_thread> threads;  // in the order of a circle, where they are one
  std::vector<waiting_thread> behind;   // others that wait for these
  // Nothing but locks, results of tasks, and ends of work, whose owners are known. Else some edge
  // goes over a semaphore or a queue: a thread that never used it before could still come.
  bool is_certain = false;
  // The number of the thread whose wait was ended by a deadlock_error; 0: of none.
  std::uint32_t interrupted = 0;

  // Some lines, each but the first about one thread. Throws std::bad_alloc.
  std::string to_text() const;
  // One JSON object (RFC 8259). Times are in seconds. Throws std::bad_alloc.
  std::string to_json() const;
};

// Every thread that waits now; read it with
//
//   std::fputs(heddle::wait_graph().to_text().c_str(), stderr);
//
// Waits are looked at one after the other, each by itself as it was at one moment. Owners of locks
// are known where they are tracked (track_lock_owners, or while a watchdog lives).
struct HEDDLE_API wait_graph {
  // Takes some 100 ns for each thread, and more for names. Blocks? Only for short locks. Throws
  // std::bad_alloc. After fork the child sees itself alone.
  wait_graph();
  explicit wait_graph(std::vector<waiting_thread> of) : waits(std::move(of)) {}

  std::vector<waiting_thread> waits;  // the longest first

  // A table with a line for each. Throws std::bad_alloc.
  std::string to_text() const;
  // One JSON object (RFC 8259). Times are in seconds. Throws std::bad_alloc.
  std::string to_json() const;
};

}  // namespace heddle::inline HEDDLE_ABI
