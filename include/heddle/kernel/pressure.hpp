// Pressure stall information: for which share of the time tasks stood still for want of a resource.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

enum class resource : unsigned char { cpu, memory, io };

// Averages are shares of the last 10, 60 and 300 seconds, from 0 to 1.
struct stall {
  double avg10 = 0;
  double avg60 = 0;
  double avg300 = 0;
  std::chrono::microseconds total{};  // since the kernel or the group began, up to this read
};

struct pressure {
  stall some;                 // at least one task stood still
  std::optional<stall> full;  // all that were not idle did; kernels before 5.13 do not tell for cpu
};

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=...". Nothing when it has no such
// first line.
HEDDLE_API std::optional<pressure> parse_pressure(std::string_view text);

// Of the machine, from proc/pressure. Nothing where the kernel has none (before 4.20) or has it
// switched off. Some 5 µs, as below.
HEDDLE_API std::optional<pressure> read_pressure(resource of, const tree& files = tree{});

// Of the process's own group, given what find_cgroups() said. Nothing without cgroup v2.
HEDDLE_API std::optional<pressure> read_pressure(resource of, const tree& files,
                                                 const std::vector<cgroup_chain>& groups);

// The share of the time between two looks, which were `apart`: averages over 10 seconds know little
// of the last one. From 0 to 1; 0 unless `apart` is above zero.
HEDDLE_API double stalled_share(const stall& before, const stall& after,
                                std::chrono::nanoseconds apart);

// The share of the time that tasks stood still, over the last half second: in less, a single stall
// of some milliseconds would look like distress.
class HEDDLE_API stall_window {
 public:
  static constexpr std::chrono::milliseconds least{500};

  // At another look, not before the last one. Reaches back to the latest look that is `least` ago,
  // and to the first one while none is. Then the time before it counts as one without stalls.
  // Allocates. Throws std::bad_alloc.
  double add(prim::time_point now, const stall& total);

 private:
  struct look {
    prim::time_point at;
    stall total;
  };
  std::vector<look> looks_;
};

}  // namespace heddle::inline HEDDLE_ABI::kernel
