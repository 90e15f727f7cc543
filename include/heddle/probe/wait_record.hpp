// What a blocked thread waits for, in a form that others can read.
#pragma once

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

// Lives on the stack of the thread that waits, for as long as it waits. Whoever publishes it to
// other threads guards it by a lock of its own.
struct wait_record {
  // The number (prim::thread_number) of the thread that can end the wait by letting go of the
  // object, 0 when there is none or it is not known. A moment's truth; never blocks.
  using owner_of = std::uint32_t (*)(const void* object) noexcept;

  wait_kind kind;
  const void* object;          // what is waited for; null for external calls
  const char* name = nullptr;  // of the object or call; lives as long as the wait; may be null
  prim::time_point since = prim::clock::now();
  owner_of owner = nullptr;  // null for what nobody owns: semaphores, queues, a user's promise
};

// The one that owns what is waited for, as far as can be told; 0 else. Requires: the wait lasts.
inline std::uint32_t owner(const wait_record& record) noexcept {
  return record.owner == nullptr ? 0 : record.owner(record.object);
}

// "a future", "a mutex", ...
HEDDLE_API const char* describe(wait_kind kind) noexcept;

}  // namespace heddle::inline HEDDLE_ABI
