#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <heddle/prim/seed.hpp>
#include <heddle/sizing/fit.hpp>

#include "sizing/text.hpp"

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

using detail::count;
using detail::number;
using detail::percent;

constexpr double infinity = std::numeric_limits<double>::infinity();

// What is fitted: the time of a task while `size` of them are worked on.
struct observation {
  double size;
  double time;
};

// The repetitions of one size, put together.
struct group {
  double size = 1;
  double time = 0;    // their mean, outliers weighing less
  double weight = 0;  // how many repetitions that is worth
  double spread = 0;  // weighted sum of their squared relative deviations from it
};

// time(N) = a + b (N - 1) + c N (N - 1); a = 1 / lambda, b = sigma / lambda, c = kappa / lambda.
struct curve {
  double a = 0;
  double b = 0;
  double c = 0;
  int free = 0;  // how many of them no bound holds

  double at(double n) const noexcept { return a + (n - 1) * (b + n * c); }
  double lambda() const noexcept { return 1 / a; }
  double sigma() const noexcept { return b / a; }
  double kappa() const noexcept { return c / a; }
  double peak() const noexcept {
    if (b >= a) return 1;
    if (c <= 0) return infinity;
    return std::max(1.0, std::sqrt((a - b) / c));
  }
};

// Median absolute deviation of the repetitions from the median of their size, relative, as a
// standard deviation. The one repetition that is the median itself tells nothing and is left out.
double robust_deviation(std::span<const std::vector<double>> times_of, std::vector<double>& room) {
  room.clear();
  for (const std::vector<double>& times : times_of) {
    if (times.size() < 3) continue;
    std::vector<double> copy = times;
    const double middle = median(copy);
    bool left_out = times.size() % 2 == 0;
    for (const double t : times) {
      const double deviation = std::abs(t - middle) / middle;
      if (deviation == 0 && !left_out) {
        left_out = true;
      } else {
        room.push_back(deviation);
      }
    }
  }
  constexpr double to_standard_deviation = 1.4826;  // of normal errors
  return room.empty() ? 0 : to_standard_deviation * median(room);
}

// Observations become groups, by rising size.
std::vector<group> group_by_size(std::vector<observation> all) {
  std::sort(all.begin(), all.end(), [](const observation& x, const observation& y) {
    return x.size != y.size ? x.size < y.size : x.time < y.time;
  });
  std::vector<group> groups;
  std::vector<std::vector<double>> times_of;
  for (const observation& o : all) {
    if (groups.empty() || groups.back().size != o.size) {
      groups.push_back({.size = o.size});
      times_of.emplace_back();
    }
    times_of.back().push_back(o.time);
  }
  // Huber's weights. The bound is wide, since the deviation comes from few repetitions.
  constexpr double bound = 2.5;
  std::vector<double> room;
  const double deviation = robust_deviation(times_of, room);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    group& g = groups[i];
    room = times_of[i];
    const double middle = median(room);
    const auto weight = [&](double t) {
      const double off = std::abs(t - middle) / middle;
      return deviation == 0 || off <= bound * deviation ? 1 : bound * deviation / off;
    };
    for (const double t : times_of[i]) {
      g.weight += weight(t);
      g.time += weight(t) * t;
    }
    g.time /= g.weight;
    for (const double t : times_of[i]) {
      const double off = t / g.time - 1;
      g.spread += weight(t) * off * off;
    }
  }
  return groups;
}

// Least squares of up to three columns; nothing when these are not independent.
class normal_equations {
 public:
  explicit normal_equations(int columns) : columns_(columns) {}

  void add(const std::array<double, 3>& row, double value) noexcept {
    for (int i = 0; i < columns_; ++i) {
      for (int j = 0; j <= i; ++j) at(i, j) += row[index(i)] * row[index(j)];
      right_[index(i)] += row[index(i)] * value;
    }
  }

  // By Cholesky, each column scaled to length 1 before.
  std::optional<std::array<double, 3>> solve() noexcept {
    std::array<double, 3> scale{1, 1, 1};
    for (int i = 0; i < columns_; ++i) scale[index(i)] = 1 / std::sqrt(at(i, i));
    std::array<double, 3> x{};
    for (int i = 0; i < columns_; ++i) {
      for (int j = 0; j <= i; ++j) {
        double sum = at(i, j) * scale[index(i)] * scale[index(j)];
        for (int k = 0; k < j; ++k) sum -= at(i, k) * at(j, k);
        if (i == j) {
          constexpr double dependent = 1e-12;
          if (!(sum > dependent)) return std::nullopt;
          at(i, i) = std::sqrt(sum);
        } else {
          at(i, j) = sum / at(j, j);
        }
      }
      double sum = right_[index(i)] * scale[index(i)];
      for (int k = 0; k < i; ++k) sum -= at(i, k) * x[index(k)];
      x[index(i)] = sum / at(i, i);
    }
    for (int i = columns_ - 1; i >= 0; --i) {
      double sum = x[index(i)];
      for (int k = i + 1; k < columns_; ++k) sum -= at(k, i) * x[index(k)];
      x[index(i)] = sum / at(i, i);
    }
    for (int i = 0; i < columns_; ++i) x[index(i)] *= scale[index(i)];
    return x;
  }

