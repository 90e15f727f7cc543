#include <heddle/base/contention_backoff.hpp>

#include <cstdint>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

using heddle::contention_backoff;

TEST(contention_backoff, takes_turns_from_a_window_that_doubles_up_to_a_cap) {
  for (std::uint64_t seed = 1; seed < 200; ++seed) {
    contention_backoff b(seed);
    std::uint32_t window = contention_backoff::first_window;
    for (int failures = 0; failures < 12; ++failures) {
      const std::uint32_t turns = b.next_turns();
      EXPECT_GE(turns, 1U);
      EXPECT_LE(turns, window);
      if (window < contention_backoff::last_window) window *= 2;
    }
    EXPECT_EQ(window, contention_backoff::last_window);
    b.reset();
    EXPECT_LE(b.next_turns(), contention_backoff::first_window);
  }
}

TEST(contention_backoff, spreads_those_who_failed_together) {
  std::set<std::uint32_t> turns;
  for (std::uint64_t seed = 1; seed < 100; ++seed) {
    contention_backoff b(seed * 7919);
    for (int failures = 0; failures < 10; ++failures) b.next_turns();
    turns.insert(b.next_turns());
  }
  EXPECT_GT(turns.size(), 80U);
}

// Each holds one lock and tries for the other, in opposite order, and steps aside when it fails.
TEST(contention_backoff, lets_two_get_past_each_other) {
  const heddle_test::watchdog dog;
  std::mutex locks[2];
  int passed = 0;  // guarded by both
  heddle_test::run_together(2, [&](unsigned i) {
    for (int round = 0; round < 2'000; ++round) {
      for (contention_backoff turns;; turns.wait()) {
        const std::scoped_lock first(locks[i]);
        const std::unique_lock second(locks[1 - i], std::try_to_lock);
        if (!second) continue;
        ++passed;
        break;
      }
    }
  });
  EXPECT_EQ(passed, 4'000);
}

}  // namespace
