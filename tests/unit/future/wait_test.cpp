#include <heddle/future/wait.hpp>

#include <array>
#include <list>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>

#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using heddle::as_completed;
using heddle::future;
using heddle::promise;
using heddle::wait;
using heddle::wait_condition;
using heddle::wait_for;
using positions = std::vector<std::size_t>;

using namespace std::chrono_literals;

// Promises and their futures, side by side.
struct pairs {
  explicit pairs(std::size_t n) : promises(n) {
    for (promise<int>& p : promises) futures.push_back(p.get_future());
  }
  void fail(std::size_t i) {
    promises[i].set_exception(std::make_exception_ptr(std::runtime_error("failed")));
  }
  void read_all() {
    for (future<int>& f : futures) {
      if (f.valid() && f.ready()) static_cast<void>(f.exception());
    }
  }
  std::vector<promise<int>> promises;
  std::vector<future<int>> futures;
};

TEST(wait, for_all_of_ready_ones_does_not_wait) {
  pairs p(3);
  for (promise<int>& x : p.promises) x.set_value(1);
  const auto r = wait(p.futures);
  EXPECT_EQ(r.done, (positions{0, 1, 2}));
  EXPECT_TRUE(r.not_done.empty());
  for (future<int>& f : p.futures) EXPECT_EQ(f.get(), 1);
}

TEST(wait, for_nothing_is_over_at_once) {
  std::vector<future<int>> none;
  for (const auto c : {wait_condition::first_completed, wait_condition::first_exception,
                       wait_condition::all_completed}) {
    const auto r = wait(none, c);
    EXPECT_TRUE(r.done.empty());
    EXPECT_TRUE(r.not_done.empty());
  }
}

TEST(wait, gives_up_at_the_limit_and_tells_who_is_ready) {
  pairs p(4);
  p.promises[2].set_value(1);
  for (const auto limit : {5ms, 0ms, -5ms}) {
    const auto r = wait_for(p.futures, limit);
    EXPECT_EQ(r.done, positions{2});
    EXPECT_EQ(r.not_done, (positions{0, 1, 3}));
  }
  const auto passed =
      wait(p.futures, wait_condition::all_completed, heddle::prim::time_point::min());
  EXPECT_EQ(passed.done, positions{2});
}

TEST(wait, for_the_first_is_over_when_one_is_ready) {
  const heddle_test::watchdog dog;
  pairs p(4);
  std::thread producer([&p] {
    std::this_thread::sleep_for(2ms);
    p.promises[3].set_value(1);
  });
  const auto r = wait(p.futures, wait_condition::first_completed);
  producer.join();
  EXPECT_EQ(r.done, positions{3});
  EXPECT_EQ(r.not_done, (positions{0, 1, 2}));
}

TEST(wait, for_the_first_exception_ignores_values) {
  const heddle_test::watchdog dog;
  pairs p(4);
  p.promises[0].set_value(1);
  EXPECT_EQ(wait_for(p.futures, 1ms, wait_condition::first_exception).done, positions{0});
  std::thread producer([&p] {
    p.promises[1].set_value(1);
    std::this_thread::sleep_for(2ms);
    p.fail(2);
  });
  const auto r = wait(p.futures, wait_condition::first_exception);
  producer.join();
  EXPECT_EQ(r.done, (positions{0, 1, 2}));
  EXPECT_EQ(r.not_done, positions{3});
  p.read_all();
}

TEST(wait, for_the_first_exception_is_over_when_there_can_be_none) {
  const heddle_test::watchdog dog;
  pairs p(3);
  std::thread producer([&p] {
    for (promise<int>& x : p.promises) {
      std::this_thread::sleep_for(1ms);
      x.set_value(1);
    }
  });
  const auto r = wait(p.futures, wait_condition::first_exception);
  producer.join();
  EXPECT_EQ(r.done.size(), 3U);
}

TEST(wait, counts_cancelled_and_broken_ones_as_exceptions) {
  for (const bool broken : {true, false}) {
    pairs p(2);
    if (broken) {
      p.promises[1] = promise<int>();
    } else {
      p.futures[1].cancel();
    }
    const auto r = wait(p.futures, wait_condition::first_exception);
    EXPECT_EQ(r.done, positions{1});
    p.read_all();
  }
}

TEST(wait, leaves_the_futures_valid_and_unread) {
  const heddle_test::unhandled_log log;
  {
    pairs p(1);
    p.fail(0);
    static_cast<void>(wait(p.futures));
    EXPECT_TRUE(p.futures[0].valid());
  }
  EXPECT_EQ(log.count(), 1U);
}

TEST(wait, refuses_a_future_without_state_and_touches_none) {
  pairs p(2);
  p.futures.emplace_back();
  EXPECT_THROW(static_cast<void>(wait(p.futures)), heddle::no_state);
  EXPECT_THROW(static_cast<void>(as_completed(p.futures)), heddle::no_state);
  p.promises[0].set_value(1);
  EXPECT_EQ(p.futures[0].get(), 1);
}

