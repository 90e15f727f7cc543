#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/this_task.hpp>
#include <heddle/coro/with_timeout.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/failing_allocations.hpp"
#include "support/pools.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cancelled;
using heddle::manual_executor;
using heddle::manual_reset_event;
using heddle::thread_pool;
using heddle::timed_out;
using heddle::coro::delay;
using heddle::coro::gather;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;
using heddle::coro::unit;
using heddle::coro::with_timeout;
using heddle_test::counted;

namespace prim = heddle::prim;

task<int> value_of(int n) { co_return n; }

task<int> late_value(int n) {
  co_await delay(1ms);
  co_return n;
}

task<> fails_with(const char* why) {
  throw std::runtime_error(why);
  co_return;
}

// Ends when it is told to stop, and not before.
task<> until_stopped(int& stopped) {
  try {
    co_await delay(24h);
  } catch (const cancelled&) {
    ++stopped;
    throw;
  }
}

TEST(coro_gather, gives_the_values_in_the_order_of_the_tasks) {
  int x = 5;
  const auto reference = [&]() -> task<int&> { co_return x; };
  const auto nothing = []() -> task<> { co_return; };
  const auto owned = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(9); };
  const auto body = [&]() -> task<> {
    auto [a, b, c, d] = co_await gather(late_value(1), reference(), nothing(), owned());
    EXPECT_EQ(a, 1);
    EXPECT_EQ(b, &x);
    EXPECT_EQ(c, unit());
    EXPECT_EQ(*d, 9);
    static_cast<void>(co_await gather());
  };
  sync_wait(body());
}

TEST(coro_gather, of_a_range_gives_a_vector) {
  const auto owned = [](int n) -> task<std::unique_ptr<int>> {
    co_return std::make_unique<int>(n);
  };
  std::vector<task<std::unique_ptr<int>>> tasks;
  for (int i = 0; i < 100; ++i) tasks.push_back(owned(i));
  const auto values = sync_wait(gather(std::move(tasks)));
  ASSERT_EQ(values.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(*values[static_cast<std::size_t>(i)], i);
  EXPECT_TRUE(sync_wait(gather(std::vector<task<int>>())).empty());
  sync_wait(gather(std::vector<task<>>()));
}

TEST(coro_gather, on_a_pool_runs_its_tasks_on_several_workers) {
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  heddle::latch both(2);
  const auto meet = [&]() -> task<> {
    both.arrive_and_wait();  // blocks: only another thread helps
    co_return;
  };
  const auto body = [&]() -> task<> { static_cast<void>(co_await gather(meet(), meet())); };
  spawn(pool, body()).get();
}

TEST(coro_gather, a_hundred_thousand_tasks) {
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  const auto body = []() -> task<long> {
    std::vector<task<int>> all;
    for (int i = 0; i < 100'000; ++i) all.push_back(value_of(i % 7));
    long sum = 0;
    for (const int one : co_await gather(std::move(all))) sum += one;
    co_return sum;
  };
  long expected = 0;
  for (int i = 0; i < 100'000; ++i) expected += i % 7;
  EXPECT_EQ(spawn(pool, body()).get(), expected);
  EXPECT_EQ(sync_wait(body()), expected);
}

TEST(coro_gather, keeps_to_max_in_flight_and_makes_tasks_as_it_goes) {
  thread_pool pool(4);
  const heddle_test::pool_watchdog dog(pool);
  std::atomic<int> made{0};
  std::atomic<int> ended{0};
  std::atomic<int> most{0};
  const auto one = [&]() -> task<int> {
    const int now = made - ended;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    co_await delay(50us);
    ++ended;
    co_return 1;
  };
  auto tasks = std::views::iota(0, 500) | std::views::transform([&](int) {
                 ++made;
                 return one();
               });
  const auto ones = spawn(pool, gather(tasks, 3)).get();
  EXPECT_EQ(ones.size(), 500U);
  EXPECT_LE(most, 4);  // the one that waits for its turn has been made
  EXPECT_THROW(static_cast<void>(gather(tasks, 0)), std::invalid_argument);
}

TEST(coro_gather, without_values_keeps_nothing_of_tasks_that_have_ended) {
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  constexpr int count = 100'000;
  std::atomic<int> ended{0};
  const auto one = [&]() -> task<> {
    co_await schedule_on(pool);
    ++ended;
  };
  const auto body = [&]() -> task<> {
    long early = 0;
    long most = 0;
    auto tasks = std::views::iota(0, count) | std::views::transform([&](int i) {
                   const long now = heddle_test::live_allocations_but_for_cells();
                   if (i == 100) early = now;
                   if (i >= 100) most = std::max(most, now - early);
                   return one();
                 });
    co_await gather(tasks, 4);
    EXPECT_LT(most, 100);
  };
  spawn(pool, body()).get();
  EXPECT_EQ(ended, count);
  sync_wait(body());
  EXPECT_EQ(ended, 2 * count);
}

TEST(coro_gather, without_values_uses_children_again_also_where_they_fail) {
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  std::atomic<int> ended{0};
  const auto one = [&](int i) -> task<> {
    if (i % 3 == 0) co_await schedule_on(pool);
    if (i == 50) throw std::runtime_error("the 50th");
    ++ended;
  };
  for (int round = 0; round != 20; ++round) {
    ended = 0;
    auto tasks = std::views::iota(0, 1000) | std::views::transform(one);
    EXPECT_THROW(spawn(pool, gather(tasks, 3)).get(), std::runtime_error);
    EXPECT_GE(ended, 47);
    EXPECT_LE(ended, 1000);
  }
}

TEST(coro_gather, the_first_failure_stops_the_others_and_is_thrown_when_all_have_ended) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  int stopped = 0;
  const auto body = [&]() -> task<> {
    static_cast<void>(
        co_await gather(until_stopped(stopped), fails_with("first"), until_stopped(stopped)));
  };
  try {
    sync_wait(body());
    ADD_FAILURE();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "first");
  }
  EXPECT_EQ(stopped, 2);
  EXPECT_EQ(log.count(), 0U);
}

TEST(coro_gather, further_failures_are_unhandled) {
  const heddle_test::unhandled_log log;
  std::vector<task<>> all;
  all.push_back(fails_with("one"));
  all.push_back(fails_with("two"));
  EXPECT_THROW(sync_wait(gather(std::move(all))), std::runtime_error);
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"two"});
}

