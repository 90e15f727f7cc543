// Parallel algorithms beside their sequential twins: the same result for an operation that is
// associative and nothing else, no more copies, and nothing lost when a copy fails.
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/algorithm/parallel_scan.hpp>
#include <heddle/algorithm/parallel_sort.hpp>
#include <heddle/algorithm/parallel_transform.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "places.hpp"
#include "support/associative.hpp"
#include "support/pools.hpp"

namespace {

using heddle::parallel_exclusive_scan;
using heddle::parallel_inclusive_scan;
using heddle::parallel_reduce;
using heddle::parallel_reduce_deterministic;
using heddle::parallel_sort;
using heddle::parallel_stable_sort;
using heddle::parallel_transform;
using heddle::parallel_transform_reduce;
using heddle_test::affine;
using heddle_test::at_every_place;
using heddle_test::refusing_executor;
using heddle_test::then_apply;
using heddle_test::workers;

constexpr std::size_t twin_sizes[] = {0, 1, 2, 3, 101, 1'000, 20'001};

affine turned_around(const affine& a) { return {a.factor + 2 * a.offset, a.factor}; }

TEST(algorithm_twins, reduce_and_transform_do_what_their_twins_do) {
  const heddle_test::watchdog dog;
  heddle::prim::random dice(4711);
  for (const std::size_t size : twin_sizes) {
    const std::vector<affine> in = heddle_test::random_affine(size, dice);
    std::vector<affine> turned(size);
    std::transform(in.begin(), in.end(), turned.begin(), turned_around);
    const affine init{3, 4};
    const affine sum = std::accumulate(in.begin(), in.end(), init, then_apply{});
    const affine turned_sum = std::accumulate(turned.begin(), turned.end(), init, then_apply{});
    at_every_place([&](auto&... where) {
      for (const std::size_t grain : {0UL, 1UL, 64UL}) {
        const heddle::loop_options by{.grain = grain};
        ASSERT_EQ(parallel_reduce(where..., in, init, then_apply{}, by), sum);
        ASSERT_EQ(parallel_transform_reduce(where..., in, init, then_apply{}, turned_around, by),
                  turned_sum);
        std::vector<affine> out(size);
        ASSERT_EQ(parallel_transform(where..., in, out.begin(), turned_around, by), out.end());
        ASSERT_EQ(out, turned);
      }
      ASSERT_EQ(parallel_reduce_deterministic(where..., in, init, then_apply{}), sum);
    });
  }
}

TEST(algorithm_twins, scans_do_what_their_twins_do) {
  const heddle_test::watchdog dog;
  heddle::prim::random dice(4712);
  for (const std::size_t size : twin_sizes) {
    const std::vector<affine> in = heddle_test::random_affine(size, dice);
    const affine init{3, 4};
    std::vector<affine> inclusive(size);
    std::vector<affine> with_init(size);
    std::vector<affine> exclusive(size);
    std::inclusive_scan(in.begin(), in.end(), inclusive.begin(), then_apply{});
    std::inclusive_scan(in.begin(), in.end(), with_init.begin(), then_apply{}, init);
    std::exclusive_scan(in.begin(), in.end(), exclusive.begin(), init, then_apply{});
    at_every_place([&](auto&... where) {
      for (const std::size_t grain : {0UL, 1UL, 64UL}) {
        const heddle::loop_options by{.grain = grain};
        std::vector<affine> out(size);
        parallel_inclusive_scan(where..., in, out.begin(), then_apply{}, by);
        ASSERT_EQ(out, inclusive);
        parallel_inclusive_scan(where..., in, out.begin(), then_apply{}, init, by);
        ASSERT_EQ(out, with_init);
        out = in;
        parallel_exclusive_scan(where..., out, out.begin(), init, then_apply{}, by);
        ASSERT_EQ(out, exclusive);
      }
    });
  }
}

// Counts how often a value of its kind is copied, and makes one of these fail if it is told so.
struct copied_number {
  explicit copied_number(int n = 0) : value(std::make_unique<int>(n)) {}
  copied_number(const copied_number& other) : value(std::make_unique<int>(*other.value)) {
    count_copy();
  }
  copied_number& operator=(const copied_number& other) {
    count_copy();
    *value = *other.value;
    return *this;
  }
  copied_number(copied_number&&) noexcept = default;
  copied_number& operator=(copied_number&&) noexcept = default;

  static void count_copy() {
    if (++copies == fails_at) throw std::range_error("copy");
  }
  static void start(std::int64_t fail_at = 0) {
    copies = 0;
    fails_at = fail_at;
  }

  friend bool operator<(const copied_number& a, const copied_number& b) {
    return *a.value < *b.value;
  }

