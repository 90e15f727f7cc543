#include <algorithm>
#include <cmath>
#include <limits>

#include <heddle/sizing/formulas.hpp>
#include <heddle/sizing/profile_report.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

// The rules of formulas.hpp, with what is known of waiting and computing.
std::vector<rival_size> rivals(const profile_report& report) {
  std::vector<rival_size> all;
  const auto add = [&](const char* name, const decision& d) {
    rival_size r{.name = name, .size = d.size, .reason = d.reason};
    for (const size_summary& s : report.sizes)
      if (s.size == r.size) r.throughput = s.throughput.value;
    all.push_back(std::move(r));
  };
  add("cpu_bound", cpu_bound(report.cores, report.physical_cores));
  const size_summary& smallest = report.sizes.front();
  if (const auto wait = smallest.asleep(); wait && *smallest.cpu > 0) {
    const double ratio = *wait / *smallest.cpu;
    constexpr int usual_cap = 64;
    const int cap = std::max(usual_cap, report.sizes.back().size);
    if (std::isfinite(ratio))
      add("io_bound", io_bound(report.cores, {.wait_to_compute = ratio, .cap = cap}));
  }
  add("mixed", mixed(report.cores));
  add("small_io", small_io(report.cores));
  return all;
}

}  // namespace

profile_report make_report(std::span<const measurement> measurements,
                           const report_options& options) {
  profile_report report;
  report.workload = options.workload;
  report.cores = options.cores;
  report.physical_cores = options.physical_cores;
  report.measurements.assign(measurements.begin(), measurements.end());
  report.sizes = summarize(measurements);
  const std::vector<scaling_point> points = scaling_points(measurements);
  const fit_options fitting{.confidence = options.confidence};
  report.amdahl = fit_throughput(scaling_law::amdahl, points, fitting);
  report.universal = fit_throughput(scaling_law::universal_scalability, points, fitting);
  if (report.sizes.empty()) {
    report.remarks.emplace_back("Nothing was measured.");
    return report;
  }
  double highest = 0;
  double shortest = std::numeric_limits<double>::infinity();
  for (const size_summary& s : report.sizes) {
    if (!s.residence || !(*s.residence > 0)) continue;
    report.little.push_back(check_little(s.size, s.overall_throughput(), *s.residence));
    highest = std::max(highest, s.throughput.value);
    shortest = std::min(shortest, *s.residence);
  }
  if (!report.little.empty()) {
    report.residence = fit_residence(scaling_law::universal_scalability, points, fitting);
    report.saturation = saturation_size(highest, shortest);
  }
  const auto waits_unseen = [](const size_summary& s) {
    return s.residence && s.cpu && !s.runnable;
  };
  if (std::all_of(report.sizes.begin(), report.sizes.end(), waits_unseen))
    report.remarks.emplace_back(
        "How long tasks waited for a CPU could not be read here: that counts as asleep.");
  report.recommended = recommend(
      report.sizes, {.cores = options.cores, .tolerance = options.tolerance}, &report.universal);
  report.rivals = rivals(report);
  return report;
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
