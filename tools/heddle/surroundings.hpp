// What the machine leaves to the jobs of a run: cores, and room for more jobs.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/machine_load.hpp>
#include <heddle/kernel/pressure.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/kernel/throttling.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/kernel/user_threads.hpp>
#include <heddle/sizing/headroom.hpp>

namespace heddle::tool {

// Looks things up as often as they are worth it: 100 times a second it may be asked.
class surroundings {
 public:
  using clock = std::chrono::steady_clock;

  explicit surroundings(clock::time_point now, const kernel::tree& files = {});

  // Cores that affinity mask and quota leave; looked up at most each second.
  double cores(clock::time_point now);

  // What others did and what the quota withheld, lately: over the last 100 ms or more.
  struct load {
    double foreign = 0;  // cores
    bool knows_foreign = false;
    double throttled = 0;  // share of the time
  };
  // `own` is the CPU time that this run has used up to now.
  load read_load(clock::time_point now, std::chrono::nanoseconds own);

  // How many jobs there may be, given what each takes; looked up each second, and up to 20 times a
  // second while there are more jobs than ever: so often that it takes no more than 0.2 % of a CPU.
  sizing::headroom room(clock::time_point now, int jobs, const sizing::worker_needs& each, int cap);

 private:
  sizing::resources read_resources(clock::time_point now, int jobs,
                                   const sizing::worker_needs& each, int cap);

  kernel::tree files_;
  clock::time_point start_;
  std::vector<kernel::cgroup_chain> groups_;

  kernel::core_budget budget_{};
  kernel::cpu_set cpus_;
  clock::time_point cores_read_{};

  clock::time_point load_read_{};
  std::chrono::nanoseconds own_before_{};
  std::optional<kernel::machine_load> load_before_;
  std::vector<kernel::throttling> throttling_before_;
  load load_{};

  clock::time_point room_read_{};
  std::chrono::nanoseconds room_cost_{};
  int most_jobs_ = 0;
  kernel::user_thread_counter user_threads_;
  kernel::stall_window memory_stalls_;
  sizing::memory_brake brake_{};
  sizing::headroom room_{};
};

}  // namespace heddle::tool
