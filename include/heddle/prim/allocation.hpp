// Memory for the library's cells.
#pragma once

#include <cstddef>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

// Throws std::bad_alloc. `alignment` is a power of two; give the same size and alignment back.
HEDDLE_API void* allocate(std::size_t bytes, std::size_t alignment);
HEDDLE_API void deallocate(void* memory, std::size_t bytes, std::size_t alignment) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::prim
