// Parallel algorithms under races: pools and executors at the same time, nested, with failures;
// each of them against its sequential twin, with a grain and with one that is found by measuring.
#include <heddle/algorithm/for_each_batch.hpp>
#include <heddle/algorithm/map_reduce.hpp>
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/algorithm/parallel_scan.hpp>
#include <heddle/algorithm/parallel_sort.hpp>
#include <heddle/algorithm/parallel_transform.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/associative.hpp"
#include "support/pools.hpp"

namespace {

using heddle::loop_options;
using heddle::thread_pool;
using heddle_test::affine;
using heddle_test::pool_watchdog;
using heddle_test::run_together;
using heddle_test::then_apply;
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

// Hundreds of these are worth dividing.
affine slowly(const affine& a) {
  affine result = a;
  for (int i = 0; i != 200; ++i) result = then_apply{}(result, {i % 2 == 0 ? 3U : 5U, a.offset});
  return result;
}
// The same as then_apply: factors are odd.
affine then_apply_slowly(const affine& a, const affine& b) {
  affine result = then_apply{}(a, b);
  result.offset += slowly(b).factor % 2 - 1;
  return result;
}

// A key and where it stood.
using placed = std::pair<unsigned, std::size_t>;
bool smaller_key(const placed& a, const placed& b) { return a.first < b.first; }

std::vector<placed> random_items(std::size_t size, heddle::prim::random& dice) {
  std::vector<placed> all;
  for (std::size_t i = 0; i != size; ++i) all.emplace_back(dice.below(100), i);
  return all;
}

template <class Where>
void check_sums(Where& where, const std::vector<affine>& in, loop_options options) {
  const affine init{7, 9};
  const affine sum = std::accumulate(in.begin(), in.end(), init, then_apply{});
  ASSERT_EQ(parallel_reduce(where, in, init, then_apply_slowly, options), sum);
  ASSERT_EQ(parallel_reduce_deterministic(where, in, init, then_apply{}), sum);
  std::vector<affine> slow(in.size());
  std::transform(in.begin(), in.end(), slow.begin(), slowly);
  ASSERT_EQ(parallel_transform_reduce(where, in, init, then_apply{}, slowly, options),
            std::accumulate(slow.begin(), slow.end(), init, then_apply{}));
  std::vector<affine> out(in.size());
  ASSERT_EQ(parallel_transform(where, in, out.begin(), slowly, options), out.end());
  ASSERT_EQ(out, slow);
  std::vector<affine> sums(in.size());
  std::exclusive_scan(in.begin(), in.end(), sums.begin(), init, then_apply{});
  parallel_exclusive_scan(where, in, out.begin(), init, then_apply_slowly, options);
  ASSERT_EQ(out, sums);
  out = in;
  parallel_exclusive_scan(where, out, out.begin(), init, then_apply_slowly, options);
  ASSERT_EQ(out, sums) << "in place";
  std::inclusive_scan(in.begin(), in.end(), sums.begin(), then_apply{}, init);
  parallel_inclusive_scan(where, in, out.begin(), then_apply_slowly, init, options);
  ASSERT_EQ(out, sums);
}

// The lazily divided loop itself: each element once.
template <class Where>
void check_measured_loop(Where& where, std::size_t size) {
  std::vector<std::uint64_t> calls(size);
  heddle::parallel_for(where, std::size_t{0}, size, [&](std::size_t i) {
    calls[i] += slowly({1, i}).factor % 2;  // an odd number
  });
  ASSERT_EQ(std::count(calls.begin(), calls.end(), 1U), std::ssize(calls));
}

template <class Where>
void check_sorts(Where& where, const std::vector<placed>& items) {
  std::vector<placed> expected = items;
  std::sort(expected.begin(), expected.end());  // of equal keys the one that stood first
  std::vector<placed> sorted = items;
  parallel_stable_sort(where, sorted, smaller_key);
  ASSERT_EQ(sorted, expected);
  sorted = items;
  parallel_sort(where, sorted, smaller_key);
  ASSERT_TRUE(std::is_sorted(sorted.begin(), sorted.end(), smaller_key));
  std::sort(sorted.begin(), sorted.end());
  ASSERT_EQ(sorted, expected) << "the same elements: where each stood makes it one of a kind";
  std::vector<unsigned> keys;
  std::vector<unsigned> expected_keys;
  for (const placed& i : items) keys.push_back(i.first);
  for (const placed& i : expected) expected_keys.push_back(i.first);
  parallel_sort(where, keys);
  ASSERT_EQ(keys, expected_keys);
}

template <class Where>
void check_groups(Where& where, const std::vector<placed>& items) {
  std::vector<std::pair<unsigned, std::vector<std::size_t>>> expected;
  std::vector<std::size_t> number_of(100, items.size());
  for (const placed& i : items) {
    std::size_t& number = number_of[i.first];
    if (number == items.size()) {
      number = expected.size();
      expected.push_back({i.first, {}});
    }
    expected[number].second.push_back(i.second);
  }
  const auto found = heddle::map_reduce<unsigned, std::size_t>(
      where, items, [](const placed& i, auto& emit) { emit(i.first, i.second); },
      [](unsigned, auto places) { return std::vector<std::size_t>(places.begin(), places.end()); });
  ASSERT_EQ(found, expected);
}

template <class Where>
void check_batches(Where& where, const std::vector<placed>& items) {
  std::vector<std::atomic<int>> seen(items.size());
  const auto summary = heddle::for_each_batch(where, items,
                                              [&](auto batch) {
                                                for (const placed& i : batch) ++seen[i.second];
                                              },
                                              {.size = 37});
  ASSERT_EQ(summary.done.items, items.size());
  for (const auto& s : seen) ASSERT_EQ(s, 1);
  std::size_t next = 0;
  heddle::map_batches(
      where, items, [](auto batch) { return std::pair(batch.front().second, batch.size()); },
      [&](const std::pair<std::size_t, std::size_t>& batch) {
        ASSERT_EQ(batch.first, next);
        next += batch.second;
      },
      {.size = 37});
  ASSERT_EQ(next, items.size());
}

TEST_P(algorithm_stress, each_algorithm_does_what_its_twin_does) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle::executor_ref executor = pool.executor();
  run_together(3, [&](unsigned who) {
    heddle::prim::random dice(heddle::prim::next_seed());
    const auto check = [&](auto& where, int round) {
      const std::size_t grain = round % 2 == 0 ? 0 : 1 + dice.below(100);
      check_sums(where, heddle_test::random_affine(dice.below(700), dice), {.grain = grain});
      check_measured_loop(where, 500);
      check_sorts(where, random_items(round % 3 == 0 ? 6'000 : dice.below(1'500), dice));
      check_groups(where, random_items(dice.below(1'000), dice));
      check_batches(where, random_items(dice.below(1'000), dice));
    };
    for (int round = 0; round != 6; ++round) {
      if (who == 0) pool.submit([&] { check(pool, round); }).get();
      if (who == 1) check(executor, round);
      if (who == 2) check(pool, round);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(pools, algorithm_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
