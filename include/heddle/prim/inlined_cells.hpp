// Recycled memory for code that cannot afford a call: see cells.hpp.
#pragma once

#include <array>
#include <cstddef>

#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/hand_back.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

namespace detail {

inline constexpr std::size_t cell_unit = 64;  // sizes are multiples of it
inline constexpr std::size_t cell_sizes = largest_cell / cell_unit;

struct cell_bundle;
struct cell_slab;

// The line of a cell may lie with the thread that freed it; whoever gets the cell will write it.
inline void prefetch_for_write(void* line) noexcept {
#if defined(__x86_64__)
  // Any 64-bit processor knows the instruction, or skips it; compilers for all of them do not use
  // it.
  asm volatile("prefetchw (%0)" : : "r"(line));
#else
  __builtin_prefetch(line, 1);
#endif
}

class slab_list {
 public:
  cell_slab* front() const noexcept { return front_; }
  inline void push_front(cell_slab& s) noexcept;
  inline void remove(cell_slab& s) noexcept;

 private:
  cell_slab* front_ = nullptr;
};

// A thread's cells of one size.
struct alignas(cell_unit) cell_shelf {
  static constexpr unsigned pads = 8;  // how far ahead lines are asked for
  static constexpr unsigned most_ready = 84;

  void* pop_ready() noexcept {
    void** const top = &ready[pads + --count];
    prefetch_for_write(*(top - pads));
    return *top;
  }
  void push_ready(void* cell) noexcept { ready[pads + count++] = cell; }

  unsigned count = 0;
  unsigned turns = 0;            // of refilling since `taken` came
  cell_bundle* taken = nullptr;  // came back, and not yet looked at
  cell_slab* carving = nullptr;  // where cells are handed out for the first time
  slab_list empty;               // slabs without bundles
  slab_list partial;             // slabs with bundles
  std::array<void*, pads + most_ready> ready{};

  alignas(cell_unit) returned_stack<cell_bundle> returned;
};

#if !HEDDLE_MODEL
// The thread's shelves, one for each size, while it has some; found as thread_table is.
HEDDLE_API extern constinit thread_local cell_shelf* my_shelves
    __attribute__((tls_model("initial-exec")));
#endif

#if !HEDDLE_MODEL && !HEDDLE_ASAN
// Null: there is none, or it takes a call to know; or the size is none of theirs.
inline cell_shelf* shelf_for(std::size_t bytes, std::size_t alignment) noexcept {
#if defined(__clang__) && __clang_major__ < 19
  return nullptr;  // see running_thread_values()
#else
  if (bytes - 1 >= largest_cell || alignment > cell_unit || my_shelves == nullptr) [[unlikely]]
    return nullptr;
  return &my_shelves[(bytes - 1) / cell_unit];
#endif
}
#endif

}  // namespace detail

// The same as allocate_cell and deallocate_cell, in some ten instructions where the thread has what
// is needed: for sizes that the compiler knows.
inline void* allocate_cell_inline(std::size_t bytes, std::size_t alignment) {
#if !HEDDLE_MODEL && !HEDDLE_ASAN
  if (detail::cell_shelf* const shelf = detail::shelf_for(bytes, alignment);
      shelf != nullptr && shelf->count != 0) [[likely]]
    return shelf->ready[detail::cell_shelf::pads + --shelf->count];  // who asks so soon has it near
#endif
  return allocate_cell(bytes, alignment);
}

inline void deallocate_cell_inline(void* memory, std::size_t bytes,
                                   std::size_t alignment) noexcept {
#if !HEDDLE_MODEL && !HEDDLE_ASAN
  if (detail::cell_shelf* const shelf = detail::shelf_for(bytes, alignment);
      shelf != nullptr && shelf->count != detail::cell_shelf::most_ready) [[likely]]
    return shelf->push_ready(memory);
#endif
  deallocate_cell(memory, bytes, alignment);
}

}  // namespace heddle::inline HEDDLE_ABI::prim
