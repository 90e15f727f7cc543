#include "outcome.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <thread>

#include "../compare/figures.hpp"

namespace bench {
namespace {

using json = nlohmann::ordered_json;

std::string output_of(const std::string& command) {
  std::FILE* const from = popen(command.c_str(), "r");
  if (from == nullptr) throw std::runtime_error("cannot start " + command);
  std::string text;
  char part[4096];
  for (std::size_t got = 0; (got = std::fread(part, 1, sizeof part, from)) > 0;)
    text.append(part, got);
  if (pclose(from) != 0) throw std::runtime_error(command + " failed");
  return text;
}

}  // namespace

outcome laboratory::carry_out_once(const order& what) const {
  const json told = json::parse(output_of(fmt::format(
      "{}/sizing/sizing_run {} {} {} --json --warm-up {} --phase {} --turns {}", bin_, what.load,
      what.contender, what.seconds, what.warm_up, what.phase_seconds, turns_)));
  outcome result;
  result.what = what;
  result.bucket_seconds = told.at("bucket_seconds");
  result.completed = told.at("completed").get<std::vector<double>>();
  const double end = result.bucket_seconds * static_cast<double>(result.completed.size());
  if (told.at("phases").empty()) result.stretches = {{0, end, ""}};
  for (const auto& one : told.at("phases")) {
    if (!result.stretches.empty()) result.stretches.back().end = one.at("at");
    result.stretches.push_back({one.at("at"), end, one.at("name")});
  }
  // The last one may have begun as the run ended.
  std::erase_if(result.stretches, [](const stretch& s) { return s.end - s.begin < 0.1; });
  for (const auto& one : told.at("sizes"))
    result.sizes.push_back({one.at("at"), one.at("size"), one.at("cause")});
  result.task_p99 = told.at("task_p99");
  result.task_mean = told.at("task_mean");
  result.cpu_seconds = told.at("cpu_seconds");
  result.controller_seconds = told.at("controller_seconds");
  result.foreign_cores = told.at("foreign_cores");
  result.remark = told.at("remark");
  return result;
}

outcome laboratory::carry_out(const order& what) {
  constexpr double bearable = 0.04;  // cores; our own runner, and the kernel's threads, use some
  ++runs_;
  std::optional<outcome> best;
  for (int i = 0; i < patience_; ++i) {
    if (i > 0) std::this_thread::sleep_for(std::chrono::milliseconds(500));
    auto next = carry_out_once(what);
    if (!best || next.foreign_cores < best->foreign_cores) best = std::move(next);
    if (best->foreign_cores <= bearable) return std::move(*best);
  }
  ++disturbed_;
  return std::move(*best);
}

double outcome::work_between(double begin, double end) const {
  double work = 0;
  for (std::size_t i = 0; i < completed.size(); ++i) {
    const double from = static_cast<double>(i) * bucket_seconds;
    const double shared = std::min(end, from + bucket_seconds) - std::max(begin, from);
    if (shared > 0) work += completed[i] * shared / bucket_seconds;
  }
  return work;
}

double outcome::rate(const std::string& kind, double skipped) const {
  double work = 0;
  double time = 0;
  for (const auto& one : stretches) {
    const double begin = one.begin + skipped;
    if (one.kind != kind || begin >= one.end) continue;
    work += work_between(begin, one.end);
    time += one.end - begin;
  }
  return time > 0 ? work / time : 0;
}

double work_of_oracle(const std::vector<pace>& oracle, const outcome& run, double begin,
                      double end) {
  double work = 0;
  for (const auto& one : run.stretches)
    for (const auto& best : oracle)
      if (best.kind == one.kind)
        work += best.rate * std::max(0.0, std::min(end, one.end) - std::max(begin, one.begin));
  return work;
}

double share_of_oracle(const std::vector<pace>& oracle, const outcome& run) {
  const double end = run.stretches.back().end;
  return run.work_between(run.what.warm_up, end) /
         work_of_oracle(oracle, run, run.what.warm_up, end);
}

std::optional<double> seconds_to_reach(const std::vector<pace>& oracle, const outcome& run) {
  constexpr double wanted = 0.95;
  constexpr double stays = 1;
  // The beginning alone, so that a slow start is not made up for by what follows; long enough for
  // some tasks to end.
  constexpr double wanted_at_first = 0.9;
  const double at_first = std::max(0.2, 2e-6 * run.task_mean);
  std::vector<double> all;
  for (const auto& one : run.stretches) {
    if (one.end - one.begin < stays) continue;
    double reached = std::numeric_limits<double>::infinity();
    for (double t = one.begin; t + stays <= one.end; t += run.bucket_seconds) {
      const auto share = [&](double length) {
        return run.work_between(t, t + length) / work_of_oracle(oracle, run, t, t + length);
      };
      if (share(stays) < wanted || share(at_first) < wanted_at_first) continue;
      reached = t - one.begin;
      break;
    }
    all.push_back(reached);
  }
  if (all.empty()) return std::nullopt;
  // The upper one of the middle: half of the stretches were no worse.
  std::sort(all.begin(), all.end());
  const double middle = all[all.size() / 2];
  return std::isinf(middle) ? std::nullopt : std::optional(middle);
}

double steps_a_minute(const outcome& run, double begin) {
  const auto steps = std::count_if(run.sizes.begin(), run.sizes.end(),
                                   [begin](const size_step& one) { return one.at >= begin; });
  return static_cast<double>(steps) * 60 / (run.stretches.back().end - begin);
}

}  // namespace bench
