// The machine as hwloc describes it, in builds with HEDDLE_HWLOC.
#pragma once

#include <optional>

#include <heddle/kernel/topology.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Nothing when hwloc fails, or was told by its environment variables to describe another machine.
// `synthetic` asks it to invent one, in its own notation: "pack:2 l3:1 core:4 pu:2".
// `allowed` is what the calling thread may use, as it is not hwloc's to know.
std::optional<topology> read_hwloc(const cpu_set& allowed, const char* synthetic = nullptr);

}  // namespace heddle::inline HEDDLE_ABI::kernel
