#include <heddle/prim/clock.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <gtest/gtest.h>

namespace {

namespace prim = heddle::prim;
using namespace std::chrono_literals;

TEST(clock, is_steady) { EXPECT_TRUE(prim::clock::is_steady); }

TEST(deadline_after, adds_the_timeout_to_now) {
  const auto before = prim::clock::now();
  const auto deadline = prim::deadline_after(5s);
  const auto after = prim::clock::now();
  EXPECT_GE(deadline, before + 5s);
  EXPECT_LE(deadline, after + 5s);
}

TEST(deadline_after, never_comes_for_timeouts_beyond_the_clock) {
  EXPECT_EQ(prim::deadline_after(std::chrono::hours::max()), prim::never);
  EXPECT_EQ(prim::deadline_after(std::chrono::nanoseconds::max()), prim::never);
  EXPECT_EQ(prim::deadline_after(std::chrono::seconds::max()), prim::never);
  EXPECT_EQ(prim::deadline_after(std::chrono::duration<double>(1e300)), prim::never);
  EXPECT_EQ(
      prim::deadline_after(std::chrono::duration<double>(std::numeric_limits<double>::infinity())),
      prim::never);
}

TEST(deadline_after, has_passed_for_timeouts_that_are_not_positive) {
  const auto has_passed = [](auto timeout) {
    const prim::time_point deadline = prim::deadline_after(timeout);
    return deadline <= prim::clock::now();
  };
  EXPECT_TRUE(has_passed(0ns));
  EXPECT_TRUE(has_passed(-1ns));
  EXPECT_TRUE(has_passed(std::chrono::nanoseconds::min()));
  EXPECT_TRUE(has_passed(std::chrono::hours::min()));
  EXPECT_TRUE(has_passed(std::chrono::duration<double>(-1e300)));
}

TEST(deadline_after, rounds_a_fraction_of_a_tick_up) {
  using picoseconds = std::chrono::duration<std::int64_t, std::pico>;
  const auto before = prim::clock::now();
  EXPECT_GT(prim::deadline_after(picoseconds(1)), before);
}

TEST(deadline_after, is_before_never_for_a_century) {
  EXPECT_LT(prim::deadline_after(std::chrono::years(100)), prim::never);
}

}  // namespace
