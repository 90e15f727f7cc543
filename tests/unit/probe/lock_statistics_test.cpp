#include <heddle/probe/lock_statistics.hpp>

#include <array>
#include <chrono>
#include <cstdint>

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using heddle::lock_statistics;
using heddle::time_distribution;

time_distribution of(std::initializer_list<std::uint64_t> times) {
  std::array<std::uint64_t, time_distribution::steps> counts{};
  std::chrono::nanoseconds total{0};
  std::chrono::nanoseconds longest{0};
  for (const std::uint64_t ns : times) {
    const std::chrono::nanoseconds time(static_cast<std::int64_t>(ns));
    ++counts[time_distribution::step_of(ns)];
    total += time;
    longest = std::max(longest, time);
  }
  return {counts, total, longest};
}

TEST(time_distribution, steps_follow_each_other_without_gaps) {
  std::size_t last = 0;
  for (std::uint64_t ns = 0; ns < 5000; ++ns) {
    const std::size_t step = time_distribution::step_of(ns);
    ASSERT_TRUE(step == last || step == last + 1 || ns == 0) << ns;
    last = step;
  }
  EXPECT_EQ(time_distribution::step_of(UINT64_MAX), time_distribution::steps - 1);
}

TEST(time_distribution, quantiles_are_at_most_a_quarter_too_high) {
  for (std::uint64_t ns = 1; ns < (std::uint64_t{1} << 46); ns = ns * 3 + 1) {
    const auto at = static_cast<std::uint64_t>(of({ns, 1ULL << 47}).quantile(0.5).count());
    EXPECT_GE(at, ns);
    EXPECT_LE(at, ns + ns / 4);
  }
}

TEST(time_distribution, quantiles_never_exceed_the_longest) {
  const time_distribution d = of({1, 10, 100, 1000});
  EXPECT_EQ(d.quantile(1), 1000ns);
  EXPECT_EQ(d.quantile(7), 1000ns);
  EXPECT_EQ(d.quantile(-1), 1ns);
  EXPECT_EQ(of({1ULL << 50}).quantile(0.5), std::chrono::nanoseconds(1LL << 50));
  EXPECT_EQ(time_distribution().quantile(0.5), 0ns);
}

TEST(time_distribution, has_a_mean_and_adds_up) {
  time_distribution d = of({10, 20});
  d.add(of({30, 60}));
  EXPECT_EQ(d.count(), 4u);
  EXPECT_EQ(d.total(), 120ns);
  EXPECT_EQ(d.longest(), 60ns);
  EXPECT_EQ(d.mean(), 30ns);
  EXPECT_EQ(time_distribution().mean(), 0ns);
}

TEST(lock_statistics, derives_ratios_and_rates) {
  lock_statistics s;
  s.acquisitions = 100;
  s.contended = 25;
  s.wait = of({300, 100});
  s.hold = of({10, 14});  // a sample: 100 of them take 1200
  s.recorded_for = 2s;
  EXPECT_DOUBLE_EQ(s.contended_share(), 0.25);
  EXPECT_EQ(s.total_hold(), 1200ns);
  EXPECT_EQ(s.mean_critical_section(), 12ns);
  EXPECT_DOUBLE_EQ(s.contention_ratio(), 0.25);
  EXPECT_DOUBLE_EQ(s.acquisitions_per_second(), 50);
}

TEST(lock_statistics, are_zero_when_nothing_was_recorded) {
  const lock_statistics s;
  EXPECT_EQ(s.contended_share(), 0);
  EXPECT_EQ(s.total_hold(), 0ns);
  EXPECT_EQ(s.contention_ratio(), 0);
  EXPECT_EQ(s.acquisitions_per_second(), 0);
}

TEST(lock_statistics, add_up_and_keep_the_place_of_the_longest_hold) {
  int here = 0;
  int there = 0;
  lock_statistics a;
  a.acquisitions = 1;
  a.hold = of({5});
  a.longest_hold_site = &here;
  lock_statistics b;
  b.acquisitions = 2;
  b.contended = 1;
  b.given_up = 3;
  b.long_waits = 4;
  b.hold = of({50});
  b.longest_hold_site = &there;
  a.add(b);
  EXPECT_EQ(a.acquisitions, 3u);
  EXPECT_EQ(a.contended, 1u);
  EXPECT_EQ(a.given_up, 3u);
  EXPECT_EQ(a.long_waits, 4u);
  EXPECT_EQ(a.longest_hold_site, &there);
}

}  // namespace
