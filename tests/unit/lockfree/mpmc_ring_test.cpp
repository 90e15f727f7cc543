#include <heddle/lockfree/mpmc_ring.hpp>

#include <cstdint>
#include <iterator>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "element.hpp"
#include "support/failing_allocations.hpp"
#include "support/threads.hpp"

namespace {

using heddle::mpmc_ring;
using heddle_test::refused;
using heddle_test::refusing_after;
using heddle_test::throws_when_copied;

TEST(mpmc_ring, rounds_its_capacity_up_to_a_power_of_two) {
  for (const auto& [asked, got] :
       {std::pair<std::size_t, std::size_t>{1, 1}, {2, 2}, {3, 4}, {9, 16}}) {
    mpmc_ring<int> ring(asked);
    ASSERT_EQ(ring.capacity(), got);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < got; ++i) ASSERT_TRUE(ring.try_push(static_cast<int>(i)));
      EXPECT_FALSE(ring.try_push(-1));
      EXPECT_EQ(ring.size(), got);
      for (std::size_t i = 0; i < got; ++i) ASSERT_EQ(ring.try_pop(), static_cast<int>(i));
      EXPECT_FALSE(ring.try_pop().has_value());
    }
  }
}

TEST(mpmc_ring, refuses_nonsense_capacities) {
  EXPECT_THROW(mpmc_ring<int>(0), std::invalid_argument);
  EXPECT_THROW(mpmc_ring<int>(SIZE_MAX), std::invalid_argument);
}

TEST(mpmc_ring, puts_and_takes_no_more_than_fits) {
  mpmc_ring<int> ring(4);
  std::vector<int> values(6);
  std::iota(values.begin(), values.end(), 0);
  EXPECT_EQ(ring.push_n(values.begin(), 3), 3U);
  EXPECT_EQ(ring.push_n(values.begin() + 3, 3), 1U);
  EXPECT_EQ(ring.push_n(values.begin(), 1), 0U);
  EXPECT_EQ(ring.push_n(values.begin(), 0), 0U);
  std::vector<int> taken(6, -1);
  EXPECT_EQ(ring.pop_n(taken.begin(), 0), 0U);
  EXPECT_EQ(ring.pop_n(taken.begin(), 6), 4U);
  EXPECT_EQ(taken, (std::vector<int>{0, 1, 2, 3, -1, -1}));
}

TEST(mpmc_ring, leaves_a_value_alone_that_it_has_no_room_for) {
  mpmc_ring<std::unique_ptr<int>> ring(1);
  ASSERT_TRUE(ring.try_push(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(ring.try_push(std::move(second)));
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(ring.push_n(std::move_iterator(&second), 1), 0U);
  EXPECT_NE(second, nullptr);
}

TEST(mpmc_ring, makes_no_element_that_it_has_no_room_for) {
  mpmc_ring<throws_when_copied> ring(1);
  ASSERT_TRUE(ring.try_emplace(1));
  const throws_when_copied two(2);
  const refusing_after none(0);
  EXPECT_FALSE(ring.try_push(two));
  EXPECT_FALSE(ring.try_emplace(2));
  EXPECT_EQ(ring.push_n(&two, 1), 0U);
}

TEST(mpmc_ring, allocates_once) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const long before = heddle_test::live_allocations;
  {
    mpmc_ring<int> ring(4);
    const heddle_test::failing_allocations none(0);
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(ring.try_push(i));
      ASSERT_EQ(ring.try_pop(), i);
    }
    EXPECT_THROW(mpmc_ring<int>(1), std::bad_alloc);
  }
  EXPECT_EQ(heddle_test::live_allocations, before);
}

}  // namespace
