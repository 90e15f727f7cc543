// What the kernel tells about the threads of an adaptive pool, its cores and what is left to grow
// into.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/machine_load.hpp>
#include <heddle/kernel/pressure.hpp>
#include <heddle/kernel/thread_sampler.hpp>
#include <heddle/kernel/throttling.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/kernel/user_threads.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sizing/headroom.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Used by one thread. In a model, where the kernel's answers would differ from one execution to the
// next, everything is zero and the core count is what the pool's option says.
class pool_signals {
 public:
  struct thread {
    unsigned index;  // in the pool
    int kernel_id;
  };
  // Of all threads together, on the average since they were looked at before.
  struct activity {
    double computing = 0;
    double runnable = 0;
    std::uint64_t slices = 0;  // times that they were put on a CPU
    bool knows_runnable = true;
  };
  // Of the last tenth of a second or so.
  struct surroundings {
    double foreign = 0;
    bool knows_foreign = false;
    double throttled = 0;
  };

  explicit pool_signals(kernel::tree files = {}) : files_(std::move(files)) {}

  // Some 1 µs a thread, some 5 more when it is new.
  activity look_at_threads(std::span<const thread> threads);

  // Reads what has become old: at most ten times a second.
  const surroundings& look_around(prim::time_point now);
  // Whether the quota was at work since the last call.
  bool throttled_since() noexcept { return std::exchange(throttled_more_, false); }

  // Workers that there may be, of `cap` at most, and why no more. Some 0.3 ms; where the user's
  // limit of threads is near, now and then 20 µs for each process of the machine.
  sizing::headroom headroom(int workers, int cap, prim::time_point now);

  // CPU time of the calling thread.
  static std::chrono::nanoseconds own_cpu_time() noexcept;

 private:
  struct watched {
    int kernel_id = 0;
    kernel::thread_sampler sampler{};
    kernel::schedstat last{};
    prim::time_point at{};
    unsigned look = 0;
  };
  struct look {
    prim::time_point at{};
    std::optional<kernel::machine_load> machine{};
    std::chrono::nanoseconds own{};
    std::vector<kernel::throttling> throttling{};
  };

  kernel::tree files_;

  std::vector<watched> watched_;  // by index
  prim::time_point looked_at_{};
  unsigned looks_ = 0;

  std::vector<kernel::cgroup_chain> groups_;
  kernel::cpu_set cpus_;
  look last_;
  surroundings around_;
  bool throttled_more_ = false;

  sizing::memory_brake brake_;
  kernel::stall_window memory_stalls_;
  kernel::user_thread_counter user_threads_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
