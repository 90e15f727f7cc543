#include <heddle/queue/bounded_queue.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/future.hpp>

#include "support/threads.hpp"
#include "unit/lockfree/element.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::bounded_queue;
using heddle_test::counted;
using heddle_test::refused;
using heddle_test::refusing_after;
using heddle_test::throwing;
using heddle_test::throws_when_copied;
using heddle_test::wide;

TEST(bounded_queue, takes_items_of_many_kinds) {
  bounded_queue<std::unique_ptr<int>> pointers(2);
  EXPECT_TRUE(pointers.put(std::make_unique<int>(1)));
  EXPECT_TRUE(pointers.put({}));
  auto third = std::make_unique<int>(3);
  EXPECT_FALSE(pointers.try_put(std::move(third)));
  EXPECT_FALSE(pointers.try_put_for(std::move(third), 1ms));
  ASSERT_NE(third, nullptr);  // NOLINT(bugprone-use-after-move): it was refused
  EXPECT_EQ(**pointers.get(), 1);
  pointers.close();
  EXPECT_FALSE(pointers.put(std::move(third)));
  EXPECT_EQ(*third, 3);  // NOLINT(bugprone-use-after-move): it was refused

  bounded_queue<std::string> strings(3);
  const std::string text = "text";
  EXPECT_TRUE(strings.put("converted"));
  EXPECT_TRUE(strings.put(text));
  EXPECT_EQ(strings.get(), "converted");
  EXPECT_EQ(strings.get(), "text");

  bounded_queue<std::reference_wrapper<const std::string>> references(1);
  EXPECT_TRUE(references.put(text));
  EXPECT_EQ(&references.get()->get(), &text);

  bounded_queue<wide> far_apart(3);
  for (int i = 0; i < 3; ++i) far_apart.put(wide(i));
  for (int i = 0; i < 3; ++i) {
    const auto w = far_apart.get();
    EXPECT_EQ(w->value, i);
    EXPECT_EQ(w->self, w->address());
  }
}

TEST(bounded_queue, is_neither_copied_nor_moved) {
  static_assert(!std::is_copy_constructible_v<bounded_queue<int>>);
  static_assert(!std::is_move_constructible_v<bounded_queue<int>>);
  static_assert(!std::is_convertible_v<std::size_t, bounded_queue<int>>);
}

