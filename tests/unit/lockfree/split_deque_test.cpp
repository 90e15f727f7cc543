#include <heddle/lockfree/split_deque.hpp>

#include <atomic>
#include <cstdint>
#include <deque>
#include <random>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "support/failing_allocations.hpp"
#include "support/threads.hpp"

namespace {

using deque = heddle::split_deque<int>;
using theft = deque::theft;

TEST(split_deque, starts_empty) {
  deque d;
  int v = -1;
  EXPECT_TRUE(d.empty());
  EXPECT_EQ(d.size(), 0U);
  EXPECT_FALSE(d.pop(v));
  EXPECT_FALSE(d.pop(v));
  EXPECT_EQ(d.steal(v), theft::empty);
  EXPECT_EQ(d.raise(), theft::empty);
  EXPECT_TRUE(d.empty());
  EXPECT_EQ(v, -1);
}

TEST(split_deque, keeps_its_values_private_until_it_is_asked) {
  deque d;
  int v = -1;
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(d.push(i));
  EXPECT_EQ(d.steal(v), theft::empty);
  d.ask();
  EXPECT_TRUE(d.push(5));
  EXPECT_FALSE(d.push(6)) << "a request is answered once";
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(d.steal(v), theft::success) << "half of six";
    EXPECT_EQ(v, i);
  }
  EXPECT_EQ(d.steal(v), theft::empty);
  EXPECT_EQ(d.size(), 4U);
}

TEST(split_deque, shares_its_only_value) {
  deque d;
  int v = -1;
  d.ask();
  EXPECT_TRUE(d.push(1));
  EXPECT_EQ(d.steal(v), theft::success);
  EXPECT_EQ(v, 1);
  EXPECT_FALSE(d.pop(v));
  EXPECT_TRUE(d.empty());
}

TEST(split_deque, shares_no_more_while_there_is_something_to_steal) {
  deque d;
  int v = -1;
  d.ask();
  EXPECT_TRUE(d.push(0));
  for (int i = 1; i < 8; ++i) d.push(i);
  d.ask();
  EXPECT_TRUE(d.push(8)) << "somebody asked, whatever there is";
  EXPECT_EQ(d.raise(), theft::success);
  ASSERT_EQ(d.steal(v), theft::success);
  EXPECT_EQ(d.steal(v), theft::empty);
}

// The owner is in a long task and does not push.
TEST(split_deque, gives_to_thieves_without_its_owner) {
  deque d;
  int v = -1;
  for (int i = 0; i < 8; ++i) d.push(i);
  for (int i = 0; i < 8; ++i) {
    if (d.steal(v) == theft::empty) {
      ASSERT_EQ(d.raise(), theft::success);
      ASSERT_EQ(d.steal(v), theft::success);
    }
    EXPECT_EQ(v, i);
  }
  EXPECT_EQ(d.raise(), theft::empty);
  EXPECT_FALSE(d.pop(v));
}

TEST(split_deque, takes_back_what_nobody_stole) {
  deque d;
  int v = -1;
  for (int i = 0; i < 9; ++i) d.push(i);
  ASSERT_EQ(d.raise(), theft::success);
  ASSERT_EQ(d.steal(v), theft::success);
  for (int i = 8; i > 0; --i) {
    ASSERT_TRUE(d.pop(v));
    EXPECT_EQ(v, i);
  }
  EXPECT_FALSE(d.pop(v));
  d.push(9);
  EXPECT_EQ(d.steal(v), theft::empty);
  ASSERT_TRUE(d.pop(v));
  EXPECT_EQ(v, 9);
}

TEST(split_deque, refuses_nonsense_capacities) {
  EXPECT_EQ(deque(1).capacity(), 1U);
  EXPECT_EQ(deque(3).capacity(), 4U);
  EXPECT_THROW(deque(0), std::invalid_argument);
  EXPECT_THROW(deque(SIZE_MAX), std::invalid_argument);
  EXPECT_THROW(deque((std::size_t{1} << 40) + 1), std::invalid_argument);
}

// Every mixture of the operations on one thread does what std::deque does, but for what is private.
TEST(split_deque, agrees_with_an_ordinary_deque) {
  for (const std::size_t capacity : {1U, 2U, 8U}) {
    deque d(capacity);
    std::deque<int> expected;
    std::mt19937 dice(static_cast<unsigned>(capacity));
    for (int i = 0; i < 20'000; ++i) {
      int v = -1;
      switch (dice() % 8) {
        case 0:
        case 1:
        case 2:
          d.push(i);
          expected.push_back(i);
          break;
        case 3:
        case 4:
          ASSERT_EQ(d.pop(v), !expected.empty());
          if (!expected.empty()) {
            ASSERT_EQ(v, expected.back());
            expected.pop_back();
          }
          break;
        case 5:
          d.ask();
          break;
        case 6:
          ASSERT_EQ(d.raise(), expected.empty() ? theft::empty : theft::success);
          break;
        default:
          if (d.steal(v) == theft::success) {
            ASSERT_FALSE(expected.empty());
            ASSERT_EQ(v, expected.front());
            expected.pop_front();
          }
      }
      ASSERT_EQ(d.size(), expected.size());
      ASSERT_EQ(d.empty(), expected.empty());
    }
  }
}

TEST(split_deque, keeps_order_and_values_when_it_grows_around_the_end_of_its_buffer) {
  deque d(4);
  int v = -1;
  for (int i = 0; i < 3; ++i) d.push(-1);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(d.raise(), theft::success);
    ASSERT_EQ(d.steal(v), theft::success);
  }
  for (int i = 0; i < 100; ++i) d.push(i);
  EXPECT_EQ(d.capacity(), 128U);
  for (int i = 99; i >= 0; --i) {
    ASSERT_TRUE(d.pop(v));
    EXPECT_EQ(v, i);
  }
}

TEST(split_deque, does_not_grow_while_there_is_room) {
  deque d(8);
  int v = -1;
  for (int i = 0; i < 1000; ++i) {
    for (int k = 0; k < 8; ++k) d.push(k);
    for (int k = 0; k < 4; ++k) ASSERT_TRUE(d.pop(v));
    for (int k = 0; k < 4; ++k) {
      ASSERT_EQ(d.raise(), theft::success);
      ASSERT_EQ(d.steal(v), theft::success);
    }
  }
  EXPECT_EQ(d.capacity(), 8U);
}

TEST(split_deque, is_unchanged_when_it_cannot_grow) {
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

TEST(split_deque, frees_every_buffer_it_outgrew) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const long before = heddle_test::live_allocations;
  {
    deque d(1);
    for (int i = 0; i < 1000; ++i) d.push(i);
  }
  EXPECT_EQ(heddle_test::live_allocations, before);
}

// Both ways: shared by the owner on request, and by the thief itself.
TEST(split_deque, hands_over_what_came_before_push) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 100; ++round) {
    heddle::split_deque<int*> d(1);
    int values[4] = {};
    std::thread thief([&] {
      int* p = nullptr;
      for (int seen = 0; seen < 4;) {
        if (d.steal(p) == heddle::split_deque<int*>::theft::success) {
          EXPECT_EQ(*p, 1);
          ++seen;
          continue;
        }
        if (round % 2 == 0) d.ask();
        std::this_thread::yield();
        d.raise();
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
