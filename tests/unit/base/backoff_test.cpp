#include <heddle/base/backoff.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <stdexcept>

namespace {

using heddle::backoff;
using namespace std::chrono_literals;

TEST(backoff, doubles_up_to_the_cap_within_its_jitter) {
  backoff b(100ms, 1s, 42);
  for (int round = 0; round < 200; ++round) {
    auto whole = std::chrono::nanoseconds(100ms);
    for (unsigned failures = 1; failures <= 8; ++failures) {
      const auto pause = b.pause(failures);
      EXPECT_GE(pause, whole / 2) << failures;
      EXPECT_LE(pause, whole) << failures;
      whole = whole * 2 > 1s ? std::chrono::nanoseconds(1s) : whole * 2;
    }
  }
}

TEST(backoff, stays_at_the_cap_for_any_number_of_failures) {
  backoff b(1ns, std::chrono::nanoseconds::max(), 1);
  const auto pause = b.pause(4'000'000'000u);
  EXPECT_GE(pause, std::chrono::nanoseconds::max() / 2);
}

TEST(backoff, takes_no_failure_for_the_first) {
  backoff b(100ms, 1s, 42);
  EXPECT_LE(b.pause(0), 100ms);
}

TEST(backoff, spreads_those_who_failed_together) {
  std::set<std::chrono::nanoseconds> pauses;
  for (std::uint64_t seed = 0; seed < 100; ++seed) pauses.insert(backoff(1s, 10s, seed).pause(1));
  EXPECT_GT(pauses.size(), 95u);
}

TEST(backoff, repeats_itself_for_the_same_seed) {
  backoff a(1s, 10s, 7);
  backoff b(1s, 10s, 7);
  for (unsigned failures = 1; failures < 10; ++failures) {
    EXPECT_EQ(a.pause(failures), b.pause(failures));
  }
}

TEST(backoff, refuses_pauses_that_make_no_sense) {
  EXPECT_THROW(backoff(0ns, 1s, 1), std::invalid_argument);
  EXPECT_THROW(backoff(-1s, 1s, 1), std::invalid_argument);
  EXPECT_THROW(backoff(2s, 1s, 1), std::invalid_argument);
}

}  // namespace
