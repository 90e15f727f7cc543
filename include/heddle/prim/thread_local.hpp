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
  task_name,          // exec/thread_pool
  count,
};

// The calling thread's value, null at first. The reference is good until the thread exits.
HEDDLE_API void*& thread_value(thread_slot slot) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::prim
