// What bounded_queue and priority_queue have in common.

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <limits>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/queue/bounded_queue.hpp>
#include <heddle/queue/priority_queue.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace prim = heddle::prim;

// An int whose move is not noexcept, so that the queue keeps it under a lock.
struct guarded {
  guarded(int v) : value(v) {}  // NOLINT(google-explicit-constructor)
  guarded(guarded&& other) noexcept(false) : value(other.value) { other.value = -1; }
  guarded& operator=(guarded&& other) noexcept(false) {
    value = other.value;
    other.value = -1;
    return *this;
  }
  operator int() const { return value; }  // NOLINT(google-explicit-constructor)
  int value;
};

// All items are equal: first in, first out.
struct equal {
  bool operator()(int, int) const noexcept { return false; }
};

template <class Queue>
class blocking_queue : public testing::Test {};
using queues = testing::Types<heddle::bounded_queue<int>, heddle::bounded_queue<guarded>,
                              heddle::priority_queue<int, equal>>;
TYPED_TEST_SUITE(blocking_queue, queues);

// A thread that waits, as far as the test can tell.
template <class F>
std::thread waiting(F f) {
  std::thread t(f);
  std::this_thread::sleep_for(2ms);
  return t;
}

TYPED_TEST(blocking_queue, is_first_in_first_out) {
  TypeParam q(3);
  for (int round = 0; round < 5; ++round) {
    EXPECT_TRUE(q.put(1));
    EXPECT_TRUE(q.try_put(2));
    EXPECT_TRUE(q.try_put_for(3, 1h));
    EXPECT_EQ(*q.get(), 1);
    EXPECT_EQ(*q.try_get(), 2);
    EXPECT_EQ(*q.try_get_until(prim::clock::now() + 1h), 3);
  }
  EXPECT_EQ(q.total_put(), 15U);
  EXPECT_EQ(q.total_taken(), 15U);
}

TYPED_TEST(blocking_queue, has_exactly_the_capacity_it_was_asked_for) {
  for (const std::size_t capacity : {1U, 2U, 3U, 7U, 8U}) {
    TypeParam q(capacity);
    EXPECT_EQ(q.capacity(), capacity);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t i = 0; i < capacity; ++i) {
        EXPECT_EQ(q.length(), i);
        ASSERT_TRUE(q.try_put(static_cast<int>(i)));
      }
      EXPECT_FALSE(q.try_put(7));
      EXPECT_EQ(q.length(), capacity);
      for (std::size_t i = 0; i < capacity; ++i) ASSERT_EQ(*q.try_get(), static_cast<int>(i));
      EXPECT_FALSE(q.try_get());
      EXPECT_TRUE(q.empty());
    }
  }
}

TYPED_TEST(blocking_queue, refuses_capacities_that_make_no_sense) {
  EXPECT_THROW(TypeParam q(0), std::invalid_argument);
  try {
    TypeParam q((std::size_t{1} << 40) + 1);
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), HasSubstr("1099511627777"));
  }
}

TYPED_TEST(blocking_queue, knows_its_greatest_length) {
  TypeParam q(4);
  EXPECT_EQ(q.peak(), 0U);
  q.put(1);
  q.get();
  EXPECT_EQ(q.peak(), 1U);
  for (int i = 0; i < 20; ++i) {
    q.put(1);
    q.put(2);
    q.put(3);
    q.get();
    q.get();
    q.get();
  }
  EXPECT_EQ(q.peak(), 3U);
  q.put_range(std::array{1, 2, 3, 4});
  EXPECT_EQ(q.peak(), 4U);
}

TYPED_TEST(blocking_queue, a_get_waits_for_an_item) {
  const heddle_test::watchdog dog;
  TypeParam q(2);
  std::atomic<int> sum{0};
  std::vector<std::thread> getting;
  for (int i = 0; i < 3; ++i) getting.push_back(waiting([&] { sum += *q.get(); }));
  for (int i = 1; i <= 3; ++i) q.put(i);
  for (std::thread& t : getting) t.join();
  EXPECT_EQ(sum, 6);
  EXPECT_TRUE(q.empty());
}

TYPED_TEST(blocking_queue, a_put_waits_for_room) {
  const heddle_test::watchdog dog;
  TypeParam q(1);
  q.put(1);
  std::atomic<int> put{0};
  std::vector<std::thread> putting;
  for (int i = 0; i < 3; ++i) {
    putting.push_back(waiting([&] {
      if (q.put(2)) ++put;
    }));
  }
  EXPECT_EQ(put, 0);
  EXPECT_EQ(*q.get(), 1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*q.get(), 2);
  for (std::thread& t : putting) t.join();
  EXPECT_EQ(put, 3);
}