TEST(wait, takes_any_range_that_lends_its_futures) {
  std::list<future<int>> list;
  list.push_back(heddle::make_ready_future(1));
  EXPECT_EQ(wait(list).done.size(), 1U);
  std::array<future<void>, 2> array{heddle::make_ready_future(), heddle::make_ready_future()};
  EXPECT_EQ(wait(array).done.size(), 2U);
  future<int> plain[] = {heddle::make_ready_future(1)};
  EXPECT_EQ(wait(plain).done.size(), 1U);
  std::vector<future<int>> vector;
  vector.push_back(heddle::make_ready_future(2));
  auto view = vector | std::views::take(1);
  EXPECT_EQ(wait(view).done.size(), 1U);
}

TEST(wait, the_same_futures_again_and_again) {
  pairs p(3);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(wait_for(p.futures, 0ms, wait_condition::first_completed).done.size(), i);
    EXPECT_EQ(wait_for(p.futures, 1ms).done.size(), i);
    p.promises[i].set_value(1);
  }
  EXPECT_EQ(wait(p.futures).done.size(), 3U);
}

TEST(as_completed, gives_each_once_in_the_order_of_completion) {
  const heddle_test::watchdog dog;
  pairs p(4);
  auto view = as_completed(p.futures);
  EXPECT_EQ(view.remaining(), 4U);
  std::vector<int> order;
  const positions completing{2, 0, 3, 1};
  std::size_t next = 0;
  p.promises[completing[next]].set_value(static_cast<int>(completing[next]));
  for (auto it = view.begin(); it != view.end(); ++it) {
    EXPECT_EQ(it.position(), completing[next]);
    EXPECT_EQ(&*it, &p.futures[completing[next]]);
    order.push_back((*it).get());
    if (++next < 4) p.promises[completing[next]].set_value(static_cast<int>(completing[next]));
  }
  EXPECT_EQ(order, (std::vector<int>{2, 0, 3, 1}));
  EXPECT_EQ(view.remaining(), 0U);
}

TEST(as_completed, waits_for_futures_that_other_threads_make_ready) {
  const heddle_test::watchdog dog;
  constexpr std::size_t n = 200;
  pairs p(n);
  std::thread front([&p] {
    for (std::size_t i = 0; i < n; i += 2) p.promises[i].set_value(1);
  });
  std::thread back([&p] {
    for (std::size_t i = n - 1; i < n; i -= 2) p.promises[i].set_value(1);
  });
  int sum = 0;
  for (future<int>& f : as_completed(p.futures)) {
    EXPECT_TRUE(f.ready());
    sum += f.get();
  }
  front.join();
  back.join();
  EXPECT_EQ(sum, static_cast<int>(n));
}

TEST(as_completed, of_nothing_ends_at_once) {
  std::vector<future<int>> none;
  int steps = 0;
  for ([[maybe_unused]] future<int>& f : as_completed(none)) ++steps;
  EXPECT_EQ(steps, 0);
  EXPECT_EQ(as_completed(none).next_until(heddle::prim::never), nullptr);
}

TEST(as_completed, of_ready_ones_gives_them_in_their_order) {
  pairs p(3);
  for (promise<int>& x : p.promises) x.set_value(1);
  positions order;
  auto view = as_completed(p.futures);
  for (auto it = view.begin(); it != view.end(); ++it) order.push_back(it.position());
  EXPECT_EQ(order, (positions{0, 1, 2}));
}

TEST(as_completed, left_early_leaves_the_others_alone) {
  pairs p(5);
  p.promises[1].set_value(11);
  for (future<int>& f : as_completed(p.futures)) {
    EXPECT_EQ(f.get(), 11);
    break;
  }
  for (const std::size_t i : {0U, 2U, 3U, 4U}) p.promises[i].set_value(static_cast<int>(i));
  for (const std::size_t i : {0U, 2U, 3U, 4U}) EXPECT_EQ(p.futures[i].get(), static_cast<int>(i));
}

TEST(as_completed, may_outlive_its_futures_when_no_longer_used) {
  auto p = std::make_unique<pairs>(2);
  auto view = as_completed(p->futures);
  p->futures.clear();
  p->promises[0].set_value(1);
  p.reset();
  EXPECT_EQ(view.remaining(), 2U);
}

TEST(as_completed, next_until_gives_up_and_goes_on) {
  const heddle_test::watchdog dog;
  pairs p(2);
  auto view = as_completed(p.futures);
  EXPECT_EQ(view.next_until(heddle::prim::clock::now() + 2ms), nullptr);
  EXPECT_EQ(view.next_until(heddle::prim::time_point::min()), nullptr);
  p.promises[1].set_value(1);
  EXPECT_EQ(view.next_until(heddle::prim::time_point::min()), &p.futures[1]);
  EXPECT_EQ(view.remaining(), 1U);
  EXPECT_EQ(view.next_until(heddle::prim::clock::now() + 1ms), nullptr);
  std::thread producer([&p] {
    std::this_thread::sleep_for(2ms);
    p.promises[0].set_value(1);
  });
  EXPECT_EQ(view.next_until(heddle::prim::never), &p.futures[0]);
  producer.join();
  EXPECT_EQ(view.next_until(heddle::prim::never), nullptr);
  EXPECT_EQ(view.remaining(), 0U);
}

TEST(as_completed, gives_failed_ones_like_others) {
  pairs p(2);
  p.fail(0);
  p.futures[1].cancel();
  int failed = 0;
  for (future<int>& f : as_completed(p.futures)) failed += f.exception() != nullptr ? 1 : 0;
  EXPECT_EQ(failed, 2);
}

}  // namespace
