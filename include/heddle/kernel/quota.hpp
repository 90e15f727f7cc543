// How much CPU time this process may have: affinity and cgroup quota.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/cpu_set.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// A CFS bandwidth limit: `quota` of CPU time in every `period`, for the whole group together.
struct cpu_quota {
  std::chrono::microseconds quota{};
  std::chrono::microseconds period{};
  cgroup_version version = cgroup_version::v2;
  std::string cgroup;  // name of the group that sets it
  std::string file;    // the file that says so

  // In cores: 1.5 for 150 ms in every 100 ms.
  double cores() const noexcept {
    return static_cast<double>(quota.count()) / static_cast<double>(period.count());
  }
};

// The tightest quota among the process's cgroup and all ancestors that can be seen, v1
// (cpu.cfs_quota_us, cpu.cfs_period_us) and v2 (cpu.max); of equal ones the nearest to the process.
// Missing and malformed files, "max", -1, and quotas or periods that are not positive: no limit.
// Weights (cpu.weight, cpu.shares) are no limit either. Costs some 60 µs.
HEDDLE_API std::optional<cpu_quota> read_cpu_quota(const tree& files = tree{});

// The same, given what find_cgroups(files, "cpu") said: for those who look often. A limit changes
// more often than a process changes its group. Costs a read (v1: two) of some 5 µs for each level.
HEDDLE_API std::optional<cpu_quota> read_cpu_quota(const tree& files,
                                                   const std::vector<cgroup_chain>& groups);

// The CPUs the calling thread may run on, which the threads it creates inherit: the affinity mask,
// already narrowed by cpusets. Any number of CPUs. From a recorded tree: Cpus_allowed_list of
// /proc/self/status, else all CPUs online, else CPU 0. Never empty. One system call, below 1 µs.
HEDDLE_API cpu_set read_affinity(const tree& files = tree{});

// What a pool has to share out among its workers.
struct core_budget {
  int allowed = 1;                 // CPUs in the affinity mask
  std::optional<cpu_quota> quota;  // the tightest one

  // The smaller of the two, in cores; may have a fraction, is above 0.
  double usable() const noexcept;
};

// Reads both now; nothing is remembered, since both may change while a program runs.
HEDDLE_API core_budget read_core_budget(const tree& files = tree{});

// read_core_budget(files).usable()
HEDDLE_API double usable_cores(const tree& files = tree{});

// Whole threads that `cores` keep busy: rounded up, since rounding down would leave paid time
// unused, and at least 1. Throws std::invalid_argument unless cores is above 0 and finite.
HEDDLE_API int whole_cores(double cores);

}  // namespace heddle::inline HEDDLE_ABI::kernel
