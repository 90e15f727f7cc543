// How many descriptors this process has open.
#pragma once

#include <cstdint>
#include <optional>

#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Since Linux 6.2 the size of /proc/self/fd is the number: one system call, some 2 µs. Before,
// its entries are counted, some 8 µs and more for many. Without /proc each number is tried, up to
// 65536, in 35 ns each.
// From a recorded tree: the entries of proc/self/fd; nothing when there is no such directory.
HEDDLE_API std::optional<std::uint64_t> count_descriptors(const tree& files = tree{});

}  // namespace heddle::inline HEDDLE_ABI::kernel
