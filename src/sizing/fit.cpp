#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include <heddle/sizing/fit.hpp>

#include "sizing/curve_fit.hpp"
#include "sizing/text.hpp"

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

using detail::count;
using detail::number;
using detail::percent;

using detail::curve_intervals;
using detail::fitted_curve;
using detail::group;
using detail::observation;

void judge(scaling_fit& fit, std::span<const group> groups) {
  double weight = 0;
  double mean = 0;
  for (const group& g : groups) {
    weight += g.weight;
    mean += g.weight * g.size / g.time;
  }
  mean /= weight;
  double unexplained = 0;
  double all = 0;
  bool faster_than_linear = false;
  for (const group& g : groups) {
    const double measured = g.size / g.time;
    const double predicted = fit.throughput(g.size);
    unexplained += g.weight * (measured - predicted) * (measured - predicted);
    all += g.weight * (measured - mean) * (measured - mean);
    const double deviation = std::abs(measured / predicted - 1);
    if (fit.deviates_at == 0 || deviation > fit.largest_deviation) {
      fit.largest_deviation = deviation;
      fit.deviates_at = static_cast<int>(g.size);
    }
    constexpr double clearly = 0.9;
    faster_than_linear = faster_than_linear || g.time < clearly * groups.front().time;
  }
  constexpr double rounding = 1e-18;
  const bool flat = all <= rounding * weight * mean * mean;
  if (flat) {
    fit.r_squared = fit.largest_deviation < 1e-6 ? 1 : 0;
  } else {
    fit.r_squared = std::max(0.0, 1 - unexplained / all);
  }
  if (flat && groups.size() > 1) {
    fit.remark = "the throughput is the same at every size: all work is done by one at a time";
  } else if (faster_than_linear) {
    fit.remark =
        "throughput grows faster than the number of workers, which this law cannot express";
  } else if (fit.misses) {
    fit.remark = "the curve misses the mean at size " + number(fit.deviates_at) + " by " +
                 percent(fit.largest_deviation) + ", more than repetitions vary";
  }
}

void require(const fit_options& options) {
  if (!(options.confidence > 0 && options.confidence < 1))
    throw std::invalid_argument("fit: confidence is " + number(options.confidence) +
                                ", must be above 0 and below 1");
  if (options.resamples < 20 || options.resamples > 1'000'000)
    throw std::invalid_argument("fit: resamples is " + number(options.resamples) +
                                ", must be 20 to 1000000");
}

void require_positive(const char* who, const char* what, double value, int size) {
  if (std::isfinite(value) && value > 0) return;
  throw std::invalid_argument(std::string(who) + ": " + what + " at size " + number(size) + " is " +
                              number(value) + ", must be finite and above 0");
}

void require_size(const char* who, int size) {
  if (size >= 1) return;
  throw std::invalid_argument(std::string(who) + ": size is " + number(size) +
                              ", must be at least 1");
}

scaling_fit fit(scaling_law law, std::vector<observation> observations,
                const fit_options& options) {
  require(options);
  scaling_fit result;
  result.law = law;
  const auto measured = observations.size();
  const std::vector<group> groups = detail::group_by_size(std::move(observations));
  const std::size_t needed = law == scaling_law::amdahl ? 2 : 3;
  if (groups.size() < needed) {
    result.remark = count(static_cast<double>(needed), "different size") + " are needed, " +
                    number(static_cast<double>(groups.size())) +
                    (groups.size() == 1 ? " was measured" : " were measured");
    return result;
  }
  const bool with_kappa = law == scaling_law::universal_scalability;
  const fitted_curve fit = detail::fit_curve(with_kappa, groups);
  const curve_intervals found = detail::find_intervals(
      fit, with_kappa, groups, {options.confidence, options.resamples, options.seed});
  result.fitted = true;
  result.misses = fit.misses;
  result.lambda = found.lambda;
  result.sigma = found.sigma;
  result.kappa = found.kappa;
  result.peak = found.peak;
  judge(result, groups);
  if (!fit.has_scatter && result.remark.empty())
    result.remark = count(static_cast<double>(measured), "measurement") + " for " +
                    count(fit.best.free, "parameter") + " leave no way to tell how exact they are";
  return result;
}

}  // namespace

std::string_view to_string(scaling_law law) noexcept {
  switch (law) {
    case scaling_law::amdahl:
      return "Amdahl's law";
    case scaling_law::universal_scalability:
      return "Universal Scalability Law";
  }
  return "unknown";
}

scaling_fit fit_throughput(scaling_law law, std::span<const scaling_point> points,
                           const fit_options& options) {
  std::vector<observation> observations;
  observations.reserve(points.size());
  for (const scaling_point& p : points) {
    require_size("fit_throughput", p.size);
    require_positive("fit_throughput", "throughput", p.throughput, p.size);
    observations.push_back({static_cast<double>(p.size), p.size / p.throughput});
  }
  return fit(law, std::move(observations), options);
}

scaling_fit fit_residence(scaling_law law, std::span<const scaling_point> points,
                          const fit_options& options) {
  std::vector<observation> observations;
  observations.reserve(points.size());
  for (const scaling_point& p : points) {
    require_size("fit_residence", p.size);
    if (p.residence == 0) continue;
    require_positive("fit_residence", "residence time", p.residence, p.size);
    observations.push_back({static_cast<double>(p.size), p.residence});
  }
  return fit(law, std::move(observations), options);
}

little_check check_little(int size, double throughput, double residence, double noise) {
  require_size("check_little", size);
  require_positive("check_little", "throughput", throughput, size);
  require_positive("check_little", "residence time", residence, size);
  if (!(noise >= 0) || !std::isfinite(noise))
    throw std::invalid_argument("check_little: noise is " + number(noise) +
                                ", must be finite and not negative");
  little_check check{.size = size, .in_progress = throughput * residence};
  const double off = check.in_progress / size - 1;
  check.holds = std::abs(off) <= noise;
  if (check.holds) {
    check.meaning = count(size, "worker") + ", and as many tasks in progress: all are busy";
  } else if (off < 0) {
    check.meaning = number(check.in_progress, 3) + " tasks in progress on the average: of " +
                    count(size, "worker") + ' ' + number(size - check.in_progress, 3) +
                    " are idle, because tasks come too slowly or the last ones run alone";
  } else {
    check.meaning = number(check.in_progress, 3) + " tasks in progress on the average, more than " +
                    count(size, "worker") +
                    ": the time of a task includes waiting for a worker, or a waiting task leaves "
                    "its worker to another one";
  }
  return check;
}

double saturation_size(double highest_throughput, double shortest_residence) {
  const auto require = [](const char* what, double value) {
    if (std::isfinite(value) && value > 0) return;
    throw std::invalid_argument(std::string("saturation_size: ") + what + " is " + number(value) +
                                ", must be finite and above 0");
  };
  require("highest_throughput", highest_throughput);
  require("shortest_residence", shortest_residence);
  return highest_throughput * shortest_residence;
}

std::vector<scaling_point> scaling_points(std::span<const measurement> measurements) {
  std::vector<scaling_point> points;
  points.reserve(measurements.size());
  for (const measurement& m : measurements) {
    scaling_point p{.size = m.size, .throughput = m.throughput()};
    if (m.in_tasks && m.in_tasks->count() > 0)
      p.residence =
          std::chrono::duration<double>(*m.in_tasks).count() / static_cast<double>(m.tasks);
    points.push_back(p);
  }
  return points;
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