  heddle_test::counted alive;
  std::unique_ptr<int> value;
  static inline std::atomic<std::int64_t> copies{0};
  static inline std::atomic<std::int64_t> fails_at{0};
};

copied_number plus(copied_number a, const copied_number& b) {
  *a.value += *b.value;
  return a;
}

std::vector<copied_number> copied_numbers(std::size_t size) {
  heddle::prim::random dice(size);
  std::vector<copied_number> all;
  for (std::size_t i = 0; i != size; ++i) {
    all.emplace_back(static_cast<int>(dice.below(1'000)));
  }
  return all;
}

TEST(algorithm_twins, sorts_and_transform_copy_nothing) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(4));
  for (const std::size_t size : {10UL, 300UL, 20'000UL}) {
    std::vector<copied_number> numbers = copied_numbers(size);
    copied_number::start();
    parallel_sort(pool, numbers);
    std::rotate(numbers.begin(), numbers.begin() + 5, numbers.end());
    parallel_stable_sort(pool, numbers);
    EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
    std::vector<copied_number> out(size);
    parallel_transform(pool, numbers, out.begin(),
                       [](const copied_number& n) { return copied_number(*n.value + 1); },
                       {.grain = 10});
    parallel_transform(pool, numbers, out.begin(), [](copied_number& n) { return std::move(n); });
    EXPECT_EQ(copied_number::copies, 0);
  }
}

TEST(algorithm_twins, a_sum_copies_an_element_for_each_piece_at_most) {
  heddle::thread_pool pool(workers(4));
  const std::vector<copied_number> numbers = copied_numbers(5'000);
  copied_number::start();
  static_cast<void>(parallel_reduce(pool, numbers, copied_number(1), plus, {.grain = 100}));
  EXPECT_LE(copied_number::copies, 5'000 / 50 + 1);
  copied_number::start();
  static_cast<void>(
      parallel_transform_reduce(pool, numbers, copied_number(1), plus,
                                [](const copied_number& n) { return copied_number(*n.value); }));
  EXPECT_EQ(copied_number::copies, 0);
}

TEST(algorithm_twins, scans_that_nobody_helps_copy_as_much_as_their_twins) {
  const std::vector<copied_number> numbers = copied_numbers(1'000);
  std::vector<copied_number> out(numbers.size());
  copied_number::start();
  std::inclusive_scan(numbers.begin(), numbers.end(), out.begin(), plus);
  const std::int64_t of_the_twin = copied_number::copies;
  copied_number::start();
  parallel_inclusive_scan(refusing_executor{}, numbers, out.begin(), plus, {.grain = 10});
  EXPECT_LE(copied_number::copies, of_the_twin);
  copied_number::start();
  std::exclusive_scan(numbers.begin(), numbers.end(), out.begin(), copied_number(1), plus);
  const std::int64_t of_the_other_twin = copied_number::copies;
  copied_number::start();
  parallel_exclusive_scan(refusing_executor{}, numbers, out.begin(), copied_number(1), plus,
                          {.grain = 10});
  EXPECT_LE(copied_number::copies, of_the_other_twin);
}

// A copy somewhere in the middle fails, once.
template <class Call>
void expect_that_one_copy_fails(const std::vector<copied_number>& numbers, Call call) {
  for (const std::int64_t at : {1L, 2L, 77L, 500L}) {
    const int alive = heddle_test::counted::alive;
    {
      std::vector<copied_number> out(numbers.size());
      copied_number::start(at);
      EXPECT_THROW(call(out), std::range_error);
      copied_number::start();
    }
    EXPECT_EQ(heddle_test::counted::alive, alive);
  }
}

TEST(algorithm_twins, a_copy_that_fails_comes_out_and_nothing_leaks) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  const std::vector<copied_number> numbers = copied_numbers(1'000);
  at_every_place([&](auto&... where) {
    for (const std::size_t grain : {0UL, 5UL}) {
      const heddle::loop_options by{.grain = grain};
      expect_that_one_copy_fails(numbers, [&](std::vector<copied_number>& out) {
        parallel_transform(where..., numbers, out.begin(), std::identity{}, by);
      });
      expect_that_one_copy_fails(numbers, [&](std::vector<copied_number>& out) {
        parallel_inclusive_scan(where..., numbers, out.begin(), plus, by);
      });
      expect_that_one_copy_fails(numbers, [&](std::vector<copied_number>& out) {
        parallel_exclusive_scan(where..., numbers, out.begin(), copied_number(1), plus, by);
      });
    }
  });
  EXPECT_EQ(log.count(), 0U) << "only one copy has failed at a time";
}

TEST(algorithm_twins, comparators_that_are_no_order_lose_nothing_on_pools) {
  const heddle_test::watchdog dog;
  static std::atomic<unsigned> asked;
  const std::function<bool(int, int)> disorders[] = {
      [](int, int) { return true; },
      [](int a, int b) { return a <= b; },
      [](int a, int b) { return (a ^ b) % 3 == 0; },
      [](int, int) { return (++asked * 2654435761U >> 13) % 2 == 0; },
  };
  heddle::prim::random dice(4713);
  for (const unsigned n : {2U, 4U}) {
    heddle::thread_pool pool(workers(n));
    std::vector<int> numbers(20'000);
    for (int& i : numbers) i = static_cast<int>(dice.below(1'000'000));
    std::vector<std::string> words;
    for (const int i : numbers) words.push_back(std::to_string(i));
    const auto is_permutation_of = [](auto some, auto others) {
      std::sort(some.begin(), some.end());
      std::sort(others.begin(), others.end());
      return some == others;
    };
    for (const auto& disorder : disorders) {
      const auto by_length_and_disorder = [&](const std::string& a, const std::string& b) {
        return disorder(static_cast<int>(a.size() + static_cast<unsigned char>(a[0])),
                        static_cast<int>(b.size() + static_cast<unsigned char>(b[0])));
      };
      std::vector<int> sorted = numbers;
      parallel_sort(pool, sorted, std::ref(disorder));
      ASSERT_TRUE(is_permutation_of(sorted, numbers));
      parallel_stable_sort(pool, sorted, std::ref(disorder));
      ASSERT_TRUE(is_permutation_of(sorted, numbers));
      std::vector<std::string> sorted_words = words;
      parallel_sort(pool, sorted_words, by_length_and_disorder);
      ASSERT_TRUE(is_permutation_of(sorted_words, words));
      parallel_stable_sort(pool, sorted_words, by_length_and_disorder);
      ASSERT_TRUE(is_permutation_of(sorted_words, words));
    }
  }
}

}  // namespace
