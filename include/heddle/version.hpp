// The version of the headers. While it starts with 0, a new minor version may break what an older
// one allowed; patch versions do not.
#pragma once

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;
inline constexpr const char* version_string = "0.1.0";

}  // namespace heddle::inline HEDDLE_ABI
