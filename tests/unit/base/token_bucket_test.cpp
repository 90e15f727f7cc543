#include <heddle/base/token_bucket.hpp>

#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>

#include <gtest/gtest.h>

namespace {

using heddle::token_bucket;
using heddle::prim::time_point;
using namespace std::chrono_literals;

constexpr time_point start = time_point(1h);

TEST(token_bucket, is_full_at_first) {
  token_bucket b(10, 3);
  EXPECT_EQ(b.available(start), 3);
  EXPECT_TRUE(b.try_take(1, start));
  EXPECT_TRUE(b.try_take(1, start));
  EXPECT_TRUE(b.try_take(1, start));
  EXPECT_FALSE(b.try_take(1, start));
}

TEST(token_bucket, gets_tokens_evenly_and_never_more_than_it_holds) {
  token_bucket b(10, 3);
  EXPECT_TRUE(b.try_take(3, start));
  EXPECT_FALSE(b.try_take(1, start + 99ms));
  EXPECT_TRUE(b.try_take(1, start + 100ms));
  EXPECT_FALSE(b.try_take(1, start + 199ms));
  EXPECT_DOUBLE_EQ(b.available(start + 250ms), 1.5);
  EXPECT_EQ(b.available(start + 1h), 3);
}

TEST(token_bucket, gives_tokens_ahead_of_their_time_and_says_when_that_is) {
  token_bucket b(10, 3);
  EXPECT_EQ(b.take(2, start), start);
  EXPECT_EQ(b.take(2, start), start + 100ms);
  EXPECT_EQ(b.take(5, start), start + 600ms);
  EXPECT_DOUBLE_EQ(b.available(start), -6);
  EXPECT_EQ(b.take(0, start + 200ms), start + 600ms);
  EXPECT_FALSE(b.try_take(1, start + 600ms));
  EXPECT_TRUE(b.try_take(1, start + 700ms));
}

TEST(token_bucket, lets_through_what_is_larger_than_it_holds) {
  token_bucket b(1000, 1);
  EXPECT_EQ(b.take(100, start), start + 99ms);
  EXPECT_EQ(b.take(100, start + 99ms), start + 199ms);
}

TEST(token_bucket, keeps_to_its_rate_over_a_long_time) {
  token_bucket b(3, 1);  // a third of a second is no whole number of nanoseconds
  time_point t = start;
  for (int i = 0; i != 3'000'001; ++i) t = b.take(1, t);
  EXPECT_NEAR(std::chrono::duration<double>(t - start).count(), 1e6, 1e-3);
}

TEST(token_bucket, takes_no_token_for_a_failure) {
  token_bucket b(1, 2);
  for (int i = 0; i != 100; ++i) EXPECT_FALSE(b.try_take(3, start));
  EXPECT_TRUE(b.try_take(2, start));
}

TEST(token_bucket, counts_a_time_that_runs_backwards_as_the_latest) {
  token_bucket b(10, 1);
  EXPECT_TRUE(b.try_take(1, start + 1s));
  EXPECT_FALSE(b.try_take(1, start));
  EXPECT_EQ(b.take(1, start), start + 1100ms);
  EXPECT_TRUE(b.try_take(0, start + 1200ms));
}

TEST(token_bucket, ends_at_the_end_of_the_clock) {
  token_bucket b(1e-9, 1);
  EXPECT_EQ(b.take(1e15, start), heddle::prim::never);
  EXPECT_EQ(b.take(1, heddle::prim::never), heddle::prim::never);
}

TEST(token_bucket, refuses_what_is_no_rate_and_no_amount) {
  const double infinite = std::numeric_limits<double>::infinity();
  for (const double bad : {0.0, -1.0, infinite, std::nan("")}) {
    EXPECT_THROW(token_bucket(bad, 1), std::invalid_argument) << bad;
    EXPECT_THROW(token_bucket(1, bad), std::invalid_argument) << bad;
  }
  token_bucket b(1, 1);
  for (const double bad : {-1.0, std::nan("")}) {
    EXPECT_THROW(b.take(bad, start), std::invalid_argument) << bad;
    EXPECT_THROW(b.try_take(bad, start), std::invalid_argument) << bad;
  }
}

}  // namespace
