#include "sizing/curve_fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include <heddle/prim/seed.hpp>

namespace heddle::inline HEDDLE_ABI::sizing::detail {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
// The least variance of a mean; no clock tells better.
constexpr double exact = 1e-14;

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

// Which bounds hold: b at 0, free, or at a; c at 0, or free.
enum class contention { none, free, all };
struct bounds {
  contention b;
  bool with_c;
};

// The best curve where these bounds hold; it may be outside of the others.
std::optional<curve> solve_on(bounds which, std::span<const group> groups,
                              std::span<const double> weights) {
  const bool with_b = which.b == contention::free;
  normal_equations equations(1 + (with_b ? 1 : 0) + (which.with_c ? 1 : 0));
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const double n = groups[i].size;
    const double scale = std::sqrt(weights[i]);
    std::array<double, 3> row{};
    std::size_t column = 0;
    row[column++] = scale * (which.b == contention::all ? n : 1);
    if (with_b) row[column++] = scale * (n - 1);
    if (which.with_c) row[column] = scale * n * (n - 1);
    equations.add(row, scale * groups[i].time);
  }
  const auto x = equations.solve();
  if (!x) return std::nullopt;
  curve c{.a = (*x)[0]};
  if (which.b == contention::all) c.b = c.a;
  if (with_b) c.b = (*x)[1];
  if (which.with_c) c.c = (*x)[with_b ? 2 : 1];
  c.free = 1 + (with_b ? 1 : 0) + (which.with_c ? 1 : 0);
  return c;
}

// The best curve within the bounds. The problem is convex, so the best of the solutions on each set
// of bounds that lie inside of the others is the best of all. Of equals it is the one that takes
// fewer parameters.
curve solve(bool with_c, std::span<const group> groups, std::span<const double> weights) {
  curve best;
  double least = infinity;
  constexpr double rounding = 1e-24;  // of squares
  double all = 0;
  for (std::size_t i = 0; i < groups.size(); ++i)
    all += weights[i] * groups[i].time * groups[i].time;
  for (const contention b : {contention::none, contention::free, contention::all}) {
    for (const bool free_c : {false, true}) {
      if (free_c && !with_c) continue;
      const auto c = solve_on({b, free_c}, groups, weights);
      if (!c || !(c->a > 0 && c->b >= 0 && c->b <= c->a && c->c >= 0)) continue;
      double error = 0;
      for (std::size_t i = 0; i < groups.size(); ++i) {
        const double off = groups[i].time - c->at(groups[i].size);
        error += weights[i] * off * off;
      }
      if (error + rounding * all < least) {
        least = error;
        best = *c;
      }
    }
  }
  return best;
}

// Errors count in proportion to the curve's value, and the less the more a size varies.
std::vector<double> weights_along(const curve& c, double between, std::span<const group> groups) {
  std::vector<double> weights;
  weights.reserve(groups.size());
  for (const group& g : groups) {
    const double value = c.at(g.size);
    weights.push_back(1 / ((std::max(g.variance, exact) + between) * value * value));
  }
  return weights;
}

// Weights follow the curve until it stays.
curve fit_with(double between, bool with_c, std::span<const group> groups) {
  constexpr double precision = 1e-10;
  constexpr int most_rounds = 60;
  std::vector<double> weights;
  for (const group& g : groups)
    weights.push_back(1 / ((std::max(g.variance, exact) + between) * g.time * g.time));
  curve c = solve(with_c, groups, weights);
  for (int round = 1; round < most_rounds; ++round) {
    const curve before = c;
    c = solve(with_c, groups, weights_along(before, between, groups));
    double change = 0;
    for (const group& g : groups)
      change = std::max(change, std::abs(c.at(g.size) / before.at(g.size) - 1));
    if (change < precision) break;
  }
  return c;
}

double degrees_left(const curve& c, std::span<const group> groups) {
  return static_cast<double>(groups.size()) - c.free;
}

// Of relative deviations with such variances: how much there is to explain.
struct deviation {
  double square;
  double variance;
};

// The variance that all deviations must have in common, besides their own, to make the weighted sum
// of their squares this one; 0 when that is too small without it.
double common_variance(std::span<const deviation> all, double sum_of_squares) {
  double common = 0;
  for (int step = 0; step < 50; ++step) {
    double sum = 0;
    double slope = 0;
    for (const deviation& d : all) {
      const double share = d.square / (d.variance + common);
      sum += share;
      slope += share / (d.variance + common);
    }
    if (!(sum > sum_of_squares)) break;
    // Newton's step for the reciprocal of the sum, which is almost straight.
    const double grow = sum * (sum / sum_of_squares - 1) / slope;
    common += grow;
    if (grow < 1e-4 * common) break;
  }
  return common;
}

