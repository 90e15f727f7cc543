// How many descriptors and threads this process may have.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

struct resource_limit {
  static constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

  std::uint64_t soft = unlimited;  // holds now
  std::uint64_t hard = unlimited;  // up to which the process itself may raise it
};

struct process_limits {
  std::optional<resource_limit> open_files;  // RLIMIT_NOFILE; nothing when unknown
  std::optional<resource_limit> processes;   // RLIMIT_NPROC: threads of the user, all together
  bool ignores_processes = false;            // root and the machine's administrators may
  std::optional<cgroup_limit> tasks;         // pids.max: threads of the tightest cgroup
};

// From /proc/self/limits and status, and the pids controller of every cgroup above the process.
HEDDLE_API process_limits read_process_limits(const tree& files = tree{});

}  // namespace heddle::inline HEDDLE_ABI::kernel