TEST(bounded_queue, destroys_what_is_left) {
  {
    bounded_queue<counted> ring(3);
    bounded_queue<throwing> locked(3);
    for (int i = 0; i < 2; ++i) {  // around the end of the slots
      ring.put(counted(i));
      locked.put(throwing(i));
      ring.get();
      locked.get();
    }
    for (int i = 0; i < 3; ++i) {
      ring.put(counted(i));
      locked.put(throwing(i));
    }
    EXPECT_EQ(counted::alive, 3);
    EXPECT_EQ(throwing::alive, 3);
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(throwing::alive, 0);
}

TEST(bounded_queue, an_item_whose_move_throws_stays_where_it_is) {
  {
    bounded_queue<throwing> q(2);
    throwing one(1);
    {
      const refusing_after none(0);
      EXPECT_THROW(q.put(std::move(one)), refused);
    }
    EXPECT_EQ(one.value, 1);  // NOLINT(bugprone-use-after-move): it was not put
    EXPECT_TRUE(q.empty());
    EXPECT_TRUE(q.put(std::move(one)));
    EXPECT_TRUE(q.put(throwing(2)));
    {
      const refusing_after none(0);
      EXPECT_THROW(q.get(), refused);
      EXPECT_THROW(q.get(), refused);
      EXPECT_THROW(q.get_n(2), refused);
    }
    EXPECT_EQ(q.length(), 2U);
    EXPECT_EQ(q.get()->value, 1);
    EXPECT_EQ(q.get()->value, 2);
    EXPECT_EQ(q.total_taken(), 2U);
  }
  EXPECT_EQ(throwing::alive, 0);
}

TEST(bounded_queue, an_item_whose_move_throws_ends_a_batch) {
  bounded_queue<throwing> q(4);
  std::vector<throwing> items(3);
  for (int i = 0; i < 3; ++i) items[static_cast<std::size_t>(i)].value = i;
  {
    const refusing_after two(2);
    EXPECT_THROW(q.put_n(std::move_iterator(items.begin()), 3), refused);
  }
  EXPECT_EQ(q.length(), 2U);
  EXPECT_EQ(items[2].value, 2);
  EXPECT_TRUE(q.put(std::move(items[2])));
  throwing room[3];
  {
    const refusing_after one(1);
    EXPECT_EQ(q.get_n(room, 3), 1U);
    EXPECT_EQ(room[0].value, 0);
    EXPECT_THROW(q.get_n(room, 3), refused);
  }
  EXPECT_EQ(q.length(), 2U);
  EXPECT_EQ(q.get_n(4).size(), 2U);
}

// A chosen consumer whose item will not move leaves it to the next one.
TEST(bounded_queue, a_get_that_throws_wakes_the_next) {
  const heddle_test::watchdog dog;
  bounded_queue<throwing> q(2);
  std::atomic<int> got{0};
  std::atomic<int> threw{0};
  const auto take = [&] {
    try {
      if (q.get()) ++got;
    } catch (const refused&) {
      ++threw;
    }
  };
  std::thread one(take);
  std::this_thread::sleep_for(2ms);
  std::thread other(take);
  std::this_thread::sleep_for(2ms);
  throwing item(1);
  {
    const refusing_after moved_in(1);
    EXPECT_TRUE(q.put(std::move(item)));
    while (threw < 2) std::this_thread::yield();
  }
  one.join();
  other.join();
  EXPECT_EQ(got, 0);
  EXPECT_EQ(q.get()->value, 1);
}

TEST(bounded_queue, a_copy_that_throws_puts_nothing) {
  bounded_queue<throws_when_copied> q(4);
  const throws_when_copied one(1);
  {
    const refusing_after none(0);
    EXPECT_THROW(q.put(one), refused);
    EXPECT_THROW(static_cast<void>(q.try_put(one)), refused);
  }
  EXPECT_TRUE(q.empty());
  const std::vector<throws_when_copied> items(3, one);
  {
    const refusing_after two(2);
    EXPECT_THROW(q.put_range(items), refused);
  }
  EXPECT_EQ(q.length(), 2U);
  EXPECT_EQ(q.get_n(4).size(), 2U);
}

TEST(bounded_queue, full_or_closed_it_does_not_even_copy) {
  bounded_queue<throws_when_copied> q(1);
  const throws_when_copied one(1);
  q.put(one);
  const refusing_after none(0);
  EXPECT_FALSE(q.try_put(one));
  q.get();
  q.close();
  EXPECT_FALSE(q.try_put(one));
}

// Two workers that wait for each other through a queue, in a pool of one.
TEST(bounded_queue, a_worker_that_waits_does_not_hold_up_its_pool) {
  const heddle_test::watchdog dog;
  heddle::thread_pool_options options;
  options.workers = 1;
  heddle::thread_pool pool(std::move(options));
  bounded_queue<int> q(1);
  auto consumer = pool.submit([&] {
    int sum = 0;
    for (const int i : q) sum += i;
    return sum;
  });
  auto producer = pool.submit([&] {
    for (int i = 1; i <= 50; ++i) q.put(i);
    q.close();
  });
  producer.get();
  EXPECT_EQ(consumer.get(), 1275);
}

TEST(bounded_queue, outlives_nobody_who_was_told_of_the_end) {
  const heddle_test::watchdog dog;
  for (int i = 0; i < 200; ++i) {
    auto q = std::make_unique<bounded_queue<int>>(2);
    std::thread producer([queue = q.get()] {
      queue->put(1);
      queue->close();
    });
    while (q->get()) {
    }
    q.reset();
    producer.join();
  }
}

}  // namespace
