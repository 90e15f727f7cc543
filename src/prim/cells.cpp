#include <heddle/prim/allocation.hpp>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/inlined_cells.hpp>

#if HEDDLE_MODEL || HEDDLE_ASAN

namespace heddle::inline HEDDLE_ABI::prim {

#if !HEDDLE_MODEL
// For programs that are not under AddressSanitizer: takes nothing, and has nothing.
constinit thread_local detail::cell_list detail::my_lists[listed_sizes] = {};
#endif

void* allocate_cell(std::size_t bytes, std::size_t alignment) { return allocate(bytes, alignment); }

void deallocate_cell(void* memory, std::size_t bytes, std::size_t alignment) noexcept {
  deallocate(memory, bytes, alignment);
}

void flush_cells() noexcept {}

detail::cell_statistics detail::read_cell_statistics() noexcept { return {}; }

}  // namespace heddle::inline HEDDLE_ABI::prim

#else

#include <new>
#include <system_error>
#include <utility>

#include <heddle/prim/thread_local.hpp>

#include "prim/cells_heap.hpp"

namespace heddle::inline HEDDLE_ABI::prim {

constinit thread_local detail::cell_list detail::my_lists[listed_sizes] = {};

namespace {

using detail::cell_heap;

// Two more words of static thread-local storage, like the lists: a library that is loaded late can
// still get so little.
[[gnu::tls_model("initial-exec")]] constinit thread_local cell_heap* my_heap = nullptr;
[[gnu::tls_model("initial-exec")]] constinit thread_local bool thread_has_ended = false;

void thread_ends(thread_exit_hook*) noexcept {
  thread_has_ended = true;
  std::exchange(my_heap, nullptr)->retire();
}

// The size in units, less one; 0 bytes count as more than any cell.
std::size_t size_of(std::size_t bytes) noexcept { return (bytes - 1) / detail::cell_unit; }

bool is_cell(std::size_t bytes, std::size_t alignment) noexcept {
  return size_of(bytes) < detail::cell_sizes && alignment <= detail::cell_unit;
}

// A heap for the time of one call.
class borrowed_heap {
 public:
  borrowed_heap() : heap_(cell_heap::claim(&thread_ends)) {}
  ~borrowed_heap() { heap_.give_up(); }
  borrowed_heap(const borrowed_heap&) = delete;
  borrowed_heap& operator=(const borrowed_heap&) = delete;

  cell_heap* operator->() const noexcept { return &heap_; }

 private:
  cell_heap& heap_;
};

// The thread's heap, from its first use until its exit hook has run; null where there can be none.
// Throws std::bad_alloc.
cell_heap* settle() {
  if (thread_has_ended) return nullptr;
  cell_heap& heap = cell_heap::claim(&thread_ends);
  try {
    at_thread_exit(heap);
  } catch (const std::system_error&) {
    heap.give_up();
    return nullptr;
  }
  heap.take_lists(detail::my_lists);
  return my_heap = &heap;
}

[[gnu::noinline]] void* allocate_without_heap(std::size_t size) {
  if (cell_heap* const heap = settle()) return heap->pop(size);
  return borrowed_heap()->pop(size);
}

[[gnu::noinline]] void deallocate_without_heap(void* cell, std::size_t size) noexcept {
  try {
    if (cell_heap* const heap = settle()) return heap->push(size, cell);
  } catch (const std::bad_alloc&) {
  }
  cell_heap::return_one(size, cell);
}

}  // namespace

void* allocate_cell(std::size_t bytes, std::size_t alignment) {
  if (!is_cell(bytes, alignment)) [[unlikely]]
    return allocate(bytes, alignment);
  cell_heap* const heap = my_heap;
  if (heap == nullptr) [[unlikely]]
    return allocate_without_heap(size_of(bytes));
  return heap->pop(size_of(bytes));
}

void deallocate_cell(void* memory, std::size_t bytes, std::size_t alignment) noexcept {
  if (!is_cell(bytes, alignment)) [[unlikely]]
    return deallocate(memory, bytes, alignment);
  cell_heap* const heap = my_heap;
  if (heap == nullptr) [[unlikely]]
    return deallocate_without_heap(memory, size_of(bytes));
  heap->push(size_of(bytes), memory);
}

void flush_cells() noexcept {
  if (my_heap != nullptr) my_heap->flush();
}

detail::cell_statistics detail::read_cell_statistics() noexcept { return cell_heap::statistics(); }

}  // namespace heddle::inline HEDDLE_ABI::prim

#endif
