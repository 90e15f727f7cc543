// How much memory this process may use.
#pragma once

#include <cstdint>
#include <optional>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

struct memory {
  std::uint64_t total_bytes = 0;      // of the machine; 0 when unknown
  std::uint64_t available_bytes = 0;  // that can be had without swapping; 0 when unknown
  std::optional<cgroup_limit> limit;  // in bytes: beyond it the kernel kills

  // The limit, or what the machine has if that is less or there is no limit; 0 when unknown.
  std::uint64_t usable_bytes() const noexcept;
};

// MemTotal and MemAvailable, and the tightest hard limit among the process's cgroup and all
// ancestors that can be seen: memory.max (v2), memory.limit_in_bytes (v1, where a number near 2^63
// means none). memory.high, which slows down and does not kill, is not counted. Some 90 µs.
HEDDLE_API memory read_memory(const tree& files = tree{});

}  // namespace heddle::inline HEDDLE_ABI::kernel
