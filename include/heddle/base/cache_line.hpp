#pragma once

#include <cstddef>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// Distance in bytes that keeps two objects out of each other's way: two 64-byte lines, because
// x86-64 fetches lines in adjacent pairs. A constant of the library's ABI, which
// std::hardware_destructive_interference_size is not.
inline constexpr std::size_t destructive_interference = 128;
inline constexpr std::size_t cache_line = 64;

}  // namespace heddle::inline HEDDLE_ABI
