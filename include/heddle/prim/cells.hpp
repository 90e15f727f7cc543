// Small pieces of memory that come and go in great numbers, often on different threads.
#pragma once

#include <cstddef>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

inline constexpr std::size_t largest_cell = 1024;

// As allocate and deallocate, but memory of up to largest_cell bytes (and at most 64-byte
// alignment) is kept for the next one to ask: where the rate is steady nobody calls malloc.
// Such memory is aligned to 64 bytes. It may be given back on any thread.
//
// Thread-safety: any thread, also in destructors of thread_local and static objects.
// Blocks? No: takes no lock of its own.
// Allocates slabs of 2 MiB when there is no cell to reuse. They are let go step by step, as their
// thread goes on allocating and freeing.
// Throws std::bad_alloc, and then nothing has changed; give the same size and alignment back.
// After fork the child goes on with the forking thread's cells. It may free cells of the other
// threads, which it does not have; nobody will reuse those.
// In a model, and under AddressSanitizer, each cell is an allocation of its own: recycled memory
// hides use after free.
HEDDLE_API void* allocate_cell(std::size_t bytes, std::size_t alignment);
HEDDLE_API void deallocate_cell(void* memory, std::size_t bytes, std::size_t alignment) noexcept;

// Gives back to other threads' heaps what the calling thread has freed of theirs: for a thread that
// is about to sleep, which would otherwise keep some hundred cells of each size from them.
HEDDLE_API void flush_cells() noexcept;

namespace detail {

// What all threads hold together. Zero where cells are not recycled.
struct cell_statistics {
  std::size_t heaps = 0;       // about as many as there were threads at one time
  std::size_t slabs = 0;       // with the free ones
  std::size_t free_slabs = 0;  // of which no cell is in use
  std::size_t bytes = 0;       // of address space: what was never used is not resident
};

// A moment's guess while other threads allocate.
HEDDLE_API cell_statistics read_cell_statistics() noexcept;

}  // namespace detail

}  // namespace heddle::inline HEDDLE_ABI::prim
