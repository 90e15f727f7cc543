// One run of one load under one contender.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "contenders.hpp"

namespace bench {

struct run_settings {
  std::string load;
  std::string contender;
  double seconds = 5;
  double warm_up = 1;        // task times before that do not count
  double phase_seconds = 0;  // 0: as the load says
  double turns_per_microsecond = 0;
};

struct phase_change {
  double at = 0;
  std::string name;
};

struct run_result {
  static constexpr double bucket_seconds = 0.05;
  std::vector<std::uint64_t> completed;  // tasks that ended, by bucket
  std::vector<phase_change> phases;      // empty: one phase
  record choices;
  double task_p99 = 0;   // microseconds; from arrival if tasks arrive, else from the beginning
  double task_mean = 0;  // microseconds, from the beginning
  double cpu_seconds = 0;
  double controller_seconds = 0;  // CPU
  double foreign_cores = 0;       // that programs used which have nothing to do with the run
  std::string remark;
};

run_result run(const run_settings& settings);

}  // namespace bench
