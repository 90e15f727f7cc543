#include <math.h>  // lgamma_r: std::lgamma writes a global

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include <heddle/sizing/statistics.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

double log_gamma(double x) {
  int sign = 0;
  return ::lgamma_r(x, &sign);
}

// The continued fraction of the incomplete beta function, DLMF 8.17.22, by the method of
// W. J. Lentz ("Generating Bessel Functions in Mie Scattering Calculations", 1976). Converges fast
// for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  constexpr int most_terms = 500;
  const auto not_zero = [](double v) { return std::abs(v) < tiny ? tiny : v; };
  double c = 1;
  double d = 1 / not_zero(1 - (a + b) * x / (a + 1));
  double value = d;
  for (int m = 1; m < most_terms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / not_zero(1 + even * d);
    c = not_zero(1 + even / c);
    value *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / not_zero(1 + odd * d);
    c = not_zero(1 + odd / c);
    value *= d * c;
    if (std::abs(d * c - 1) < 1e-14) break;
  }
  return value;
}

// The probability that a Student-distributed number lies outside of [-t, t].
double student_tails(double t, double degrees) {
  const double a = degrees / 2;
  constexpr double b = 0.5;
  const double x = degrees / (degrees + t * t);
  // 1 - x, without what the subtraction would cancel.
  const double rest = t * t / (degrees + t * t);
  if (rest == 0) return 1;
  if (x == 0) return 0;
  const double front = std::exp(a * std::log(x) + b * std::log(rest) + log_gamma(a + b) -
                                log_gamma(a) - log_gamma(b));
  if (x < (a + 1) / (a + b + 2)) return front * beta_fraction(a, b, x) / a;
  return 1 - front * beta_fraction(b, a, rest) / b;
}

void require_confidence(double confidence) {
  if (confidence > 0 && confidence < 1) return;
  throw std::invalid_argument("confidence is " + std::to_string(confidence) +
                              ", must be above 0 and below 1");
}

// Of a mean: its variance, and the degrees of freedom of that.
struct mean_error {
  double variance;
  double degrees;
};

mean_error error_of(const running_mean& m) {
  const auto count = static_cast<double>(m.count());
  return {m.variance() / count, count - 1};
}

// Of the sum of two independent numbers (Welch 1947, Satterthwaite 1946).
mean_error sum_of(mean_error a, mean_error b) {
  const double variance = a.variance + b.variance;
  if (variance == 0) return {0, a.degrees + b.degrees};
  return {variance,
          variance * variance /
              (a.variance * a.variance / a.degrees + b.variance * b.variance / b.degrees)};
}

estimate around(double value, mean_error error, double confidence) {
  const double half = std::sqrt(error.variance) * student_t(error.degrees, confidence);
  return {value, value - half, value + half};
}

}  // namespace

double estimate::relative_half_width() const noexcept {
  const double half = (high - low) / 2;
  if (half == 0) return 0;
  return value == 0 ? infinity : half / std::abs(value);
}

double median(std::span<double> values) {
  if (values.empty()) throw std::invalid_argument("median: of 0 values");
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  const double below = *std::max_element(values.begin(), middle);
  return below + (*middle - below) / 2;
}

double student_t(double degrees, double confidence) {
  require_confidence(confidence);
  if (!(degrees > 0))
    throw std::invalid_argument("student_t: degrees is " + std::to_string(degrees) +
                                ", must be above 0");
  // Beyond, the difference to the normal distribution is below the fifth digit.
  degrees = std::min(degrees, 1e6);
  const double tails = 1 - confidence;
  double low = 0;
  double high = 2;
  while (student_tails(high, degrees) > tails && high < 1e100) high *= 2;
  for (int step = 0; step < 60 && high - low > 1e-12 * high; ++step) {
    const double middle = low + (high - low) / 2;
    (student_tails(middle, degrees) > tails ? low : high) = middle;
  }
  return low + (high - low) / 2;
}

estimate running_mean::interval(double confidence) const {
  require_confidence(confidence);
  if (count_ < 2) return {mean_, -infinity, infinity};
  return around(mean_, error_of(*this), confidence);
}

estimate mean_interval(std::span<const double> values, double confidence) {
  running_mean m;
  for (const double v : values) m.add(v);
  return m.interval(confidence);
}

estimate difference(const running_mean& a, const running_mean& b, double confidence) {
  require_confidence(confidence);
  const double value = b.mean() - a.mean();
  if (a.count() < 2 || b.count() < 2) return {value, -infinity, infinity};
  return around(value, sum_of(error_of(a), error_of(b)), confidence);
}

estimate ratio(const running_mean& a, const running_mean& b, double confidence) {
  require_confidence(confidence);
  if (!(a.mean() > 0) || !(b.mean() >= 0))
    throw std::invalid_argument("ratio: of means " + std::to_string(b.mean()) + " and " +
                                std::to_string(a.mean()) +
                                ", the former must not be negative, the latter be above 0");
  const double value = b.mean() / a.mean();
  if (a.count() < 2 || b.count() < 2) return {value, 0, infinity};
  const mean_error below = error_of(a);
  const mean_error above = error_of(b);
  const mean_error scaled{below.variance * value * value, below.degrees};
  const double t = student_t(sum_of(scaled, above).degrees, confidence);
  const double doubt = t * t * below.variance / (a.mean() * a.mean());
  if (doubt >= 1) return {value, 0, infinity};
  const double half = t / a.mean() * std::sqrt(above.variance * (1 - doubt) + scaled.variance);
  return {value, std::max(0.0, (value - half) / (1 - doubt)), (value + half) / (1 - doubt)};
}

}  // namespace heddle::inline HEDDLE_ABI::sizing
