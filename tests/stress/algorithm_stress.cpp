// Parallel algorithms under races: pools and executors at the same time, nested, with failures.
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/algorithm/parallel_scan.hpp>
#include <heddle/algorithm/parallel_sort.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/pools.hpp"

namespace {

using heddle::thread_pool;
using heddle_test::pool_watchdog;
using heddle_test::run_together;
using heddle_test::unhandled_log;

class algorithm_stress : public heddle_test::pool_test {};

TEST_P(algorithm_stress, each_result_is_the_sequential_one) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle::executor_ref executor = pool.executor();
  run_together(3, [&](unsigned who) {
    heddle::prim::random dice(heddle::prim::next_seed());
    const auto check = [&](auto& where) {
      const auto size = static_cast<std::size_t>(dice.below(3'000));
      const std::size_t grain = 1 + dice.below(100);
      std::vector<std::uint64_t> in(size);
      for (auto& e : in) e = dice.below(1'000);
      std::vector<std::uint64_t> expected(size);
      std::inclusive_scan(in.begin(), in.end(), expected.begin());
      std::vector<std::uint64_t> out(size);
      parallel_inclusive_scan(where, in, out.begin(), std::plus<>{}, {.grain = grain});
      ASSERT_EQ(out, expected);
      ASSERT_EQ(parallel_reduce(where, in, std::uint64_t{1}, std::plus<>{}, {.grain = grain}),
                std::accumulate(in.begin(), in.end(), std::uint64_t{1}));
      std::vector<std::string> words;
      for (const auto e : in) words.push_back(std::to_string(e));
      parallel_stable_sort(where, words);
      ASSERT_TRUE(std::is_sorted(words.begin(), words.end()));
      std::atomic<std::size_t> calls{0};
      heddle::parallel_for(
          where, 0, 10,
          [&](int) { heddle::parallel_for(where, 0, 10, [&](int) { ++calls; }, {.grain = 1}); },
          {.grain = 1});
      ASSERT_EQ(calls, 100U);
    };
    for (int round = 0; round != 20; ++round) {
      if (who == 0) pool.submit([&] { check(pool); }).get();
      if (who == 1) check(executor);
      if (who == 2) check(pool);
    }
  });
}

TEST_P(algorithm_stress, failures_come_out_once_each) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unhandled_log log;
  std::atomic<std::uint64_t> thrown{0};
  std::atomic<std::uint64_t> caught{0};
  heddle::executor_ref executor = pool.executor();
  run_together(2, [&](unsigned who) {
    for (int round = 0; round != 100; ++round) {
      std::atomic<int> running{0};
      const auto f = [&](int i) {
        ++running;
        if (i % 7 == 6) {
          ++thrown;
          --running;
          throw std::runtime_error("seventh");
        }
        --running;
      };
      try {
        if (who == 0) {
          heddle::parallel_for(pool, 0, 60, f, {.grain = 1});
        } else {
          heddle::parallel_for(executor, 0, 60, f, {.grain = 1});
        }
      } catch (const std::runtime_error&) {
        ++caught;
      }
      ASSERT_EQ(running, 0);
    }
  });
  EXPECT_EQ(caught, 200U);
  EXPECT_EQ(caught + log.count(), thrown);
}

INSTANTIATE_TEST_SUITE_P(pools, algorithm_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
