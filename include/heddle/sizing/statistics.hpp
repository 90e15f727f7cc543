// Small statistics of repeated measurements.
#pragma once

#include <cstdint>
#include <span>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

// A number that was estimated, and the interval that holds the true one with the confidence asked
// for, 95 % unless told. Without enough data for an interval it reaches from -infinity to infinity,
// or as far as the number can be at all.
struct estimate {
  double value = 0;
  double low = 0;
  double high = 0;

  // Half the interval's width as a share of the value, by which people say "+-2 %". Infinite when
  // the value is 0 and the interval is not a point.
  HEDDLE_API double relative_half_width() const noexcept;
  bool holds(double truth) const noexcept { return low <= truth && truth <= high; }

  friend bool operator==(const estimate&, const estimate&) = default;
};

inline constexpr double usual_confidence = 0.95;

// None of these allocates, blocks or keeps anything. `confidence` is above 0 and below 1,
// `degrees` (of freedom) is above 0: else std::invalid_argument, which names the value.

// The middle one, or the mean of the two in the middle. Reorders the values. Throws
// std::invalid_argument when there are none. Linear on the average.
HEDDLE_API double median(std::span<double> values);

// The t that a Student-distributed number exceeds in neither direction with this probability:
// 12.71 for 1 degree, 1.96 for very many. Degrees may be fractions. By bisection on the
// incomplete beta function (NIST Digital Library of Mathematical Functions, 8.17), some 10 us.
HEDDLE_API double student_t(double degrees, double confidence = usual_confidence);

// Count, mean and variance of numbers that come one by one, without keeping them.
// Source: B. P. Welford, "Note on a Method for Calculating Corrected Sums of Squares and
// Products", Technometrics 4, 1962.
class running_mean {
 public:
  void add(double value) noexcept {
    ++count_;
    const double from_old = value - mean_;
    mean_ += from_old / static_cast<double>(count_);
    squares_ += from_old * (value - mean_);
  }

  std::uint64_t count() const noexcept { return count_; }
  double mean() const noexcept { return mean_; }  // 0 of none
  // Of the population they were drawn from (divided by count - 1); 0 of fewer than two.
  double variance() const noexcept {
    return count_ < 2 ? 0 : squares_ / static_cast<double>(count_ - 1);
  }

  // The mean of the population. Of fewer than two values it may be anything.
  HEDDLE_API estimate interval(double confidence = usual_confidence) const;

 private:
  std::uint64_t count_ = 0;
  double mean_ = 0;
  double squares_ = 0;
};

HEDDLE_API estimate mean_interval(std::span<const double> values,
                                  double confidence = usual_confidence);

// How far the mean of `b` is from that of `a`, as b - a. The two may vary differently, and may be
// of different counts; of fewer than two values in either it may be anything.
// Source: B. L. Welch, "The Generalization of Student's Problem when Several Different Population
// Variances are Involved", Biometrika 34, 1947.
HEDDLE_API estimate difference(const running_mean& a, const running_mean& b,
                               double confidence = usual_confidence);

// mean(b) / mean(a) of positive numbers. Source: E. C. Fieller, "Some Problems in Interval
// Estimation", Journal of the Royal Statistical Society B 16, 1954, with Welch's degrees of
// freedom. When a's mean may be 0 the interval has no end.
HEDDLE_API estimate ratio(const running_mean& a, const running_mean& b,
                          double confidence = usual_confidence);

}  // namespace heddle::inline HEDDLE_ABI::sizing