TYPED_TEST(blocking_queue, waits_until_the_deadline) {
  TypeParam q(1);
  const auto deadline = prim::clock::now() + 10ms;
  EXPECT_FALSE(q.try_get_until(deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(q.try_get_for(-1h));
  EXPECT_TRUE(q.try_put_for(1, -1h)) << "there is room";
  EXPECT_FALSE(q.try_put_for(2, 1ms));
  EXPECT_FALSE(q.try_put_until(2, prim::time_point::min()));
  EXPECT_EQ(*q.try_get_for(-1h), 1) << "there is an item";
}

TYPED_TEST(blocking_queue, a_stop_ends_waits) {
  const heddle_test::watchdog dog;
  TypeParam q(1);
  std::stop_source source;
  std::thread getting = waiting([&] { EXPECT_FALSE(q.get(source.get_token())); });
  source.request_stop();
  getting.join();
  EXPECT_FALSE(q.get(source.get_token()));
  EXPECT_TRUE(q.put(1, source.get_token())) << "there is room";
  EXPECT_FALSE(q.put(2, source.get_token()));
  std::stop_source later;
  std::thread putting = waiting([&] { EXPECT_FALSE(q.try_put_for(2, 1h, later.get_token())); });
  later.request_stop();
  putting.join();
  EXPECT_EQ(*q.get(source.get_token()), 1) << "there is an item";
}

TYPED_TEST(blocking_queue, after_close_puts_are_refused_and_gets_drain) {
  TypeParam q(3);
  q.put(1);
  q.put(2);
  EXPECT_FALSE(q.closed());
  q.close();
  q.close();
  EXPECT_TRUE(q.closed());
  EXPECT_FALSE(q.put(3));
  EXPECT_FALSE(q.try_put(3));
  EXPECT_FALSE(q.try_put_for(3, 1h));
  EXPECT_EQ(q.put_range(std::array{3, 4}), 0U);
  EXPECT_EQ(*q.get(), 1);
  EXPECT_EQ(*q.try_get(), 2);
  EXPECT_FALSE(q.get());
  EXPECT_FALSE(q.try_get());
  EXPECT_FALSE(q.try_get_for(1h));
  EXPECT_THAT(q.get_n(3), IsEmpty());
}

TYPED_TEST(blocking_queue, close_wakes_everybody) {
  const heddle_test::watchdog dog;
  TypeParam empty(1);
  TypeParam full(1);
  full.put(1);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.push_back(waiting([&] { EXPECT_FALSE(empty.get()); }));
    threads.push_back(waiting([&] { EXPECT_FALSE(full.put(2)); }));
  }
  empty.close();
  full.close();
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(*full.get(), 1);
}

TYPED_TEST(blocking_queue, batches_are_put_in_portions_and_taken_as_they_are_there) {
  const heddle_test::watchdog dog;
  TypeParam q(3);
  std::vector<int> numbers(10);
  std::iota(numbers.begin(), numbers.end(), 0);
  EXPECT_EQ(q.try_put_n(numbers.begin(), 2), 2U);
  EXPECT_EQ(q.try_put_n(numbers.begin() + 2, 2), 1U);
  EXPECT_EQ(q.try_put_n_for(numbers.begin() + 3, 2, 1ms), 0U);
  EXPECT_EQ(q.put_n(numbers.begin(), 0), 0U);
  EXPECT_THAT(q.get_n(0), IsEmpty());
  std::thread putting = waiting([&] { EXPECT_EQ(q.put_n(numbers.begin() + 3, 7), 7U); });
  std::vector<int> got;
  while (got.size() < 10) {
    const auto some = q.get_n(2);
    ASSERT_GE(some.size(), 1U);
    ASSERT_LE(some.size(), 2U);
    got.insert(got.end(), some.begin(), some.end());
  }
  putting.join();
  EXPECT_EQ(got, numbers);
  int room[4] = {};
  EXPECT_EQ(q.try_get_n(room, 4), 0U);
  EXPECT_EQ(q.try_get_n_for(room, 4, 1ms), 0U);
  q.put_range(std::array{5, 6, 7});
  EXPECT_EQ(q.get_n(room, 4), 3U);
  EXPECT_THAT(room, ElementsAre(5, 6, 7, 0));
}

TYPED_TEST(blocking_queue, a_batch_ends_with_the_queue) {
  const heddle_test::watchdog dog;
  TypeParam q(2);
  std::size_t put = 0;
  std::thread putting([&] { put = q.put_range(std::array{1, 2, 3, 4}); });
  while (q.length() < 2) std::this_thread::yield();
  q.close();
  putting.join();
  EXPECT_EQ(put, 2U);
  EXPECT_EQ(q.length(), 2U);
}

TYPED_TEST(blocking_queue, loops_take_items_until_the_end) {
  const heddle_test::watchdog dog;
  TypeParam q(2);
  std::thread putting([&] {
    for (int i = 1; i <= 100; ++i) q.put(i);
    q.close();
  });
  int sum = 0;
  for (auto& item : q) sum += item;
  putting.join();
  EXPECT_EQ(sum, 5050);
}

TYPED_TEST(blocking_queue, join_waits_until_each_item_is_done) {
  const heddle_test::watchdog dog;
  TypeParam q(4);
  q.join();
  q.put(1);
  q.put(2);
  EXPECT_FALSE(q.join_for(1ms));
  EXPECT_FALSE(q.join_for(-1s));
  q.get();
  q.get();
  EXPECT_FALSE(q.join_for(1ms)) << "taken, and not done";
  q.task_done();
  std::atomic<int> joined{0};
  std::vector<std::thread> joining;
  for (int i = 0; i < 2; ++i) {
    joining.push_back(waiting([&] {
      q.join();
      ++joined;
    }));
  }
  EXPECT_EQ(joined, 0);
  q.task_done();
  for (std::thread& t : joining) t.join();
  EXPECT_TRUE(q.join_until(prim::clock::now() + 1h));
  q.put(3);
  std::stop_source source;
  std::thread stopped = waiting([&] { EXPECT_FALSE(q.join(source.get_token())); });
  source.request_stop();
  stopped.join();
  q.get();
  q.task_done();
  EXPECT_TRUE(q.join(source.get_token()));
}

TYPED_TEST(blocking_queue, task_done_of_what_was_not_taken_throws) {
  TypeParam q(4);
  EXPECT_THROW(q.task_done(), std::invalid_argument);
  q.task_done(0);
  q.put(1);
  EXPECT_THROW(q.task_done(), std::invalid_argument) << "put, and not taken";
  for (int i = 0; i < 9; ++i) {
    q.get();
    q.put(1);
  }
  try {
    q.task_done(10);
    FAIL();
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), HasSubstr("task_done of 10, with 9"));
  }
  EXPECT_THROW(q.task_done(std::numeric_limits<std::size_t>::max()), std::invalid_argument);
  q.task_done(9);
  EXPECT_THROW(q.task_done(), std::invalid_argument);
  q.get();
  q.task_done();
  q.join();
}

