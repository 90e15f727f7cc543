// How busy CPUs are, whoever it is that uses them.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include <heddle/kernel/cpu_set.hpp>
#include <heddle/kernel/tree.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::kernel {

// Of some CPUs together, since the machine started. The kernel tells in steps of 10 ms a CPU.
struct machine_load {
  int cpus = 0;                      // of those asked for, how many are online
  std::chrono::milliseconds busy{};  // working, in programs, in the kernel, in interrupts
  std::chrono::milliseconds idle{};
  std::chrono::milliseconds stolen{};  // ready to work, but the hypervisor ran somebody else
};

// The lines "cpu0 4705 150 1120 16250 520 30 45 0 0 0" of proc/stat: ticks of user, nice, system,
// idle, iowait, irq, softirq and steal, the last three since Linux 2.6. Nothing when none of the
// CPUs has a line.
HEDDLE_API std::optional<machine_load> parse_machine_load(std::string_view text,
                                                          const cpu_set& cpus,
                                                          long ticks_per_second);

// From proc/stat, which may describe a container's share of CPUs where lxcfs covers it. Costs some
// 20 µs, and more with the number of CPUs and interrupts.
HEDDLE_API std::optional<machine_load> read_machine_load(const cpu_set& cpus,
                                                         const tree& files = tree{});

// Between two looks, in cores. What one's own process used of it is for the caller to subtract.
struct core_use {
  double busy = 0;
  double stolen = 0;
};

// Nothing when the CPUs are not the same, or no tick has passed. Looks of less than 100 ms apart
// tell little.
HEDDLE_API std::optional<core_use> use_between(const machine_load& before,
                                               const machine_load& after);

}  // namespace heddle::inline HEDDLE_ABI::kernel
