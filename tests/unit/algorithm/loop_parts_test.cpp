// What loops on executors make beside their elements: how many parts, and how often an operation is
// called.
#include <heddle/algorithm/loop.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/algorithm/parallel_scan.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "places.hpp"
#include "support/threads.hpp"

namespace {

using heddle::parallel_inclusive_scan;
using heddle::parallel_reduce;
using heddle::parallel_reduce_deterministic;
using heddle_test::at_every_place;
using heddle_test::refusing_executor;

// Collects the numbers of its elements, and counts the parts that were made for it.
class collection final : public heddle::detail::loop_work {
 public:
  struct part final : heddle::detail::loop_part {
    std::vector<std::size_t> numbers;
  };

  void run(heddle::detail::loop_part* into, std::size_t first, std::size_t last) override {
    for (std::size_t i = first; i != last; ++i) {
      before_each(i);
      static_cast<part*>(into)->numbers.push_back(i);
    }
  }
  std::unique_ptr<heddle::detail::loop_part> new_part() override {
    ++parts;
    return std::make_unique<part>();
  }
  void append(heddle::detail::loop_part& left, heddle::detail::loop_part& right) override {
    auto& all = static_cast<part&>(left).numbers;
    const auto& more = static_cast<part&>(right).numbers;
    all.insert(all.end(), more.begin(), more.end());
  }

  std::function<void(std::size_t)> before_each = [](std::size_t) {};
  std::atomic<int> parts{0};
};

template <class E>
int parts_made_on(E&& executor, std::size_t grain, collection& work) {
  constexpr std::size_t size = 1000;
  collection::part all;
  heddle::executor_ref where = executor.executor();
  run_loop(work, size, &all, {.grain = grain}, heddle::detail::loop_place(where));
  std::vector<std::size_t> expected(size);
  std::iota(expected.begin(), expected.end(), std::size_t{0});
  EXPECT_EQ(all.numbers, expected);
  return work.parts;
}

template <class E>
int parts_made_on(E&& executor) {
  collection work;
  return parts_made_on(executor, 1, work);
}

TEST(loop_parts, a_caller_without_helpers_makes_none) {
  EXPECT_EQ(parts_made_on(refusing_executor{}), 0);
  heddle::manual_executor manual;
  EXPECT_EQ(parts_made_on(manual), 0);
  manual.drain();
}

TEST(loop_parts, a_job_that_takes_all_makes_one) {
  EXPECT_EQ(parts_made_on(heddle::inline_executor{}), 1);
  EXPECT_EQ(parts_made_on(heddle_test::recursive_executor{}), 1);
}

// The caller and a helper come between each other's elements.
TEST(loop_parts, those_of_two_threads_keep_their_order) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(2);
  for (int round = 0; round != 50; ++round) {
    std::atomic<std::size_t> begun{0};
    collection work;
    work.before_each = [&](std::size_t i) {
      ++begun;
      // Every tenth waits until somebody else has gone beyond it, while there is more to come.
      while (i % 10 == 0 && i < 900 && begun < i + 2) std::this_thread::yield();
    };
    EXPECT_GE(parts_made_on(pool, 1, work), 2);
  }
}

template <class... Where>
void expect_as_many_additions_as_elements(Where&... where) {
  const std::vector<std::uint64_t> in(1000, 1);
  std::atomic<std::uint64_t> calls{0};
  const auto add = [&](std::uint64_t a, std::uint64_t b) {
    ++calls;
    return a + b;
  };
  for (const std::size_t grain : {0UL, 1UL, 7UL}) {
    calls = 0;
    EXPECT_EQ(parallel_reduce(where..., in, std::uint64_t{5}, add, {.grain = grain}), 1005U);
    EXPECT_EQ(calls, 1000U);
  }
  calls = 0;
  EXPECT_EQ(parallel_reduce_deterministic(where..., in, std::uint64_t{5}, add), 1005U);
  EXPECT_EQ(calls, 1000U);
}

TEST(loop_parts, a_sum_takes_as_many_additions_as_there_are_elements) {
  const heddle_test::watchdog dog;
  at_every_place([](auto&... where) { expect_as_many_additions_as_elements(where...); });
}

template <class E>
std::uint64_t additions_of_a_scan(E&& where, std::size_t grain) {
  const std::vector<std::uint64_t> in(1000, 1);
  std::vector<std::uint64_t> out(in.size());
  std::atomic<std::uint64_t> calls{0};
  const auto add = [&](std::uint64_t a, std::uint64_t b) {
    ++calls;
    return a + b;
  };
  parallel_inclusive_scan(where, in, out.begin(), add, {.grain = grain});
  EXPECT_EQ(out.back(), 1000U);
  return calls;
}

TEST(loop_parts, a_scan_adds_each_element_once_that_nobody_else_takes) {
  for (const std::size_t grain : {0UL, 1UL, 7UL}) {
    EXPECT_EQ(additions_of_a_scan(refusing_executor{}, grain), 999U);
    heddle::manual_executor manual;
    EXPECT_EQ(additions_of_a_scan(manual, grain), 999U);
    manual.drain();
  }
  EXPECT_LE(additions_of_a_scan(heddle::inline_executor{}, 1), 2000U);
}

}  // namespace