 private:
  static std::size_t index(int i) noexcept { return static_cast<std::size_t>(i); }
  double& at(int i, int j) noexcept { return left_[index(3 * i + j)]; }

  int columns_;
  std::array<double, 9> left_{};
  std::array<double, 3> right_{};
};

// Which bounds hold: sigma at 0, free, or at 1; kappa at 0, or free.
enum class contention { none, free, all };
struct bounds {
  contention sigma;
  bool with_kappa;
};

std::optional<curve> solve_within(bounds which, std::span<const group> groups,
                                  std::span<const double> weights) {
  const bool with_sigma = which.sigma == contention::free;
  normal_equations equations(1 + (with_sigma ? 1 : 0) + (which.with_kappa ? 1 : 0));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const double n = groups[i].size;
    const double scale = std::sqrt(weights[i]);
    std::array<double, 3> row{};
    std::size_t column = 0;
    row[column++] = scale * (which.sigma == contention::all ? n : 1);
    if (with_sigma) row[column++] = scale * (n - 1);
    if (which.with_kappa) row[column] = scale * n * (n - 1);
    equations.add(row, scale * groups[i].time);
  }
  const auto x = equations.solve();
  if (!x) return std::nullopt;
  curve c{.a = (*x)[0]};
  if (which.sigma == contention::all) c.b = c.a;
  if (with_sigma) c.b = (*x)[1];
  if (which.with_kappa) c.c = (*x)[with_sigma ? 2 : 1];
  c.free = 1 + (with_sigma ? 1 : 0) + (which.with_kappa ? 1 : 0);
  const bool inside = c.a > 0 && c.b >= 0 && c.b <= c.a && c.c >= 0;
  return inside ? std::optional(c) : std::nullopt;
}

// The best curve within the bounds, for given weights. The problem is convex, so the best of the
// solutions on each set of bounds that lie inside of the others is the best of all.
curve solve(scaling_law law, std::span<const group> groups, std::span<const double> weights) {
  curve best;
  double least = infinity;
  for (const contention sigma : {contention::none, contention::free, contention::all}) {
    for (const bool with_kappa : {false, true}) {
      if (with_kappa && law == scaling_law::amdahl) continue;
      const auto c = solve_within({sigma, with_kappa}, groups, weights);
      if (!c) continue;
      double error = 0;
      for (std::size_t i = 0; i < groups.size(); ++i) {
        const double off = groups[i].time - c->at(groups[i].size);
        error += weights[i] * off * off;
      }
      if (error < least) {
        least = error;
        best = *c;
      }
    }
  }
  return best;
}

// Errors in proportion to the curve's value: weights follow the curve until it stays.
curve fit_curve(scaling_law law, std::span<const group> groups, std::vector<double>& weights,
                double precision, int most_rounds) {
  weights.resize(groups.size());
  const auto weigh = [&](std::size_t i, double value) {
    weights[i] = groups[i].weight / (value * value);
  };
  for (std::size_t i = 0; i < groups.size(); ++i) weigh(i, groups[i].time);
  curve c = solve(law, groups, weights);
  for (int round = 1; round < most_rounds; ++round) {
    const curve before = c;
    for (std::size_t i = 0; i < groups.size(); ++i) weigh(i, before.at(groups[i].size));
    c = solve(law, groups, weights);
    double change = 0;
    for (const group& g : groups)
      change = std::max(change, std::abs(c.at(g.size) / before.at(g.size) - 1));
    if (change < precision) break;
  }
  return c;
}

// How repetitions and the curve differ: the standard deviation of a repetition, as a share of the
// curve's value, and how well that is known.
struct scatter {
  double deviation = 0;
  double degrees = 0;  // 0: nothing is known of it
  bool misses =
      false;  // the means of the sizes are further from the curve than repetitions explain
};

scatter scatter_around(const curve& c, std::span<const group> groups) {
  double repetitions = 0;
  double within = 0;
  double from_curve = 0;
  for (const group& g : groups) {
    const double off = g.time / c.at(g.size) - 1;
    repetitions += g.weight;
    within += g.spread;
    from_curve += g.weight * off * off;
  }
  const auto sizes = static_cast<double>(groups.size());
  const double within_degrees = std::max(0.0, repetitions - sizes);
  const double curve_degrees = std::max(0.0, sizes - c.free);
  scatter s;
  // Fisher's test of a lack of fit; 4 is near its 2 % to 5 % quantiles for the degrees met here.
  constexpr double significant = 4;
  constexpr double rounding = 1e-12;
  s.misses = curve_degrees > 0 && within_degrees > 0 && from_curve / sizes > rounding &&
             from_curve / curve_degrees > significant * within / within_degrees;
  s.degrees = s.misses ? curve_degrees : curve_degrees + within_degrees;
  const double sum = s.misses ? from_curve : from_curve + within;
  if (s.degrees >= 1) {
    s.deviation = std::sqrt(sum / s.degrees);
  } else {
    s.degrees = 0;
  }
  return s;
}

