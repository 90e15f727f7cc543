// How many jobs run at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "report.hpp"

namespace heddle::tool {

// What the user asked for with -j.
struct parallelism {
  enum class kind { automatic, count, percent };
  kind what = kind::automatic;
  std::uint64_t value = 0;  // jobs, or per cent of the usable cores
};

inline constexpr std::uint64_t most_slots = 65536;

// "8", "50%", "200%" or "auto". Throws usage_error for anything else.
parallelism parse_parallelism(std::string_view text);

// Decides how many jobs may run at this moment. It is asked again whenever a job has ended, and
// told how jobs went so far, so that an implementation may change its mind.
class slot_policy {
 public:
  virtual ~slot_policy() = default;
  // At least 1. `so_far` counts everything up to now.
  virtual unsigned slots(const run_statistics& so_far) = 0;
};

// The policy for what was asked. Shares of the cores are computed from the cores that affinity mask
// and cgroup quota leave to this process, and follow them when they change during the run.
std::unique_ptr<slot_policy> make_slot_policy(const parallelism& wanted);

}  // namespace heddle::tool
