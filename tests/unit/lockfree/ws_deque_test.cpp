#include <heddle/lockfree/ws_deque.hpp>

#include <cstdint>
#include <deque>
#include <random>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "support/failing_new.hpp"
#include "support/threads.hpp"

namespace {

using deque = heddle::ws_deque<int>;

TEST(ws_deque, starts_empty) {
  deque d;
  int v = -1;
  EXPECT_TRUE(d.empty());
  EXPECT_EQ(d.size(), 0U);
  EXPECT_FALSE(d.pop(v));
  EXPECT_EQ(d.steal(v), deque::theft::empty);
  EXPECT_EQ(v, -1);
}

TEST(ws_deque, pops_the_newest_and_steals_the_oldest) {
  deque d;
  for (int i = 0; i < 6; ++i) d.push(i);
  int v = -1;
  ASSERT_TRUE(d.pop(v));
  EXPECT_EQ(v, 5);
  ASSERT_EQ(d.steal(v), deque::theft::success);
  EXPECT_EQ(v, 0);
  ASSERT_TRUE(d.pop(v));
  EXPECT_EQ(v, 4);
  ASSERT_EQ(d.steal(v), deque::theft::success);
  EXPECT_EQ(v, 1);
  EXPECT_EQ(d.size(), 2U);
}

TEST(ws_deque, rounds_its_capacity_up_to_a_power_of_two) {
  EXPECT_EQ(deque(1).capacity(), 1U);
  EXPECT_EQ(deque(2).capacity(), 2U);
  EXPECT_EQ(deque(3).capacity(), 4U);
  EXPECT_EQ(deque(1000).capacity(), 1024U);
}

TEST(ws_deque, refuses_nonsense_capacities) {
  EXPECT_THROW(deque(0), std::invalid_argument);
  EXPECT_THROW(deque(SIZE_MAX), std::invalid_argument);
  EXPECT_THROW(deque((std::size_t{1} << 40) + 1), std::invalid_argument);
}

// Every mixture of the three operations on one thread does what std::deque does.
TEST(ws_deque, agrees_with_an_ordinary_deque) {
  for (const std::size_t capacity : {1U, 2U, 8U}) {
    deque d(capacity);
    std::deque<int> expected;
    std::mt19937 dice(static_cast<unsigned>(capacity));
    for (int i = 0; i < 20'000; ++i) {
      int v = -1;
      switch (dice() % 5) {
        case 0:
        case 1:
          d.push(i);
          expected.push_back(i);
          break;
        case 2:
        case 3:
          ASSERT_EQ(d.pop(v), !expected.empty());
          if (!expected.empty()) {
            ASSERT_EQ(v, expected.back());
            expected.pop_back();
          }
          break;
        default:
          ASSERT_EQ(d.steal(v), expected.empty() ? deque::theft::empty : deque::theft::success);
          if (!expected.empty()) {
            ASSERT_EQ(v, expected.front());
            expected.pop_front();
          }
      }
      ASSERT_EQ(d.size(), expected.size());
      ASSERT_EQ(d.empty(), expected.empty());
    }
  }
}

TEST(ws_deque, keeps_order_and_values_when_it_grows_around_the_end_of_its_buffer) {
  deque d(4);
  int v = -1;
  for (int i = 0; i < 3; ++i) d.push(-1);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(d.steal(v), deque::theft::success);
  for (int i = 0; i < 100; ++i) d.push(i);
  EXPECT_GE(d.capacity(), 100U);
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(d.steal(v), deque::theft::success);
    EXPECT_EQ(v, i);
  }
}

TEST(ws_deque, does_not_grow_while_there_is_room) {
  deque d(8);
  int v = -1;
  for (int i = 0; i < 1000; ++i) {
    for (int k = 0; k < 8; ++k) d.push(k);
    for (int k = 0; k < 4; ++k) ASSERT_TRUE(d.pop(v));
    for (int k = 0; k < 4; ++k) ASSERT_EQ(d.steal(v), deque::theft::success);
  }
  EXPECT_EQ(d.capacity(), 8U);
}

TEST(ws_deque, is_unchanged_when_it_cannot_grow) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  deque d(2);
  d.push(1);
  d.push(2);
  {
    const heddle_test::failing_allocations none(0);
    EXPECT_THROW(d.push(3), std::bad_alloc);
    EXPECT_THROW(d.push(3), std::bad_alloc);
  }
  EXPECT_EQ(d.capacity(), 2U);
  EXPECT_EQ(d.size(), 2U);
  d.push(4);
  int v = -1;
  for (const int expected : {4, 2, 1}) {
    ASSERT_TRUE(d.pop(v));
    EXPECT_EQ(v, expected);
  }
  EXPECT_FALSE(d.pop(v));
}

TEST(ws_deque, frees_every_buffer_it_outgrew) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const long before = heddle_test::live_allocations;
  {
    deque d(1);
    for (int i = 0; i < 1000; ++i) d.push(i);
  }
  EXPECT_EQ(heddle_test::live_allocations, before);
}

TEST(ws_deque, holds_values_smaller_than_a_word) {
  heddle::ws_deque<char> bytes(1);
  for (int i = 0; i < 100; ++i) bytes.push(static_cast<char>(i));
  char c = 0;
  for (int i = 99; i >= 0; --i) {
    ASSERT_TRUE(bytes.pop(c));
    EXPECT_EQ(c, static_cast<char>(i));
  }
}

TEST(ws_deque, hands_over_what_came_before_push) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 100; ++round) {
    heddle::ws_deque<int*> d(1);
    int values[4] = {};
    std::thread thief([&] {
      int* p = nullptr;
      int seen = 0;
      while (seen < 4) {
        if (d.steal(p) != heddle::ws_deque<int*>::theft::success) {
          std::this_thread::yield();
          continue;
        }
        EXPECT_EQ(*p, 1);
        ++seen;
      }
    });
    for (int& v : values) {
      v = 1;
      d.push(&v);
    }
    thief.join();
  }
}

}  // namespace
