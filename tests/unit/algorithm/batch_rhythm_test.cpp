#include <heddle/algorithm/batch_rhythm.hpp>

#include <chrono>
#include <cmath>
#include <stdexcept>

#include <gtest/gtest.h>

namespace {

using heddle::detail::batch_pace;
using heddle::detail::batch_sizer;
using heddle::prim::time_point;
using namespace std::chrono_literals;

constexpr time_point start = time_point(1h);

TEST(batch_sizer, keeps_to_a_size_that_is_given) {
  batch_sizer s(100);
  EXPECT_FALSE(s.measures());
  EXPECT_EQ(s.next(1'000'000, 4), 100U);
  s.measured(100, 1h);
  EXPECT_EQ(s.next({}, 4), 100U);
  EXPECT_EQ(s.next(7, 4), 100U);
}

TEST(batch_sizer, finds_what_takes_a_millisecond) {
  batch_sizer s(0);
  EXPECT_TRUE(s.measures());
  EXPECT_EQ(s.next({}, 4), 1U);
  for (int i = 0; i != 20; ++i) {
    const std::size_t n = s.next({}, 4);
    s.measured(n, n * 1us);
  }
  EXPECT_EQ(s.next({}, 4), 1000U);
}

TEST(batch_sizer, does_not_conclude_thousands_from_one) {
  batch_sizer s(0);
  s.measured(1, 1ns);
  EXPECT_EQ(s.next({}, 4), 8U);
  s.measured(1, 1ns);  // a batch that had been sent before
  EXPECT_EQ(s.next({}, 4), 8U);
  s.measured(8, 8ns);
  EXPECT_EQ(s.next({}, 4), 64U);
}

TEST(batch_sizer, shrinks_when_items_become_dearer) {
  batch_sizer s(0);
  for (int i = 0; i != 20; ++i) s.measured(1000, 1000 * 1us);
  EXPECT_EQ(s.next({}, 4), 1000U);
  for (int i = 0; i != 60; ++i) s.measured(s.next({}, 4), s.next({}, 4) * 1ms);
  EXPECT_LE(s.next({}, 4), 2U);
  s.measured(1, 1h);
  EXPECT_EQ(s.next({}, 4), 1U);
}

TEST(batch_sizer, has_a_largest_size) {
  batch_sizer s(0);
  for (int i = 0; i != 20; ++i) s.measured(s.next({}, 4), 0ns);
  EXPECT_EQ(s.next({}, 4), batch_sizer::largest);
}

TEST(batch_sizer, leaves_something_for_everybody_at_the_end) {
  batch_sizer s(0);
  for (int i = 0; i != 20; ++i) s.measured(1000, 1000 * 1us);
  EXPECT_EQ(s.next(100'000, 4), 1000U);
  EXPECT_EQ(s.next(400, 4), 100U);
  EXPECT_EQ(s.next(3, 4), 1U);
}

TEST(batch_pace, is_none_unless_told) {
  batch_pace p(0ns, 0, 0, 100);
  for (int i = 0; i != 10; ++i) EXPECT_EQ(p.next(1'000'000, start), start);
}

TEST(batch_pace, pauses_before_each_but_the_first) {
  batch_pace p(10ms, 0, 0, 100);
  EXPECT_EQ(p.next(100, start), start);
  EXPECT_EQ(p.next(100, start), start + 10ms);
  EXPECT_EQ(p.next(100, start + 1s), start + 1010ms);
}

TEST(batch_pace, limits_the_items_in_a_second) {
  batch_pace p(0ns, 1000, 0, 100);
  EXPECT_EQ(p.next(100, start), start);
  EXPECT_EQ(p.next(100, start), start + 100ms);
  EXPECT_EQ(p.next(50, start + 100ms), start + 150ms);
  EXPECT_EQ(p.next(100, start + 1h), start + 1h);
}

TEST(batch_pace, lets_a_burst_go_at_once) {
  batch_pace p(0ns, 1000, 300, 100);
  EXPECT_EQ(p.next(100, start), start);
  EXPECT_EQ(p.next(100, start), start);
  EXPECT_EQ(p.next(100, start), start);
  EXPECT_EQ(p.next(100, start), start + 100ms);
}

TEST(batch_pace, waits_for_the_later_of_the_two) {
  batch_pace p(50ms, 1000, 0, 100);
  EXPECT_EQ(p.next(100, start), start);
  EXPECT_EQ(p.next(100, start), start + 100ms);
  EXPECT_EQ(p.next(100, start + 1h), start + 1h + 50ms);
}

TEST(batch_pace, ends_at_the_end_of_the_clock) {
  batch_pace p(std::chrono::nanoseconds::max(), 0, 0, 1);
  p.next(1, start);
  EXPECT_EQ(p.next(1, start), heddle::prim::never);
}

TEST(batch_pace, refuses_what_is_no_pause_and_no_rate) {
  EXPECT_THROW(batch_pace(-1ns, 0, 0, 1), std::invalid_argument);
  for (const double bad : {-1.0, HUGE_VAL, std::nan("")}) {
    EXPECT_THROW(batch_pace(0ns, bad, 0, 1), std::invalid_argument) << bad;
    EXPECT_THROW(batch_pace(0ns, 1, bad, 1), std::invalid_argument) << bad;
  }
}

}  // namespace
