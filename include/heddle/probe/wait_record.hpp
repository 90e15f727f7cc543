// What a blocked thread waits for, in a form that others can read.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

enum class wait_kind : std::uint8_t {
  future,       // a result
  several,      // one or all of several results
  mutex,        // a lock
  event,        // a condition of the program
  shutdown,     // the end of an executor's work
  external,     // a blocking call that the program announced
  rw_lock,      // a reader-writer lock, to read or to write
  condition,    // a condition variable
  semaphore,    // units of a semaphore
  barrier,      // the others at a barrier
  latch,        // the counting down of a latch
  lazy,         // a value that another thread is making
  full_queue,   // room in a queue
  empty_queue,  // an item of a queue
  join,         // the end of threads or of other work
};

class lock_probe;

// Lives on the stack of the thread that waits, for as long as it waits; what it names lives as
// long. Each blocking_region shows it to others on the board (probe/wait_board.hpp), who look at it
// under a lock that holds the end of the wait up. Every function here is for them: it never blocks.
//
// Sites derive from it where the functions need to know more than the object.
struct wait_record {
  // The number (prim::thread_number) of the thread that can end the wait by letting go of the
  // object, 0 when there is none or it is not known. A moment's truth.
  using owner_of = std::uint32_t (*)(const void* object) noexcept;

  wait_kind kind;
  const void* object;          // what is waited for; null for external calls
  const char* name = nullptr;  // of the object or call; lives as long as the wait; may be null
  prim::time_point since = prim::clock::now();
  owner_of owner = nullptr;    // null for what nobody owns: semaphores, queues, a user's promise
  const void* held = nullptr;  // what `owner` is asked about, where that is not the object
  const lock_probe* probe = nullptr;  // the object's; may be null

  // Waits that end by themselves.
  prim::time_point deadline = prim::never;
  bool stoppable = false;

  // For what has no owner: who used this probe (lock_probe::took and gave) can end the wait, as far
  // as is known; null where uses are not noted. For a semaphore its own, for a full queue that of
  // those who get. While others hold so many units of a semaphore, the wait
  // lasts; 0 where those who take do not give back.
  const lock_probe* rescuers = nullptr;
  std::uint64_t units = 0;

  // Whether the wait is over but for the thread's waking. Null where the owner or those who hold
  // the units tell.
  bool (*over)(const wait_record&) noexcept = nullptr;
  // Where one of several events ends it: the i-th that has not happened, null behind the last.
  const void* (*alternative)(const wait_record&, std::size_t i) noexcept = nullptr;
  // Ends the wait, which then throws deadlock_error with this text (from std::malloc, and now the
  // waiter's). False, and nothing has happened, when the wait is over or has not begun. Null where
  // the wait must not throw.
  bool (*interrupt)(wait_record&, char* verdict) noexcept = nullptr;
  char* verdict = nullptr;  // null unless interrupted; the waiter's, as soon as it is awake
};

// The one that owns what is waited for, as far as can be told; 0 else. Requires: the wait lasts.
inline std::uint32_t owner(const wait_record& record) noexcept {
  if (record.owner == nullptr) return 0;
  return record.owner(record.held != nullptr ? record.held : record.object);
}

// Throws deadlock_error with the verdict, which is freed. Requires: the wait was interrupted.
[[noreturn]] HEDDLE_API void throw_verdict(wait_record& record);

// "a future", "a mutex", ...
HEDDLE_API const char* describe(wait_kind kind) noexcept;

}  // namespace heddle::inline HEDDLE_ABI
