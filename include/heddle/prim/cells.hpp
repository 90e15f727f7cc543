// Small pieces of memory that come and go in great numbers, often on different threads.
#pragma once

#include <cstddef>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// As allocate and deallocate, but memory of up to largest_cell bytes (and at most 64-byte
// alignment) is kept for the next one to ask: where the rate is steady nobody calls malloc. A cell
// may be given back on any thread.
//
// Thread-safety: any thread, also in destructors of thread_local and static objects.
// Throws std::bad_alloc; give the same size and alignment back.
// In a model, and under AddressSanitizer, each cell is an allocation of its own: recycled memory
// hides use after free.
inline constexpr std::size_t largest_cell = 256;
HEDDLE_API void* allocate_cell(std::size_t bytes, std::size_t alignment);
HEDDLE_API void deallocate_cell(void* memory, std::size_t bytes, std::size_t alignment) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::prim
