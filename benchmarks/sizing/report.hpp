// What is told of all runs: tables for people, rows for programs, sizes over time.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "oracle.hpp"
#include "outcome.hpp"

namespace bench {

// One value a round. Not reached: infinite.
struct scores {
  std::vector<double> share;   // throughput over the oracle's after warm-up
  std::vector<double> reach;   // seconds until 0.95 of it
  std::vector<double> regret;  // 1 - all work / the oracle's
  std::vector<double> p99;     // of task time, microseconds
};

struct rest_report {
  double steps_a_minute = 0;
  double controller_share = 0;  // of all CPU time
};

struct load_result {
  std::string name;
  std::string text;
  std::string remark;
  std::vector<best_size> oracle;
  double oracle_p99 = 0;
  double reach_limit = 0;  // seconds
  std::vector<std::pair<std::string, scores>> contenders;
  std::optional<rest_report> rest;
  std::vector<outcome> first_round;
};

// The contender whose figures are ours.
inline constexpr const char* own_name = "adaptive";

nlohmann::ordered_json rows_of(const std::vector<load_result>& results);
std::string tables_of(const std::vector<load_result>& results);

void write_sizes(std::ostream& csv, const std::vector<load_result>& results);
// Size over time, a panel for each load.
void write_plot(std::ostream& svg, const std::vector<load_result>& results);

}  // namespace bench
