// How much a CPU quota has held the process back.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Of one group, since it began. Periods in which nothing of the group ran are not counted.
struct throttling {
  std::uint64_t periods = 0;
  std::uint64_t throttled_periods = 0;        // in which the quota was used up
  std::chrono::nanoseconds throttled_time{};  // in which it stood still, added up over the CPUs

  friend bool operator==(const throttling&, const throttling&) = default;
};

// What cpu.stat says: v2 counts in microseconds (throttled_usec), v1 in nanoseconds
// (throttled_time). Nothing when there is no bandwidth control in it.
HEDDLE_API std::optional<throttling> parse_throttling(std::string_view text,
                                                      cgroup_version version);

// Of each level of find_cgroups(files, "cpu"), chain by chain, the process's own group first; all
// zeros where it is not known. Some 5 µs a level.
HEDDLE_API std::vector<throttling> read_throttling(const tree& files,
                                                   const std::vector<cgroup_chain>& groups);

// The share of the time between two looks, which were `apart`, in which a quota held the process
// back on at least one CPU; of several levels the one that did most. From 0 to 1, and an upper
// bound: the kernel does not tell how the CPUs' pauses overlap. It books a pause when it ends, at
// the end of the period (most often 100 ms): between looks that are nearer to each other than that
// the share is all or nothing. 0 when the two are of different groups, or `apart` is not above
// zero.
HEDDLE_API double throttled_share(const std::vector<throttling>& before,
                                  const std::vector<throttling>& after,
                                  std::chrono::nanoseconds apart);

}  // namespace heddle::inline HEDDLE_ABI::kernel
