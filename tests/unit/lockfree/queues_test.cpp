// What all rings and queues of this room have in common.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <iterator>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <heddle/lockfree/linearizable_queue.hpp>
#include <heddle/lockfree/mpmc_queue.hpp>
#include <heddle/lockfree/mpmc_ring.hpp>
#include <heddle/lockfree/spsc_ring.hpp>

#include "element.hpp"
#include "support/threads.hpp"

namespace {

using heddle_test::counted;
using heddle_test::refused;
using heddle_test::refusing_after;
using heddle_test::throws_when_copied;
using heddle_test::wide;

// One interface for rings, which may be full, and queues, which never are.
template <template <class> class Ring>
struct ring {
  template <class T>
  struct of {
    explicit of(std::size_t capacity) : it(capacity) {}
    template <class U>
    bool push(U&& value) {
      return it.try_push(std::forward<U>(value));
    }
    Ring<T> it;
  };
};
template <template <class> class Queue>
struct queue {
  template <class T>
  struct of {
    explicit of(std::size_t /*capacity*/) {}
    template <class U>
    bool push(U&& value) {
      it.push(std::forward<U>(value));
      return true;
    }
    Queue<T> it;
  };
};

template <class Kind>
class queues : public testing::Test {};
using kinds = testing::Types<ring<heddle::spsc_ring>, ring<heddle::mpmc_ring>,
                             queue<heddle::mpmc_queue>, queue<heddle::linearizable_queue>>;
TYPED_TEST_SUITE(queues, kinds);

TYPED_TEST(queues, start_empty) {
  typename TypeParam::template of<int> q(4);
  int value = -1;
  EXPECT_FALSE(q.it.try_pop(value));
  EXPECT_FALSE(q.it.try_pop().has_value());
  EXPECT_EQ(q.it.pop_n(&value, 1), 0U);
  EXPECT_EQ(value, -1);
  EXPECT_TRUE(q.it.empty());
  EXPECT_EQ(q.it.size(), 0U);
}

// Every mixture of the operations on one thread does what std::deque does.
TYPED_TEST(queues, agree_with_an_ordinary_deque) {
  constexpr std::size_t room = 1024;
  typename TypeParam::template of<int> q(room);
  std::deque<int> expected;
  std::mt19937 dice(7);
  for (int i = 0; i < 40'000; ++i) {
    const std::size_t batch = dice() % 70;
    switch (dice() % 4) {
      case 0:
        if (expected.size() == room) break;
        ASSERT_TRUE(q.push(i));
        expected.push_back(i);
        break;
      case 1: {
        std::vector<int> values(std::min(batch, room - expected.size()));
        std::iota(values.begin(), values.end(), i);
        q.it.push_n(values.begin(), values.size());
        expected.insert(expected.end(), values.begin(), values.end());
        break;
      }
      case 2: {
        int value = -1;
        ASSERT_EQ(q.it.try_pop(value), !expected.empty());
        if (expected.empty()) break;
        ASSERT_EQ(value, expected.front());
        expected.pop_front();
        break;
      }
      default: {
        std::vector<int> values(batch);
        const std::size_t taken = std::min(batch, expected.size());
        ASSERT_EQ(q.it.pop_n(values.begin(), batch), taken);
        const auto end = expected.begin() + static_cast<std::ptrdiff_t>(taken);
        ASSERT_TRUE(std::equal(expected.begin(), end, values.begin()));
        expected.erase(expected.begin(), end);
      }
    }
    ASSERT_EQ(q.it.size(), expected.size());
    ASSERT_EQ(q.it.empty(), expected.empty());
  }
}

TYPED_TEST(queues, hold_what_can_only_be_moved) {
  typename TypeParam::template of<std::unique_ptr<int>> q(8);
  ASSERT_TRUE(q.push(std::make_unique<int>(1)));
  std::unique_ptr<int> batch[2] = {std::make_unique<int>(2), std::make_unique<int>(3)};
  q.it.push_n(std::move_iterator(batch), 2);
  EXPECT_EQ(batch[0], nullptr);
  std::unique_ptr<int> value;
  ASSERT_TRUE(q.it.try_pop(value));
  EXPECT_EQ(*value, 1);
  EXPECT_EQ(**q.it.try_pop(), 2);
  ASSERT_EQ(q.it.pop_n(batch, 2), 1U);
  EXPECT_EQ(*batch[0], 3);
}

TYPED_TEST(queues, keep_elements_where_their_alignment_wants_them) {
  typename TypeParam::template of<wide> q(4);
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(q.push(wide(i)));
    const auto value = q.it.try_pop();
    ASSERT_TRUE(value.has_value());
    EXPECT_EQ(value->value, i);
    EXPECT_EQ(value->address() % alignof(wide), 0U);
  }
}

TYPED_TEST(queues, destroy_each_element_once) {
  counted::alive = 0;
  {
    typename TypeParam::template of<counted> q(1024);
    for (int i = 0; i < 700; ++i) ASSERT_TRUE(q.push(counted(i)));
    for (int i = 0; i < 300; ++i) EXPECT_EQ(q.it.try_pop()->value, i);
    EXPECT_EQ(counted::alive, 400);
  }
  EXPECT_EQ(counted::alive, 0);
}

TYPED_TEST(queues, do_not_notice_an_element_that_cannot_be_made) {
  typename TypeParam::template of<throws_when_copied> q(8);
  const throws_when_copied one(1);
  const std::vector<throws_when_copied> three{throws_when_copied(2), throws_when_copied(3),
                                              throws_when_copied(4)};
  ASSERT_TRUE(q.push(one));
  {
    const refusing_after none(0);
    EXPECT_THROW(q.push(one), refused);
  }
  EXPECT_EQ(q.it.size(), 1U);
  {
    const refusing_after two(2);
    EXPECT_THROW(q.it.push_n(three.begin(), 3), refused);
  }
  EXPECT_EQ(q.it.size(), 3U);
  ASSERT_TRUE(q.push(three[2]));
  for (int i = 1; i <= 4; ++i) EXPECT_EQ(q.it.try_pop()->value, i);
  EXPECT_TRUE(q.it.empty());
}

TYPED_TEST(queues, hand_over_what_came_before) {
  const heddle_test::watchdog dog;
  std::vector<int> written(2000, 0);
  typename TypeParam::template of<int*> q(16);
  std::thread consumer([&] {
    int* next = nullptr;
    for (std::size_t seen = 0; seen < written.size();) {
      if (!q.it.try_pop(next)) {
        std::this_thread::yield();
        continue;
      }
      EXPECT_EQ(next, &written[seen]);
      EXPECT_EQ(*next, 1);
      ++seen;
    }
  });
  for (int& w : written) {
    w = 1;
    while (!q.push(&w)) std::this_thread::yield();
  }
  consumer.join();
}

}  // namespace
