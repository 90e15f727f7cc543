#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <heddle/sizing/statistics.hpp>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <vector>

#include "unit/sizing/noise.hpp"

namespace {

using namespace heddle::sizing;
using sizing_test::noise;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr double infinite_value = std::numeric_limits<double>::infinity();

running_mean of(std::initializer_list<double> values) {
  running_mean m;
  for (const double v : values) m.add(v);
  return m;
}

TEST(median, is_the_middle_one_or_the_mean_of_two) {
  std::vector<double> odd{9, 1, 5};
  std::vector<double> even{4, 1, 3, 2};
  std::vector<double> one{7};
  EXPECT_EQ(median(odd), 5);
  EXPECT_EQ(median(even), 2.5);
  EXPECT_EQ(median(one), 7);
  EXPECT_THAT([] { median({}); }, ThrowsMessage<std::invalid_argument>(HasSubstr("0 values")));
}

// M. Abramowitz and I. A. Stegun, "Handbook of Mathematical Functions", table 26.10.
TEST(student_t, has_the_quantiles_of_the_tables) {
  const struct {
    double degrees, confidence, t;
  } table[] = {{1, 0.95, 12.706}, {2, 0.95, 4.303},  {3, 0.95, 3.182},
               {4, 0.9, 2.132},   {5, 0.99, 4.032},  {10, 0.95, 2.228},
               {10, 0.5, 0.700},  {30, 0.95, 2.042}, {120, 0.95, 1.980}};
  for (const auto& row : table)
    EXPECT_NEAR(student_t(row.degrees, row.confidence), row.t, 6e-4) << row.degrees;
  EXPECT_NEAR(student_t(1e12), 1.95996, 1e-4);
  EXPECT_NEAR(student_t(1, 0.5), 1, 1e-9) << "the quartile of Cauchy's distribution";
}

TEST(student_t, falls_with_the_degrees_also_between_whole_ones) {
  double before = infinite_value;
  for (double degrees = 0.5; degrees < 50; degrees *= 1.1) {
    const double t = student_t(degrees);
    EXPECT_LT(t, before) << degrees;
    before = t;
  }
}

TEST(student_t, refuses_nonsense) {
  EXPECT_THAT([] { student_t(0); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("degrees is 0")));
  EXPECT_THAT([] { student_t(-1); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("degrees is -1")));
  EXPECT_THAT([] { student_t(std::nan("")); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("nan")));
  EXPECT_THAT([] { student_t(3, 1); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("confidence is 1")));
  EXPECT_THAT([] { student_t(3, 0); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("confidence is 0")));
}

TEST(running_mean, of_few_values) {
  EXPECT_EQ(running_mean().mean(), 0);
  EXPECT_EQ(running_mean().variance(), 0);
  EXPECT_EQ(of({3}).variance(), 0);
  EXPECT_EQ(of({3}).interval(), (estimate{3, -infinite_value, infinite_value}));
  const running_mean m = of({1, 2, 3, 4});
  EXPECT_EQ(m.count(), 4U);
  EXPECT_DOUBLE_EQ(m.mean(), 2.5);
  EXPECT_DOUBLE_EQ(m.variance(), 5.0 / 3);
  const estimate e = m.interval();
  const double half = 3.182446 * std::sqrt(5.0 / 12);
  EXPECT_NEAR(e.low, 2.5 - half, 1e-5);
  EXPECT_NEAR(e.high, 2.5 + half, 1e-5);
}

TEST(running_mean, keeps_small_deviations_from_large_values) {
  const running_mean m = of({1e9 + 1, 1e9 + 2, 1e9 + 3});
  EXPECT_NEAR(m.variance(), 1, 1e-6);
}

TEST(mean_interval, holds_the_mean_in_95_of_100_samples) {
  int held = 0;
  constexpr int samples = 2000;
  noise n(1);
  for (int i = 0; i < samples; ++i) {
    std::array<double, 4> values{};
    for (double& v : values) v = 10 + n.next();
    held += mean_interval(values).holds(10) ? 1 : 0;
  }
  EXPECT_GT(held, 0.935 * samples);
  EXPECT_LT(held, 0.965 * samples);
}

TEST(estimate, width_is_a_share_of_the_value) {
  EXPECT_DOUBLE_EQ((estimate{50, 49, 51}).relative_half_width(), 0.02);
  EXPECT_DOUBLE_EQ((estimate{-50, -51, -49}).relative_half_width(), 0.02);
  EXPECT_EQ((estimate{0, 0, 0}).relative_half_width(), 0);
  EXPECT_EQ((estimate{0, -1, 1}).relative_half_width(), infinite_value);
  EXPECT_EQ((estimate{1, -infinite_value, infinite_value}).relative_half_width(), infinite_value);
}

// Welch's t of {1, 2, 3} and {4, 6, 8, 10}: degrees 4.41, so t = 2.675 (by interpolation of its
// table).
TEST(difference, of_samples_that_vary_differently) {
  const estimate d = difference(of({1, 2, 3}), of({4, 6, 8, 10}));
  EXPECT_DOUBLE_EQ(d.value, 5);
  const double half = std::sqrt(1.0 / 3 + 20.0 / 3 / 4) * student_t(4.0 / (1.0 / 18 + 25.0 / 27));
  EXPECT_NEAR(d.high - d.value, half, 0.02);
  EXPECT_NEAR(d.value - d.low, half, 0.02);
}

TEST(difference, of_too_few_is_unknown) {
  EXPECT_EQ(difference(of({1}), of({4, 5})), (estimate{3.5, -infinite_value, infinite_value}));
  EXPECT_EQ(difference(of({1, 1}), of({4, 4})), (estimate{3, 3, 3}));
}

TEST(ratio, holds_the_truth_in_95_of_100_samples) {
  int held = 0;
  constexpr int samples = 2000;
  noise n(2);
  for (int i = 0; i < samples; ++i) {
    running_mean a, b;
    for (int k = 0; k < 5; ++k) a.add(100 + 10 * n.next());
    for (int k = 0; k < 8; ++k) b.add(120 + 5 * n.next());
    held += ratio(a, b).holds(1.2) ? 1 : 0;
  }
  EXPECT_GT(held, 0.93 * samples);
  EXPECT_LT(held, 0.975 * samples);
}

TEST(ratio, of_what_may_be_zero_has_no_end) {
  EXPECT_EQ(ratio(of({0.1, 5}), of({1, 1})).high, infinite_value);
  EXPECT_EQ(ratio(of({2}), of({4, 4})), (estimate{2, 0, infinite_value}));
  EXPECT_EQ(ratio(of({2, 2}), of({4, 4})), (estimate{2, 2, 2}));
  EXPECT_THAT([] { ratio(of({0, 0}), of({4, 4})); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("0.000000")));
  EXPECT_THAT([] { ratio(of({1, 1}), of({-4, -4})); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("-4.000000")));
}

}  // namespace
