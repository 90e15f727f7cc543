// Keeping what is behind an executor_ref.
#pragma once

#include <heddle/base/executor_ref.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// A reference to what a pool's or a strand's executor posts to, the pool below a strand included:
// it is there until the matching release, and discards what is posted when its owner has ended.
// Other executors are borrowed as ever: for them neither of the two does anything.
//
// Requires: the executor is there; for the release, a matching retain, with an equal argument.
HEDDLE_API void retain_executor(executor_ref where) noexcept;
HEDDLE_API void release_executor(executor_ref where) noexcept;

}  // namespace heddle::inline HEDDLE_ABI::detail
