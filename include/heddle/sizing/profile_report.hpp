// How a workload scales: what was measured, the laws fitted to it, and the size to use.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/sizing/fit.hpp>
#include <heddle/sizing/measurement.hpp>
#include <heddle/sizing/recommend.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

// What a rule or a law would have chosen, for comparison.
struct rival_size {
  std::string name;  // "adaptive pool", "cpu_bound", ...
  int size = 1;
  std::string reason{};
  std::optional<double> throughput{};  // tasks a second, where that was measured
};

struct profile_report {
  std::string workload{};  // its name, for the heading
  double cores = 1;        // usable ones
  int physical_cores = 1;

  std::vector<size_summary> sizes{};        // rising
  std::vector<measurement> measurements{};  // as they came

  scaling_fit amdahl{};
  scaling_fit universal{};
  std::optional<scaling_fit> residence{};  // the universal law on residence times, if measured
  std::vector<little_check> little{};      // for each size whose residence time is known
  std::optional<double> saturation{};      // saturation_size(), where residence times are known

  // Nothing when nothing was measured.
  std::optional<recommendation> recommended{};
  std::vector<rival_size> rivals{};

  bool complete = true;                // false: stopped before enough was known
  std::vector<std::string> remarks{};  // what the reader must know, a sentence each
};

struct report_options {
  std::string workload{};
  double cores = 1;
  int physical_cores = 1;
  double tolerance = 0.03;
  double confidence = usual_confidence;
};

// Everything that follows from the measurements. Of none: a report that says so. The rivals are
// those of formulas.hpp, wait and compute taken from the smallest size; whoever ran the adaptive
// pool adds it. Throws as summarize() and recommend(). Some 10 ms.
HEDDLE_API profile_report make_report(std::span<const measurement> measurements,
                                      const report_options& options);

// For people: a table, the laws, the recommendation, remarks, in lines of so many columns, 40 at
// least; a longer word has a line of its own. A table that is too wide goes without the columns
// that follow from the others.
HEDDLE_API std::string to_text(const profile_report& report, std::size_t columns = 100);

// A heading and a row for each size; fields as in size_summary, empty when unknown. RFC 4180, with
// "\n".
HEDDLE_API std::string to_csv(const profile_report& report);

// One object; numbers that are unknown or infinite are null.
HEDDLE_API std::string to_json(const profile_report& report);

}  // namespace heddle::inline HEDDLE_ABI::sizing
