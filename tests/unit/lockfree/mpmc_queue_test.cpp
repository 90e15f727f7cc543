#include <heddle/lockfree/mpmc_queue.hpp>

#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "element.hpp"
#include "support/failing_allocations.hpp"
#include "support/threads.hpp"

namespace {

using queue = heddle::mpmc_queue<int>;

TEST(mpmc_queue, keeps_the_order_of_each_producer) {
  queue q;
  queue::producer one(q);
  queue::producer two(q);
  for (int i = 0; i < 1000; ++i) {
    one.push(i);
    two.push(1000 + i);
  }
  EXPECT_EQ(q.size(), 2000U);
  int next[2] = {0, 1000};
  queue::consumer from(q);
  for (int i = 0; i < 2000; ++i) {
    const std::optional<int> value = from.try_pop();
    ASSERT_TRUE(value.has_value());
    ASSERT_EQ(*value, next[*value / 1000]++);
  }
  EXPECT_FALSE(from.try_pop().has_value());
}

TEST(mpmc_queue, gives_each_producer_its_turn) {
  queue q;
  queue::producer busy(q);
  queue::producer other(q);
  other.push(-1);
  queue::consumer from(q);
  int before = 0;
  for (int i = 0; i < 10'000; ++i) {
    busy.push(i);
    if (*from.try_pop() == -1) break;
    ++before;
  }
  EXPECT_LT(before, 2000);
}

TEST(mpmc_queue, producers_and_consumers_of_either_kind_meet) {
  queue q;
  queue::producer put(q);
  queue::consumer take(q);
  q.push(1);
  EXPECT_EQ(take.try_pop(), 1);
  put.push(2);
  EXPECT_EQ(q.try_pop(), 2);
  put.emplace(3);
  q.emplace(4);
  int taken[3] = {};
  ASSERT_EQ(take.pop_n(taken, 3), 2U);
  EXPECT_EQ(taken[0] + taken[1], 7);
}

TEST(mpmc_queue, batch_goes_over_several_producers_and_blocks) {
  queue q;
  std::vector<int> values(500);
  std::iota(values.begin(), values.end(), 0);
  std::vector<std::unique_ptr<queue::producer>> producers;
  for (int i = 0; i < 3; ++i) {
    producers.push_back(std::make_unique<queue::producer>(q));
    producers.back()->push_n(values.begin(), values.size());
  }
  std::vector<int> taken(2000);
  ASSERT_EQ(q.pop_n(taken.begin(), taken.size()), 1500U);
  std::vector<int> times(500, 0);
  for (std::size_t i = 0; i < 1500; ++i) ++times[static_cast<std::size_t>(taken[i])];
  EXPECT_EQ(times, std::vector<int>(500, 3));
}

TEST(mpmc_queue, gives_the_lane_of_a_producer_that_has_gone_to_the_next) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  queue q;
  {
    queue::producer(q).push(1);
  }
  {
    const heddle_test::failing_allocations none(0);
    queue::producer next(q);
    next.push(2);
    EXPECT_THROW(queue::producer{q}, std::bad_alloc);
  }
  EXPECT_EQ(q.try_pop(), 1);
  EXPECT_EQ(q.try_pop(), 2);
}

TEST(mpmc_queue, gives_the_lane_of_a_thread_that_has_ended_to_the_next) {
  queue q;
  std::thread([&] { q.push(1); }).join();
  const long before = heddle_test::live_allocations;
  for (int i = 0; i < 10; ++i) std::thread([&] { q.push(2); }).join();
  EXPECT_EQ(heddle_test::live_allocations, before);
  EXPECT_EQ(q.try_pop(), 1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(q.try_pop(), 2);
}

TEST(mpmc_queue, is_unchanged_when_it_gets_no_memory) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  queue q;
  queue::producer put(q);
  int pushed = 0;
  {
    const heddle_test::failing_allocations few(3);
    try {
      for (;; ++pushed) put.push(pushed);
    } catch (const std::bad_alloc&) {
    }
    EXPECT_THROW(put.push(-1), std::bad_alloc);
  }
  EXPECT_EQ(q.size(), static_cast<std::size_t>(pushed));
  put.push(pushed);
  for (int i = 0; i <= pushed; ++i) ASSERT_EQ(q.try_pop(), i);
  EXPECT_FALSE(q.try_pop().has_value());
}

// The first of the next block cannot be made: the block is there already, and is used.
TEST(mpmc_queue, is_unchanged_when_the_first_element_of_a_block_cannot_be_made) {
  heddle::mpmc_queue<heddle_test::throws_when_copied> q;
  const heddle_test::throws_when_copied one(1);
  for (int i = 0; i < 1000; ++i) {
    {
      const heddle_test::refusing_after none(0);
      ASSERT_THROW(q.push(one), heddle_test::refused);
    }
    q.push(one);
  }
  EXPECT_EQ(q.size(), 1000U);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(q.try_pop()->value, 1);
}

TEST(mpmc_queue, gives_the_memory_of_a_peak_back) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const long before = heddle_test::live_allocations;
  {
    queue q;
    queue::producer put(q);
    for (int i = 0; i < 100'000; ++i) put.push(i);
    const long peak = heddle_test::live_allocations - before;
    for (int i = 0; i < 100'000; ++i) ASSERT_EQ(q.try_pop(), i);
    EXPECT_LT(heddle_test::live_allocations - before, peak / 10);
    // And goes on with what it has.
    const long kept = heddle_test::live_allocations;
    for (int i = 0; i < 100'000; ++i) {
      put.push(i);
      ASSERT_EQ(q.try_pop(), i);
    }
    EXPECT_LE(heddle_test::live_allocations, kept + 1);
  }
  EXPECT_EQ(heddle_test::live_allocations, before);
}

}  // namespace
