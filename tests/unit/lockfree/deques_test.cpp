// What both deques of this room have in common.
#include <cstdint>
#include <deque>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "support/deques.hpp"
#include "support/failing_new.hpp"
#include "support/threads.hpp"

namespace {

using heddle_test::ask_for_more;
using heddle_test::keeps_some_private;
using heddle_test::share_more;
using heddle_test::steal_oldest;

template <template <class> class Deque>
struct kind {
  template <class T>
  using of = Deque<T>;
};

template <class Kind>
class deques : public testing::Test {};
using kinds = testing::Types<kind<heddle::ws_deque>, kind<heddle::split_deque>>;
struct names {
  template <class Kind>
  static std::string GetName(int) {
    return keeps_some_private<typename Kind::template of<int>> ? "split_deque" : "ws_deque";
  }
};
TYPED_TEST_SUITE(deques, kinds, names);

TYPED_TEST(deques, starts_empty) {
  using deque = typename TypeParam::template of<int>;
  deque d;
  int v = -1;
  EXPECT_TRUE(d.empty());
  EXPECT_EQ(d.size(), 0U);
  EXPECT_FALSE(d.pop(v));
  EXPECT_FALSE(d.pop(v));
  EXPECT_EQ(d.steal(v), deque::theft::empty);
  EXPECT_TRUE(d.empty());
  EXPECT_EQ(v, -1);
}

TYPED_TEST(deques, pops_the_newest_and_steals_the_oldest) {
  typename TypeParam::template of<int> d;
  for (int i = 0; i < 6; ++i) d.push(i);
  int v = -1;
  ASSERT_TRUE(d.pop(v));
  EXPECT_EQ(v, 5);
  ASSERT_TRUE(steal_oldest(d, v));
  EXPECT_EQ(v, 0);
  ASSERT_TRUE(d.pop(v));
  EXPECT_EQ(v, 4);
  ASSERT_TRUE(steal_oldest(d, v));
  EXPECT_EQ(v, 1);
  EXPECT_EQ(d.size(), 2U);
}

TYPED_TEST(deques, rounds_its_capacity_up_to_a_power_of_two) {
  using deque = typename TypeParam::template of<int>;
  EXPECT_EQ(deque(1).capacity(), 1U);
  EXPECT_EQ(deque(2).capacity(), 2U);
  EXPECT_EQ(deque(3).capacity(), 4U);
  EXPECT_EQ(deque(1000).capacity(), 1024U);
}

TYPED_TEST(deques, refuses_nonsense_capacities) {
  using deque = typename TypeParam::template of<int>;
  EXPECT_THROW(deque(0), std::invalid_argument);
  EXPECT_THROW(deque(SIZE_MAX), std::invalid_argument);
  EXPECT_THROW(deque((std::size_t{1} << 40) + 1), std::invalid_argument);
}

// Every mixture of the operations on one thread does what std::deque does, but for what is private.
// There are times in which it grows, and times in which it is often empty.
TYPED_TEST(deques, agrees_with_an_ordinary_deque) {
  using deque = typename TypeParam::template of<int>;
  using theft = typename deque::theft;
  constexpr bool hides = keeps_some_private<deque>;
  for (const std::size_t capacity : {1U, 2U, 8U}) {
    deque d(capacity);
    std::deque<int> expected;
    std::mt19937 dice(static_cast<unsigned>(capacity));
    for (int i = 0; i < 20'000; ++i) {
      int v = -1;
      const auto roll = dice() % 6;
      if (roll < (i / 1000 % 2 == 0 ? 3 : 2)) {
        d.push(i);
        expected.push_back(i);
      } else if (roll < 5) {
        ASSERT_EQ(d.pop(v), !expected.empty());
        if (!expected.empty()) {
          ASSERT_EQ(v, expected.back());
          expected.pop_back();
        }
      } else {
        const auto before = dice() % 3;
        if (before == 0) ask_for_more(d);
        if (before == 1) {
          ASSERT_EQ(share_more(d), hides && !expected.empty());
        }
        const theft result = d.steal(v);
        if (result == theft::success) {
          ASSERT_FALSE(expected.empty());
          ASSERT_EQ(v, expected.front());
          expected.pop_front();
        } else {
          ASSERT_EQ(result, theft::empty);
          ASSERT_TRUE(expected.empty() || hides);
        }
      }
      ASSERT_EQ(d.size(), expected.size());
      ASSERT_EQ(d.empty(), expected.empty());
    }
  }
}

TYPED_TEST(deques, keeps_order_and_values_when_it_grows_around_the_end_of_its_buffer) {
  const auto grown = [](auto& d) {
    int v = -1;
    for (int i = 0; i < 3; ++i) d.push(-1);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(steal_oldest(d, v));
    for (int i = 0; i < 100; ++i) d.push(i);
    EXPECT_EQ(d.capacity(), 128U);
  };
  int v = -1;
  typename TypeParam::template of<int> stolen(4);
  grown(stolen);
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(steal_oldest(stolen, v));
    EXPECT_EQ(v, i);
  }
  typename TypeParam::template of<int> popped(4);
  grown(popped);
  for (int i = 99; i >= 0; --i) {
    ASSERT_TRUE(popped.pop(v));
    EXPECT_EQ(v, i);
  }
}

TYPED_TEST(deques, does_not_grow_while_there_is_room) {
  typename TypeParam::template of<int> d(8);
  int v = -1;
  for (int i = 0; i < 1000; ++i) {
    for (int k = 0; k < 8; ++k) d.push(k);
    for (int k = 0; k < 4; ++k) ASSERT_TRUE(d.pop(v));
    for (int k = 0; k < 4; ++k) ASSERT_TRUE(steal_oldest(d, v));
  }
  EXPECT_EQ(d.capacity(), 8U);
}

TYPED_TEST(deques, is_unchanged_when_it_cannot_grow) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  typename TypeParam::template of<int> d(2);
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

TYPED_TEST(deques, frees_every_buffer_it_outgrew) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const long before = heddle_test::live_allocations;
  {
    typename TypeParam::template of<int> d(1);
    for (int i = 0; i < 1000; ++i) d.push(i);
  }
  EXPECT_EQ(heddle_test::live_allocations, before);
}

TYPED_TEST(deques, holds_values_smaller_than_a_word) {
  typename TypeParam::template of<char> bytes(1);
  for (int i = 0; i < 100; ++i) bytes.push(static_cast<char>(i));
  char c = 0;
  for (int i = 99; i >= 0; --i) {
    ASSERT_TRUE(bytes.pop(c));
    EXPECT_EQ(c, static_cast<char>(i));
  }
}

// Whether the owner shares what it has or the thief moves the boundary itself.
TYPED_TEST(deques, hands_over_what_came_before_push) {
  using deque = typename TypeParam::template of<int*>;
  const heddle_test::watchdog dog;
  for (int round = 0; round < 100; ++round) {
    deque d(1);
    int values[4] = {};
    std::thread thief([&] {
      int* p = nullptr;
      for (int seen = 0; seen < 4;) {
        if (d.steal(p) == deque::theft::success) {
          EXPECT_EQ(*p, 1);
          ++seen;
          continue;
        }
        if (round % 2 == 0) ask_for_more(d);
        std::this_thread::yield();
        share_more(d);
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
