#include <heddle/exec/retain_executor.hpp>

#include "pool_core.hpp"
#include "strand_access.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

void retain_executor(executor_ref where) noexcept {
  if (pool_core* const core = core_behind(where)) {
    core->retain();
  } else if (strand_core* const core = strand_access::behind(where)) {
    strand_access::retain(*core);
  }
}

void release_executor(executor_ref where) noexcept {
  if (pool_core* const core = core_behind(where)) {
    core->release();
  } else if (strand_core* const core = strand_access::behind(where)) {
    strand_access::release(*core);
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