// Normally distributed numbers from a fixed seed.
// Source: G. E. P. Box and M. E. Muller, "A Note on the Generation of Random Normal Deviates",
// Annals of Mathematical Statistics 29, 1958.
class normal {
 public:
  explicit normal(std::uint64_t seed) : random_(seed * 0x9E3779B97F4A7C15ULL) {}

  double next() noexcept {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }

  // The sum of so many squares of such numbers; for many by E. B. Wilson and M. M. Hilferty, "The
  // Distribution of Chi-square", Proceedings of the National Academy of Sciences 17, 1931.
  double chi_square(double degrees) noexcept {
    constexpr double few = 12;
    if (degrees <= few) {
      double sum = 0;
      for (int i = 0; i < static_cast<int>(std::lround(degrees)); ++i) {
        const double z = next();
        sum += z * z;
      }
      return sum;
    }
    const double width = 2 / (9 * degrees);
    const double root = 1 - width + next() * std::sqrt(width);
    return degrees * root * root * root;
  }

 private:
  double uniform() noexcept { return (random_.next() + 0.5) / 4294967296.0; }

  prim::random random_;
};

// What the bootstrap makes of one parameter.
class draws {
 public:
  explicit draws(int expected) { values_.reserve(static_cast<std::size_t>(expected)); }
  void add(double value) { values_.push_back(value); }

  // Percentiles; the estimate itself is always inside.
  estimate around(double value, double confidence) {
    std::sort(values_.begin(), values_.end());
    const double tail = (1 - confidence) / 2;
    return {value, std::min(value, at(tail)), std::max(value, at(1 - tail))};
  }

 private:
  double at(double share) const {
    const auto last = static_cast<double>(values_.size() - 1);
    return values_[static_cast<std::size_t>(std::lround(share * last))];
  }

  std::vector<double> values_;
};

void find_intervals(scaling_fit& fit, const curve& c, const scatter& s, std::vector<group> groups,
                    const fit_options& options) {
  fit.lambda = {c.lambda(), 0, infinity};
  fit.sigma = {c.sigma(), 0, 1};
  fit.kappa = {c.kappa(), 0, fit.law == scaling_law::amdahl ? 0 : infinity};
  fit.peak = {c.peak(), 1, infinity};
  if (s.degrees == 0) return;

  normal errors(options.seed);
  draws lambda(options.resamples);
  draws sigma(options.resamples);
  draws kappa(options.resamples);
  draws peak(options.resamples);
  std::vector<double> weights;
  for (int i = 0; i < options.resamples; ++i) {
    const double deviation =
        s.deviation * std::sqrt(s.degrees / std::max(errors.chi_square(s.degrees), 1e-9));
    for (group& g : groups) {
      const double share = 1 + deviation / std::sqrt(g.weight) * errors.next();
      constexpr double least_share = 0.02;  // times are above 0
      g.time = c.at(g.size) * std::max(share, least_share);
    }
    const curve drawn = fit_curve(fit.law, groups, weights, 1e-5, 8);
    lambda.add(drawn.lambda());
    sigma.add(drawn.sigma());
    kappa.add(drawn.kappa());
    peak.add(drawn.peak());
  }
  fit.lambda = lambda.around(c.lambda(), options.confidence);
  fit.sigma = sigma.around(c.sigma(), options.confidence);
  fit.kappa = kappa.around(c.kappa(), options.confidence);
  fit.peak = peak.around(c.peak(), options.confidence);
}

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
  const std::vector<group> groups = group_by_size(std::move(observations));
  const std::size_t needed = law == scaling_law::amdahl ? 2 : 3;
  if (groups.size() < needed) {
    result.remark = count(static_cast<double>(needed), "different size") + " are needed, " +
                    number(static_cast<double>(groups.size())) +
                    (groups.size() == 1 ? " was measured" : " were measured");
    return result;
  }
  std::vector<double> weights;
  const curve c = fit_curve(law, groups, weights, 1e-10, 60);
  const scatter s = scatter_around(c, groups);
  result.fitted = true;
  result.misses = s.misses;
  find_intervals(result, c, s, groups, options);
  judge(result, groups);
  if (s.degrees == 0 && result.remark.empty())
    result.remark = count(static_cast<double>(measured), "measurement") + " for " +
                    count(c.free, "parameter") + " leave no way to tell how exact they are";
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
