// Cache lines asked for ahead of time.
#pragma once

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// For a line that the calling thread is going to write, and that another core may have. Does
// nothing for an address where there is no memory.
inline void prefetch_for_write(const void* line) noexcept {
#if defined(__x86_64__)
  // Any 64-bit processor knows the instruction, or skips it; compilers for all of them do not use
  // it.
  asm volatile("prefetchw (%0)" : : "r"(line));
#else
  __builtin_prefetch(line, 1);
#endif
}

}  // namespace heddle::inline HEDDLE_ABI::prim
