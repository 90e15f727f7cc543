#include <heddle/exec/retain_executor.hpp>

#include "pool_core.hpp"
#include "strand_access.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

void retain_executor(executor_ref where) noexcept {
  if (pool_core* const pool = core_behind(where)) {
    pool->retain();
  } else if (strand_core* const strand = strand_access::behind(where)) {
    strand_access::retain(*strand);
  }
}

void release_executor(executor_ref where) noexcept {
  if (pool_core* const pool = core_behind(where)) {
    pool->release();
  } else if (strand_core* const strand = strand_access::behind(where)) {
    strand_access::release(*strand);
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
