// How much of a limit is in use.
#pragma once

#include <cstdint>
#include <optional>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Threads in the group that sets `limit` (process_limits::tasks) and below it. Some 5 µs.
HEDDLE_API std::optional<std::uint64_t> read_tasks_in_use(const cgroup_limit& limit,
                                                          const tree& files = tree{});

// Threads of the machine, whosever they are; of a container where lxcfs covers proc/loadavg. Some
// 5 µs.
HEDDLE_API std::optional<std::uint64_t> count_threads(const tree& files = tree{});

// Threads of all processes of this user, which process_limits::processes is about. What other
// containers hide is not counted, though the limit is for that as well. Nothing without /proc.
// Some 20 µs for each process of the machine.
HEDDLE_API std::optional<std::uint64_t> count_user_threads(const tree& files = tree{});

// Bytes in use in the group that sets `limit` (memory::limit) and below it, without what the kernel
// can take back: pages of files, and the part of its own memory that it calls reclaimable. What is
// left to the limit then means the same as MemAvailable of the machine.
HEDDLE_API std::optional<std::uint64_t> read_memory_in_use(const cgroup_limit& limit,
                                                           const tree& files = tree{});

}  // namespace heddle::inline HEDDLE_ABI::kernel