TEST(coro_gather, begins_nothing_more_when_one_has_failed) {
  int made = 0;
  const auto one = [&](int i) -> task<> {
    ++made;
    if (i == 3) throw std::runtime_error("three");
    co_return;
  };
  auto tasks = std::views::iota(0, 1000) | std::views::transform(one);
  EXPECT_THROW(sync_wait(gather(tasks, 1)), std::runtime_error);
  EXPECT_EQ(made, 4);
}

TEST(coro_gather, a_stop_from_outside_reaches_the_leaves) {
  const heddle_test::watchdog dog;
  prim::stop_source stop;
  int stopped = 0;
  std::atomic<int> begun{0};
  const auto leaf = [&]() -> task<> {
    ++begun;
    co_await until_stopped(stopped);
  };
  const auto inner = [&]() -> task<> { static_cast<void>(co_await gather(leaf(), leaf())); };
  const auto outer = [&]() -> task<> { static_cast<void>(co_await gather(inner(), leaf())); };
  std::thread stopping([&] {
    while (begun != 3) std::this_thread::yield();
    stop.request_stop();
  });
  EXPECT_THROW(sync_wait(outer(), stop.get_token()), cancelled);
  stopping.join();
  EXPECT_EQ(stopped, 3);
}

TEST(coro_gather, told_to_stop_before_it_has_begun_everything_is_cancelled) {
  prim::stop_source stop;
  stop.request_stop();
  int made = 0;
  auto tasks = std::views::iota(0, 10) | std::views::transform([&](int) {
                 ++made;
                 return value_of(1);
               });
  EXPECT_THROW(sync_wait(gather(tasks), stop.get_token()), cancelled);
  EXPECT_EQ(made, 1);
}

TEST(coro_gather, a_range_that_throws_counts_as_a_failure) {
  const heddle_test::watchdog dog;
  int stopped = 0;
  auto tasks = std::views::iota(0, 10) | std::views::transform([&](int i) {
                 if (i == 3) throw std::runtime_error("range");
                 return until_stopped(stopped);
               });
  EXPECT_THROW(sync_wait(gather(tasks)), std::runtime_error);
}

TEST(coro_gather, tasks_that_are_not_valid_are_refused) {
  EXPECT_THROW(static_cast<void>(gather(value_of(1), task<int>())), heddle::no_state);
  std::vector<task<int>> tasks;
  tasks.push_back(value_of(1));
  tasks.emplace_back();
  EXPECT_THROW(sync_wait(gather(std::move(tasks))), heddle::no_state);
}