std::vector<deviation> deviations(const curve& c, std::span<const group> groups) {
  std::vector<deviation> all;
  all.reserve(groups.size());
  for (const group& g : groups) {
    const double off = g.time / c.at(g.size) - 1;
    all.push_back({off * off, std::max(g.variance, exact)});
  }
  return all;
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

  // What a variance may be that was estimated with so many degrees of freedom.
  double variance(double estimated, double degrees) noexcept {
    if (estimated == 0) return 0;
    constexpr double least = 1e-9;
    return estimated * degrees / std::max(chi_square(degrees), least);
  }

 private:
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
  double uniform() noexcept { return (random_.next() + 0.5) / 4294967296.0; }

  prim::random random_;
};

// What was drawn of one parameter.
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

}  // namespace

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
  double spread = 0;
  double degrees = 0;
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
      g.variance += weight(t) * off * off;
    }
    g.variance_degrees = static_cast<double>(times_of[i].size()) - 1;
    spread += g.variance;
    degrees += g.variance_degrees;
  }
  if (degrees == 0) return groups;
  // How many repetitions the variance of all sizes together is worth at each: more would hide that
  // some vary more than others, fewer leave what three repetitions happen to tell.
  constexpr double common_degrees = 4;
  const double common = spread / degrees;
  for (group& g : groups) {
    const double own = g.variance_degrees;
    g.variance_degrees = own + common_degrees;
    g.variance = (g.variance + common_degrees * common) / g.variance_degrees / g.weight;
  }
  return groups;
}

fitted_curve fit_curve(bool with_c, std::span<const group> groups) {
  fitted_curve fit{.best = fit_with(0, with_c, groups)};
  const bool repeated = groups.front().variance_degrees > 0;
  const double degrees = degrees_left(fit.best, groups);
  fit.has_scatter = repeated || degrees > 0;
  if (degrees <= 0) return fit;

  double unexplained = 0;
  for (const deviation& d : deviations(fit.best, groups)) unexplained += d.square / d.variance;
  // Fisher's test of a lack of fit, near its 95 % to 98 % quantiles for the degrees met here.
  fit.misses = repeated && unexplained > (3 + 3 / degrees) * degrees;

  constexpr int most_rounds = 30;
  constexpr double precision = 1e-3;
  for (int round = 0; round < most_rounds; ++round) {
    const double before = fit.between;
    fit.between = common_variance(deviations(fit.best, groups),
                                  std::max(degrees_left(fit.best, groups), 1.0));
    if (std::abs(fit.between - before) <= precision * fit.between) break;
    fit.best = fit_with(fit.between, with_c, groups);
  }
  return fit;
}

curve_intervals find_intervals(const fitted_curve& fit, bool with_c, std::span<const group> groups,
                               const draw_options& options) {
  const curve& best = fit.best;
  curve_intervals all{.lambda = {best.lambda(), 0, infinity},
                      .sigma = {best.sigma(), 0, 1},
                      .kappa = {best.kappa(), 0, with_c ? infinity : 0},
                      .peak = {best.peak(), 1, infinity}};
  if (!fit.has_scatter) return all;

  const double curve_degrees = degrees_left(best, groups);
  normal errors(options.seed);
  const std::vector<double> weights = weights_along(best, fit.between, groups);
  std::vector<group> drawn(groups.begin(), groups.end());
  draws lambda(options.count);
  draws sigma(options.count);
  draws kappa(options.count);
  draws peak(options.count);
  for (int i = 0; i < options.count; ++i) {
    const double between = errors.variance(fit.between, curve_degrees);
    for (group& g : drawn) {
      const double deviation = std::sqrt(between + errors.variance(g.variance, g.variance_degrees));
      constexpr double least_share = 0.02;  // times are above 0
      g.time = best.at(g.size) * std::max(1 + deviation * errors.next(), least_share);
    }
    const curve c = solve(with_c, drawn, weights);
    lambda.add(c.lambda());
    sigma.add(c.sigma());
    kappa.add(c.kappa());
    peak.add(c.peak());
  }
  all.lambda = lambda.around(best.lambda(), options.confidence);
  all.sigma = sigma.around(best.sigma(), options.confidence);
  all.kappa = kappa.around(best.kappa(), options.confidence);
  all.peak = peak.around(best.peak(), options.confidence);
  return all;
}

}  // namespace heddle::inline HEDDLE_ABI::sizing::detail
