// What can be said about one task.
#pragma once

#include <cstdint>
#include <optional>

#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>

namespace heddle::inline HEDDLE_ABI {

// How urgent a task is, from 0, the most urgent, to 7. The levels between the named ones are the
// program's own: static_cast<priority>(3) comes after high and before normal.
enum class priority : std::uint8_t { highest = 0, high = 2, normal = 4, low = 6, lowest = 7 };
inline constexpr unsigned priority_levels = 8;

struct task_options {
  // Without one, a task has the priority of the task of the same pool that submits it, or normal.
  std::optional<priority> level{};

  // When a stop is requested before the task has begun, its future is cancelled at once and it
  // never runs; a running task that takes a stop_token has its own one tripped. Tasks that share a
  // stop_source are a group that is cancelled as a whole.
  prim::stop_token stop{};
};

}  // namespace heddle::inline HEDDLE_ABI