TEST(coro_gather, never_awaited_destroys_its_tasks) {
  const auto holds = [](counted) -> task<> { co_return; };
  {
    const auto all = gather(holds(counted()), holds(counted()));
    EXPECT_EQ(counted::alive, 2);
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(coro_gather, on_an_executor_that_closes_ends_with_cancelled) {
  manual_executor mine;
  const auto body = [&]() -> task<> {
    static_cast<void>(co_await gather(value_of(1), late_value(2), value_of(3)));
  };
  auto done = spawn(mine, body());
  ASSERT_TRUE(mine.run_one());  // its tasks are in the queue
  mine.close();
  EXPECT_THROW(done.get(), cancelled);
}

TEST(coro_gather, tasks_may_move_to_other_executors) {
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  const auto moves = [&](int n) -> task<int> {
    co_await heddle::coro::schedule_on(pool);
    co_return n;
  };
  const auto body = [&]() -> task<int> {
    const auto here = std::this_thread::get_id();
    const auto [a, b] = co_await gather(moves(1), moves(2));
    EXPECT_EQ(std::this_thread::get_id(), here);
    co_return a + b;
  };
  for (int i = 0; i < 200; ++i) EXPECT_EQ(sync_wait(body()), 3);
}

TEST(coro_with_timeout, gives_the_value_of_a_task_that_ends_in_time) {
  const heddle_test::watchdog dog;
  int x = 1;
  const auto reference = [&]() -> task<int&> { co_return x; };
  const auto nothing = []() -> task<> { co_return; };
  EXPECT_EQ(sync_wait(with_timeout(late_value(4), 1h)), 4);
  EXPECT_EQ(&sync_wait(with_timeout(reference(), 1h)), &x);
  sync_wait(with_timeout(nothing(), std::chrono::hours::max()));
}

TEST(coro_with_timeout, throws_when_the_task_has_been_told_and_has_ended) {
  const heddle_test::watchdog dog;
  int stopped = 0;
  EXPECT_THROW(sync_wait(with_timeout(until_stopped(stopped), 1ms)), timed_out);
  EXPECT_EQ(stopped, 1);
}

TEST(coro_with_timeout, of_zero_tells_the_task_before_it_begins) {
  const auto body = []() -> task<> {
    EXPECT_TRUE((co_await heddle::coro::get_stop_token()).stop_requested());
  };
  EXPECT_THROW(sync_wait(with_timeout(body(), 0s)), timed_out);
  EXPECT_THROW(sync_wait(with_timeout(body(), -1h)), timed_out);
}

TEST(coro_with_timeout, waits_for_a_task_that_does_not_heed_the_stop) {
  const heddle_test::watchdog dog;
  bool ended = false;
  const auto deaf = [&]() -> task<int> {
    const auto token = co_await heddle::coro::get_stop_token();
    while (!token.stop_requested()) std::this_thread::yield();
    ended = true;
    co_return 1;
  };
  EXPECT_THROW(sync_wait(with_timeout(deaf(), 1ms)), timed_out);
  EXPECT_TRUE(ended);
}

TEST(coro_with_timeout, passes_other_exceptions_on) {
  const heddle_test::watchdog dog;
  EXPECT_THROW(sync_wait(with_timeout(fails_with("soon"), 1h)), std::runtime_error);
  const auto stubborn = []() -> task<> {
    try {
      co_await delay(24h);
    } catch (const cancelled&) {
      throw std::runtime_error("late");
    }
  };
  EXPECT_THROW(sync_wait(with_timeout(stubborn(), 1ms)), std::runtime_error);
}

TEST(coro_with_timeout, a_stop_from_outside_is_no_timeout) {
  const heddle_test::watchdog dog;
  prim::stop_source stop;
  int stopped = 0;
  std::thread stopping([&] {
    std::this_thread::sleep_for(1ms);
    stop.request_stop();
  });
  EXPECT_THROW(sync_wait(with_timeout(until_stopped(stopped), 24h), stop.get_token()), cancelled);
  stopping.join();
  EXPECT_EQ(stopped, 1);
}

TEST(coro_with_timeout, inside_of_each_other) {
  const heddle_test::watchdog dog;
  int stopped = 0;
  EXPECT_THROW(sync_wait(with_timeout(with_timeout(until_stopped(stopped), 1ms), 24h)), timed_out);
  EXPECT_THROW(sync_wait(with_timeout(with_timeout(until_stopped(stopped), 24h), 1ms)), timed_out);
  EXPECT_EQ(stopped, 2);
}

TEST(coro_with_timeout, of_bad_input_is_refused) {
  EXPECT_THROW(static_cast<void>(with_timeout(task<int>(), 1s)), heddle::no_state);
  EXPECT_THROW(static_cast<void>(with_timeout(value_of(1), std::chrono::duration<double>(NAN))),
               std::invalid_argument);
}

TEST(coro_with_timeout, a_gather_in_it_ends_as_a_whole) {
  const heddle_test::watchdog dog;
  thread_pool pool(2);
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  const auto sleeper = [&]() -> task<> {
    ++begun;
    try {
      co_await delay(24h);
    } catch (const cancelled&) {
      ++ended;
      throw;
    }
  };
  // Again with more time, should it have run out before all of them had begun.
  for (auto time = 5ms; begun != 100; time *= 2) {
    begun = 0;
    ended = 0;
    std::vector<task<>> all;
    for (int i = 0; i < 100; ++i) all.push_back(sleeper());
    auto done = spawn(pool, with_timeout(gather(std::move(all)), time));
    EXPECT_THROW(done.get(), timed_out);
    EXPECT_EQ(ended, begun);
  }
}

}  // namespace
