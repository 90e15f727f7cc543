// What a blocked thread waits for, in a form that others can read.
#pragma once

#include <cstdint>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

enum class wait_kind : std::uint8_t {
  future,    // a result
  several,   // one or all of several results
  mutex,     // a lock
  event,     // a condition of the program
  shutdown,  // the end of an executor's work
  external,  // a blocking call that the program announced
};

// Lives on the stack of the thread that waits, for as long as it waits. Whoever publishes it to
// other threads guards it by a lock of its own.
struct wait_record {
  wait_kind kind;
  const void* object;          // what is waited for; null for external calls
  const char* name = nullptr;  // of the object or call; a literal; may be null
  prim::time_point since = prim::clock::now();
};

// "a future", "a mutex", ...
HEDDLE_API const char* describe(wait_kind kind) noexcept;

}  // namespace heddle::inline HEDDLE_ABI
