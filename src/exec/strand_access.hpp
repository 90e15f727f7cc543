// The references to strands that are no strand objects.
#pragma once

#include <heddle/exec/strand.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

struct strand_access {
  // Null where the executor is no strand's.
  static strand_core* behind(executor_ref where) noexcept {
    return where.post_job == &strand::accept ? static_cast<strand_core*>(where.self) : nullptr;
  }
  static void retain(strand_core& core) noexcept;
  static void release(strand_core& core) noexcept;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
