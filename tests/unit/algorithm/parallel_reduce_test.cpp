#include <heddle/algorithm/parallel_reduce.hpp>

#include <atomic>
#include <bit>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "places.hpp"
#include "support/pools.hpp"

namespace {

using heddle::parallel_reduce;
using heddle::parallel_reduce_deterministic;
using heddle::parallel_transform_reduce;
using heddle_test::at_every_place;
using heddle_test::interesting_sizes;
using heddle_test::workers;

std::vector<std::string> words(std::size_t size) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i != size; ++i) all.push_back(std::to_string(i) + ",");
  return all;
}

// Concatenation is associative and nothing else: an order that is not kept is seen.
TEST(parallel_reduce, is_the_sequential_sum_everywhere) {
  const heddle_test::watchdog dog;
  at_every_place([](auto&... where) {
    for (const std::size_t size : interesting_sizes()) {
      const std::vector<std::string> all = words(size);
      const std::string expected = std::accumulate(all.begin(), all.end(), std::string("init:"));
      for (const std::size_t grain : {0UL, 1UL, 10UL}) {
        ASSERT_EQ(
            parallel_reduce(where..., all, std::string("init:"), std::plus<>{}, {.grain = grain}),
            expected)
            << size << " by " << grain;
      }
      ASSERT_EQ(parallel_reduce_deterministic(where..., all, std::string("init:"), std::plus<>{}),
                expected);
    }
  });
}

TEST(parallel_reduce, of_many_numbers) {
  const heddle_test::watchdog dog;
  std::vector<std::uint32_t> numbers(1'000'001);
  std::iota(numbers.begin(), numbers.end(), 7U);
  const std::uint64_t expected = std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{5});
  at_every_place([&](auto&... where) {
    EXPECT_EQ(parallel_reduce(where..., numbers, std::uint64_t{5}, std::plus<>{}), expected);
  });
}

TEST(parallel_reduce, of_nothing_is_init) {
  const std::vector<int> none;
  EXPECT_EQ(parallel_reduce(none, 3, std::plus<>{}), 3);
  EXPECT_EQ(parallel_reduce_deterministic(none, 3, std::plus<>{}), 3);
  EXPECT_EQ(parallel_transform_reduce(none, 3, std::plus<>{}, [](int) { return 1; }), 3);
}

TEST(parallel_transform_reduce, transforms_each_element_once) {
  const auto count_call = [](int& c) {
    ++c;
    return std::string("four").size();
  };
  at_every_place([&](auto&... where) {
    std::vector<int> calls(300);
    const std::size_t length = parallel_transform_reduce(where..., calls, std::size_t{0},
                                                         std::plus<>{}, count_call, {.grain = 20});
    EXPECT_EQ(length, 1200U);
    EXPECT_EQ(std::count(calls.begin(), calls.end(), 1), 300);
  });
}

TEST(parallel_reduce, of_values_that_can_only_be_moved) {
  struct sum {
    std::unique_ptr<long> value;
    explicit sum(int v) : value(std::make_unique<long>(v)) {}
  };
  const auto add = [](sum a, sum b) {
    *a.value += *b.value;
    return a;
  };
  std::vector<int> numbers(1000, 2);
  heddle::thread_pool pool(workers(2));
  const sum all = parallel_transform_reduce(pool, numbers, sum(1), add,
                                            [](int n) { return sum(n); }, {.grain = 10});
  EXPECT_EQ(*all.value, 2001);
}

TEST(parallel_reduce, leaves_nothing_behind_when_something_throws) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  struct counted_sum {
    heddle_test::counted alive;
    int value = 0;
  };
  const auto add = [](counted_sum a, const counted_sum& b) {
    if (a.value < 0 || b.value < 0) throw std::range_error("sum");
    a.value += b.value;
    return a;
  };
  const auto make = [](int n) { return counted_sum{{}, n}; };
  at_every_place([&](auto&... where) {
    std::vector<int> numbers(1000, 1);
    numbers[700] = -1;
    EXPECT_THROW(static_cast<void>(parallel_transform_reduce(where..., numbers, counted_sum{}, add,
                                                             make, {.grain = 10})),
                 std::range_error);
    EXPECT_EQ(heddle_test::counted::alive, 0);
  });
}

TEST(parallel_reduce_deterministic, has_the_same_bits_everywhere) {
  const heddle_test::watchdog dog;
  for (const std::size_t size : {std::size_t{10}, std::size_t{1'000}, std::size_t{100'003}}) {
    std::vector<double> numbers(size);
    for (std::size_t i = 0; i != size; ++i) numbers[i] = 1.0 / static_cast<double>(i * i + 3);
    const double expected =
        parallel_reduce_deterministic(heddle::inline_executor{}, numbers, 0.1, std::plus<>{});
    EXPECT_NEAR(expected, std::accumulate(numbers.begin(), numbers.end(), 0.1), 1e-9);
    at_every_place([&](auto&... where) {
      for (int round = 0; round != 3; ++round) {
        const double sum = parallel_reduce_deterministic(where..., numbers, 0.1, std::plus<>{});
        EXPECT_EQ(std::bit_cast<std::uint64_t>(sum), std::bit_cast<std::uint64_t>(expected));
      }
    });
  }
}

TEST(parallel_reduce, refuses_null_callables) {
  const std::vector<int> numbers(3);
  const std::function<int(int, int)> none;
  EXPECT_THROW(static_cast<void>(parallel_reduce(numbers, 0, none)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(parallel_reduce_deterministic(numbers, 0, none)),
               std::invalid_argument);
}

}  // namespace
