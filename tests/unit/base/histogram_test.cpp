#include <heddle/base/histogram.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

namespace {

using heddle::histogram;

TEST(histogram, is_empty_at_first) {
  const histogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.min(), 0u);
  EXPECT_EQ(h.max(), 0u);
  EXPECT_EQ(h.mean(), 0.0);
  EXPECT_EQ(h.quantile(0.5), 0u);
}

TEST(histogram, keeps_small_values_exactly) {
  histogram h;
  for (std::uint64_t v = 1; v <= 100; ++v) h.record(v);
  EXPECT_EQ(h.quantile(0), 1u);
  EXPECT_EQ(h.quantile(0.5), 50u);
  EXPECT_EQ(h.quantile(0.9), 90u);
  EXPECT_EQ(h.quantile(0.99), 99u);
  EXPECT_EQ(h.quantile(1), 100u);
  EXPECT_DOUBLE_EQ(h.mean(), 50.5);
}

TEST(histogram, holds_the_extremes_of_64_bits) {
  histogram h;
  h.record(0);
  h.record(UINT64_MAX);
  EXPECT_EQ(h.min(), 0u);
  EXPECT_EQ(h.max(), UINT64_MAX);
  EXPECT_EQ(h.quantile(0.5), 0u);
  EXPECT_EQ(h.quantile(0.51), UINT64_MAX);
}

TEST(histogram, puts_the_values_around_every_power_of_two_within_a_64th) {
  for (unsigned bit = 1; bit < 64; ++bit) {
    for (const std::uint64_t offset : {UINT64_MAX, std::uint64_t{0}, std::uint64_t{1}}) {
      const std::uint64_t value = (std::uint64_t{1} << bit) + offset;
      histogram h;
      h.record(value);
      h.record(UINT64_MAX);  // so that the quantile is not cut to the maximum
      const std::uint64_t found = h.quantile(0.5);
      EXPECT_GE(found, value);
      EXPECT_LE(found - value, value / 64) << value;
    }
  }
}

TEST(histogram, agrees_with_sorting) {
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> values;
  histogram h;
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t value = random() >> (random() % 60);
    values.push_back(value);
    h.record(value);
  }
  std::sort(values.begin(), values.end());
  for (const double share : {0.001, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999}) {
    const auto rank = static_cast<std::size_t>(std::ceil(share * 20'000));
    const std::uint64_t exact = values[rank - 1];
    const std::uint64_t found = h.quantile(share);
    EXPECT_GE(found, exact) << share;
    EXPECT_LE(found - exact, exact / 64) << share;
  }
}

TEST(histogram, merges_as_if_recorded_in_one) {
  const auto a = std::make_unique<histogram>();
  const auto b = std::make_unique<histogram>();
  const auto both = std::make_unique<histogram>();
  for (std::uint64_t v = 1; v < 1000; ++v) {
    (v % 3 == 0 ? *a : *b).record(v * v);
    both->record(v * v);
  }
  a->merge(*b);
  EXPECT_EQ(a->count(), both->count());
  EXPECT_EQ(a->min(), both->min());
  EXPECT_EQ(a->max(), both->max());
  EXPECT_DOUBLE_EQ(a->mean(), both->mean());
  for (const double share : {0.1, 0.5, 0.9}) EXPECT_EQ(a->quantile(share), both->quantile(share));
}

TEST(histogram, forgets_when_cleared) {
  histogram h;
  h.record(7);
  h.clear();
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.min(), 0u);
  EXPECT_EQ(h.max(), 0u);
  EXPECT_EQ(h.quantile(0.5), 0u);
}

}  // namespace
