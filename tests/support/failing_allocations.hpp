// Lets allocations of a thread fail, in programs one source of which includes failing_new.hpp.
// Clang's ThreadSanitizer does not let anybody replace operator new: tests that need this begin
// with SKIP_UNLESS_ALLOCATIONS_FAIL.
#pragma once

#include <atomic>

#include <gtest/gtest.h>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>

#define SKIP_UNLESS_ALLOCATIONS_FAIL() \
  if (HEDDLE_TSAN) GTEST_SKIP() << "ThreadSanitizer owns operator new"

namespace heddle_test {

inline thread_local long allocations_until_failure = -1;  // negative: never
inline std::atomic<long> live_allocations{0};

// Without the memory that is kept for cells, of which every heap and every slab is one allocation.
// Always 0 where operator new cannot be replaced.
inline long live_allocations_but_for_cells() {
  if (HEDDLE_TSAN) return 0;
  const auto kept = heddle::prim::detail::read_cell_statistics();
  return live_allocations - static_cast<long>(kept.heaps + kept.slabs);
}

// Lets the calling thread allocate `successes` times more inside its scope; then every allocation
// throws std::bad_alloc.
class failing_allocations {
 public:
  explicit failing_allocations(long successes) { allocations_until_failure = successes; }
  ~failing_allocations() { allocations_until_failure = -1; }
  failing_allocations(const failing_allocations&) = delete;
  failing_allocations& operator=(const failing_allocations&) = delete;
};

}  // namespace heddle_test
