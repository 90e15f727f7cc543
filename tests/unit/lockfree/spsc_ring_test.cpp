#include <heddle/lockfree/spsc_ring.hpp>

#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "element.hpp"
#include "support/failing_allocations.hpp"

namespace {

using heddle::spsc_ring;
using heddle_test::refused;
using heddle_test::refusing_after;
using heddle_test::throwing;

TEST(spsc_ring, holds_exactly_its_capacity) {
  for (const std::size_t capacity : {1U, 2U, 3U, 5U, 8U, 100U}) {
    spsc_ring<int> ring(capacity);
    EXPECT_EQ(ring.capacity(), capacity);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < capacity; ++i) ASSERT_TRUE(ring.try_push(static_cast<int>(i)));
      EXPECT_FALSE(ring.try_push(-1));
      EXPECT_EQ(ring.size(), capacity);
      int value = -1;
      for (std::size_t i = 0; i < capacity; ++i) {
        ASSERT_TRUE(ring.try_pop(value));
        EXPECT_EQ(value, static_cast<int>(i));
      }
      EXPECT_FALSE(ring.try_pop(value));
      EXPECT_TRUE(ring.empty());
    }
  }
}

TEST(spsc_ring, refuses_nonsense_capacities) {
  EXPECT_THROW(spsc_ring<int>(0), std::invalid_argument);
  EXPECT_THROW(spsc_ring<int>((std::size_t{1} << 40) + 1), std::invalid_argument);
  try {
    const spsc_ring<int> ring(SIZE_MAX);
    ADD_FAILURE();
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find(std::to_string(SIZE_MAX)), std::string::npos) << e.what();
  }
}

// Every mixture of the operations on one thread does what std::deque does.
TEST(spsc_ring, agrees_with_an_ordinary_deque) {
  for (const std::size_t capacity : {1U, 3U, 8U}) {
    spsc_ring<int> ring(capacity);
    std::deque<int> expected;
    std::mt19937 dice(static_cast<unsigned>(capacity));
    for (int i = 0; i < 20'000; ++i) {
      const std::size_t batch = dice() % (capacity + 2);
      switch (dice() % 4) {
        case 0: {
          ASSERT_EQ(ring.try_push(i), expected.size() < capacity);
          if (expected.size() < capacity) expected.push_back(i);
          break;
        }
        case 1: {
          std::vector<int> values(batch);
          std::iota(values.begin(), values.end(), i);
          const std::size_t put = std::min(batch, capacity - expected.size());
          ASSERT_EQ(ring.push_n(values.begin(), batch), put);
          expected.insert(expected.end(), values.begin(),
                          values.begin() + static_cast<std::ptrdiff_t>(put));
          break;
        }
        case 2: {
          const std::optional<int> value = ring.try_pop();
          ASSERT_EQ(value.has_value(), !expected.empty());
          if (value) {
            ASSERT_EQ(*value, expected.front());
            expected.pop_front();
          }
          break;
        }
        default: {
          std::vector<int> values;
          const std::size_t taken = std::min(batch, expected.size());
          ASSERT_EQ(ring.pop_n(std::back_inserter(values), batch), taken);
          const auto end = expected.begin() + static_cast<std::ptrdiff_t>(taken);
          ASSERT_EQ(values, std::vector<int>(expected.begin(), end));
          expected.erase(expected.begin(), end);
        }
      }
      ASSERT_EQ(ring.size(), expected.size());
      ASSERT_EQ(ring.empty(), expected.empty());
    }
  }
}

TEST(spsc_ring, leaves_a_value_alone_that_it_has_no_room_for) {
  spsc_ring<std::unique_ptr<int>> ring(1);
  ASSERT_TRUE(ring.try_push(std::make_unique<int>(1)));
  auto second = std::make_unique<int>(2);
  EXPECT_FALSE(ring.try_push(std::move(second)));
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(*second, 2);
  std::unique_ptr<int> batch[1] = {std::move(second)};
  EXPECT_EQ(ring.push_n(std::move_iterator(batch), 1), 0U);
  EXPECT_NE(batch[0], nullptr);
}

TEST(spsc_ring, is_unchanged_when_an_element_cannot_be_made) {
  spsc_ring<throwing> ring(2);
  ASSERT_TRUE(ring.try_emplace(1));
  const throwing two(2);
  {
    const refusing_after none(0);
    EXPECT_THROW(ring.try_push(two), refused);
    EXPECT_THROW(ring.try_emplace(2), refused);
  }
  EXPECT_EQ(ring.size(), 1U);
  ASSERT_TRUE(ring.try_push(two));
  EXPECT_EQ(ring.try_pop()->value, 1);
  EXPECT_EQ(ring.try_pop()->value, 2);
}

TEST(spsc_ring, keeps_an_element_that_cannot_be_moved_out) {
  {
    spsc_ring<throwing> ring(2);
    ring.try_emplace(1);
    ring.try_emplace(2);
    throwing value;
    {
      const refusing_after none(0);
      EXPECT_THROW(ring.try_pop(value), refused);
      EXPECT_THROW(ring.try_pop(), refused);
    }
    EXPECT_EQ(ring.size(), 2U);
    EXPECT_FALSE(ring.try_emplace(3));
    ASSERT_TRUE(ring.try_pop(value));
    EXPECT_EQ(value.value, 1);
    ASSERT_TRUE(ring.try_pop(value));
    EXPECT_EQ(value.value, 2);
  }
  EXPECT_EQ(throwing::alive, 0);
}

TEST(spsc_ring, batch_that_throws_has_put_or_taken_what_came_before) {
  {
    spsc_ring<throwing> ring(4);
    std::vector<throwing> values(3);
    for (int i = 0; i < 3; ++i) values[static_cast<std::size_t>(i)].value = i;
    {
      const refusing_after two(2);
      EXPECT_THROW(ring.push_n(std::move_iterator(values.begin()), 3), refused);
    }
    EXPECT_EQ(values[0].value, -1);
    EXPECT_EQ(values[1].value, -1);
    EXPECT_EQ(values[2].value, 2);
    ASSERT_EQ(ring.size(), 2U);
    ring.try_push(values[2]);

    std::vector<throwing> taken(3);
    {
      const refusing_after one(1);
      EXPECT_THROW(ring.pop_n(taken.begin(), 3), refused);
    }
    EXPECT_EQ(taken[0].value, 0);
    ASSERT_EQ(ring.size(), 2U);
    EXPECT_EQ(ring.pop_n(taken.begin() + 1, 2), 2U);
    EXPECT_EQ(taken[1].value, 1);
    EXPECT_EQ(taken[2].value, 2);
  }
  EXPECT_EQ(throwing::alive, 0);
}

TEST(spsc_ring, allocates_once) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const long before = heddle_test::live_allocations;
  {
    spsc_ring<int> ring(3);
    const heddle_test::failing_allocations none(0);
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(ring.try_push(i));
      ASSERT_EQ(ring.try_pop(), i);
    }
    EXPECT_THROW(spsc_ring<int>(1), std::bad_alloc);
  }
  EXPECT_EQ(heddle_test::live_allocations, before);
}

}  // namespace