TYPED_TEST(blocking_queue, tells_the_delegate_and_changes_nothing_when_it_throws) {
  heddle_test::recording_delegate d;
  TypeParam q(1, "letters");
  EXPECT_STREQ(q.name(), "letters");
  EXPECT_EQ(TypeParam(1).name(), nullptr);
  q.put(1);
  EXPECT_THAT(d.log, IsEmpty());
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(q.try_put_for(2, time)); },
                            [&] { return !d.log.empty(); });
  ASSERT_NE(d.record, nullptr);
  EXPECT_THAT(d.log, ElementsAre(HasSubstr("letters"), HasSubstr("letters")));
  q.get();
  d.inside_enter = [&] {
    EXPECT_EQ(d.record->object, &q);
    EXPECT_EQ(d.record->kind, heddle::wait_kind::empty_queue);
  };
  d.log.clear();
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(q.try_get_for(time)); },
                            [&] { return !d.log.empty(); });
  d.inside_enter = [&] { EXPECT_EQ(d.record->kind, heddle::wait_kind::full_queue); };
  d.refuse = true;
  q.put(1);
  EXPECT_THROW(q.put(2), heddle::would_starve);
  d.inside_enter = [&] { EXPECT_EQ(d.record->kind, heddle::wait_kind::join); };
  EXPECT_THROW(q.join(), heddle::would_starve);
  d.inside_enter = nullptr;
  heddle_test::overwrite_dead_stack();
  EXPECT_EQ(*q.get(), 1);
  EXPECT_THROW(q.get(), heddle::would_starve);
  heddle_test::overwrite_dead_stack();
  q.put(3);  // nobody may still be in a queue
  EXPECT_EQ(*q.get(), 3);
}

TYPED_TEST(blocking_queue, records_puts_and_gets_and_their_waits) {
  TypeParam q(2, "recorded items");
  EXPECT_EQ(q.put_statistics().acquisitions, 0U);
  q.record(heddle::lock_recording::all);
  q.put(1);
  q.put(2);
  EXPECT_FALSE(q.try_put(3));
  heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(q.try_put_for(3, time)); },
                            [&] { return q.put_statistics().given_up != 0; });
  EXPECT_EQ(q.get_n(2).size(), 2U);
  for (unsigned times = 1; times <= 2; ++times) {
    heddle_test::wait_in_vain([&](auto time) { EXPECT_FALSE(q.try_get_for(time)); },
                              [&] { return q.get_statistics().given_up >= times; });
  }
  const auto puts = q.put_statistics();
  EXPECT_EQ(puts.kind, heddle::wait_kind::full_queue);
  EXPECT_EQ(puts.name, "recorded items");
  EXPECT_EQ(puts.object, &q);
  EXPECT_EQ(puts.acquisitions, 2U);
  EXPECT_EQ(puts.given_up, 1U);
  const auto gets = q.get_statistics();
  EXPECT_EQ(gets.kind, heddle::wait_kind::empty_queue);
  EXPECT_EQ(gets.object, &q);
  EXPECT_EQ(gets.acquisitions, 2U);
  EXPECT_EQ(gets.given_up, 2U);
}

}  // namespace
