// Replaces operator new by one that counts and can be told to fail. Include it in one source of a
// program. Clang's ThreadSanitizer does not let anybody replace it: tests that need this begin with
// SKIP_UNLESS_ALLOCATIONS_FAIL.
#pragma once

#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>
#include <heddle/prim/config.hpp>

#define SKIP_UNLESS_ALLOCATIONS_FAIL() \
  if (HEDDLE_TSAN) GTEST_SKIP() << "ThreadSanitizer owns operator new"

namespace heddle_test {

inline thread_local long allocations_until_failure = -1;  // negative: never
inline std::atomic<long> live_allocations{0};

// Lets the calling thread allocate `successes` times more inside its scope; then every allocation
// throws std::bad_alloc.
class failing_allocations {
 public:
  explicit failing_allocations(long successes) { allocations_until_failure = successes; }
  ~failing_allocations() { allocations_until_failure = -1; }
  failing_allocations(const failing_allocations&) = delete;
  failing_allocations& operator=(const failing_allocations&) = delete;
};

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
