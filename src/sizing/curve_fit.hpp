// The curve through the times of tasks at several sizes, and how exactly the measurements fix it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/sizing/statistics.hpp>

namespace heddle::inline HEDDLE_ABI::sizing::detail {

// What is fitted: the time of a task while `size` of them are worked on.
struct observation {
  double size;
  double time;
};

// The repetitions of one size, put together. Variances are of shares: 0.0001 is 1 % of the time.
struct group {
  double size = 1;
  double time = 0;    // their mean, outliers weighing less
  double weight = 0;  // how many repetitions that is worth

  // Of the mean, as repetitions tell, and its degrees of freedom; both are 0 where no size has been
  // repeated. What few repetitions tell is drawn towards what all sizes have in common
  // (G. K. Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression
  // in Microarray Experiments", Statistical Applications in Genetics and Molecular Biology 3, 2004,
  // section 3).
  double variance = 0;
  double variance_degrees = 0;
};

// By rising size.
std::vector<group> group_by_size(std::vector<observation> all);

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
    if (c <= 0) return std::numeric_limits<double>::infinity();
    return std::max(1.0, std::sqrt((a - b) / c));
  }
};

struct fitted_curve {
  curve best;  // with 0 <= b <= a and 0 <= c
  // Of the means of sizes, besides what repetitions tell: from the curve not being the right one,
  // and from what all repetitions of a size have in common.
  double between = 0;
  bool misses = false;       // the means are further from the curve than repetitions explain
  bool has_scatter = false;  // there are more measurements than parameters, so errors can be seen
};

// c is 0 unless `with_c`. Requires: as many groups as parameters.
fitted_curve fit_curve(bool with_c, std::span<const group> groups);

struct curve_intervals {
  estimate lambda;
  estimate sigma;
  estimate kappa;
  estimate peak;
};

struct draw_options {
  double confidence;
  int count;
  std::uint64_t seed;
};

// As wide as they can be where no scatter tells how exact the curve is.
curve_intervals find_intervals(const fitted_curve& fit, bool with_c, std::span<const group> groups,
                               const draw_options& options);

}  // namespace heddle::inline HEDDLE_ABI::sizing::detail
