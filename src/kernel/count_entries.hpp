// How descriptors are counted where the kernel does not tell their number.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Entries of a directory that do not begin with a dot.
std::optional<std::uint64_t> count_entries(const std::string& path);

// Asks for each number below the soft limit, and below 65536, whether it is open.
std::uint64_t count_by_trying();

}  // namespace heddle::inline HEDDLE_ABI::kernel
