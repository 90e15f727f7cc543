// Recycled memory for code that cannot afford a call: see cells.hpp.
#pragma once

#include <cstddef>

#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

namespace detail {

inline constexpr std::size_t cell_unit = 64;  // sizes are multiples of it

// What a thread has freed last of one size, to be used again at once: last in, first out, each with
// the address of the one before. Only for cells that their next user finds near; the others lie in
// an array, where nobody has to touch them. Zero while the thread has no heap.
struct cell_list {
  void* first;
  std::size_t room;  // how many more it takes
};

inline constexpr std::size_t listed_sizes = 8;
inline constexpr std::size_t most_listed = 32;

#if !HEDDLE_MODEL
// Found as thread_table is.
HEDDLE_API extern constinit thread_local cell_list my_lists[listed_sizes]
    __attribute__((tls_model("initial-exec")));

// Null: the size is none of theirs, or it takes a call to know the thread.
inline cell_list* list_for([[maybe_unused]] std::size_t bytes,
                           [[maybe_unused]] std::size_t alignment) noexcept {
#if HEDDLE_ASAN || (defined(__clang__) && __clang_major__ < 19)
  return nullptr;  // see running_thread_values()
#else
  const bool fits = bytes - 1 < listed_sizes * cell_unit && alignment <= cell_unit;
  return fits ? &my_lists[(bytes - 1) / cell_unit] : nullptr;
#endif
}
#endif

}  // namespace detail

// The same as allocate_cell and deallocate_cell, in some six instructions where the thread has
// freed a cell of the size just before, or has room to keep one: for sizes that the compiler knows.
inline void* allocate_cell_inline(std::size_t bytes, std::size_t alignment) {
#if !HEDDLE_MODEL
  detail::cell_list* const list = detail::list_for(bytes, alignment);
  if (list != nullptr && list->first != nullptr) [[likely]] {
    void* const cell = list->first;
    list->first = *static_cast<void**>(cell);
    ++list->room;
    return cell;
  }
#endif
  return allocate_cell(bytes, alignment);
}

inline void deallocate_cell_inline(void* memory, std::size_t bytes,
                                   std::size_t alignment) noexcept {
#if !HEDDLE_MODEL
  detail::cell_list* const list = detail::list_for(bytes, alignment);
  if (list != nullptr && list->room != 0) [[likely]] {
    --list->room;
    *static_cast<void**>(memory) = list->first;
    list->first = memory;
    return;
  }
#endif
  deallocate_cell(memory, bytes, alignment);
}

}  // namespace heddle::inline HEDDLE_ABI::prim
