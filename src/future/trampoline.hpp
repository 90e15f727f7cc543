// Whether something was put on this thread's trampoline.
#pragma once

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Where the next job will hang that run_on_trampoline() does not run at once: changes as one is
// queued. Null where none would be.
const void* end_of_trampoline() noexcept;

}  // namespace heddle::inline HEDDLE_ABI::detail
