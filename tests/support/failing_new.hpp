// Replaces operator new by one that counts and can be told to fail. Include it in one source of a
// program; failing_allocations.hpp is for the others.
#pragma once

#include <cstdlib>
#include <new>

#include "support/failing_allocations.hpp"

namespace heddle_test {

inline void* allocate_or_throw(std::size_t bytes, std::size_t alignment) {
  if (allocations_until_failure == 0) throw std::bad_alloc();
  if (allocations_until_failure > 0) --allocations_until_failure;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* const memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  ++live_allocations;
  return memory;
}

inline void* allocate_or_null(std::size_t bytes, std::size_t alignment) noexcept {
  try {
    return allocate_or_throw(bytes, alignment);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

inline void release(void* memory) noexcept {
  if (memory == nullptr) return;
  --live_allocations;
  std::free(memory);
}

}  // namespace heddle_test

#if !HEDDLE_TSAN
void* operator new(std::size_t bytes) {
  return heddle_test::allocate_or_throw(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return heddle_test::allocate_or_throw(bytes, static_cast<std::size_t>(alignment));
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return heddle_test::allocate_or_null(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return heddle_test::allocate_or_null(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { heddle_test::release(memory); }
void operator delete(void* memory, std::size_t) noexcept { heddle_test::release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { heddle_test::release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  heddle_test::release(memory);
}
#endif
