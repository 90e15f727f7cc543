// Starting tasks, and where they run: sync_wait, spawn, schedule_on.
#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/this_task.hpp>

#include <chrono>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cancelled;
using heddle::executor_ref;
using heddle::future;
using heddle::inline_executor;
using heddle::manual_executor;
using heddle::manual_reset_event;
using heddle::thread_pool;
using heddle::coro::delay;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;

namespace prim = heddle::prim;

task<std::thread::id> where_am_i() { co_return std::this_thread::get_id(); }

TEST(coro_sync_wait, runs_the_task_on_the_calling_thread_also_after_its_waits) {
  const heddle_test::watchdog dog;
  const auto body = []() -> task<> {
    const auto before = std::this_thread::get_id();
    co_await delay(1ms);
    EXPECT_EQ(std::this_thread::get_id(), before);
    EXPECT_EQ(co_await where_am_i(), before);
  };
  sync_wait(body());
}

TEST(coro_sync_wait, on_a_worker_lets_a_spare_take_its_place) {
  thread_pool pool(1);
  const heddle_test::pool_watchdog dog(pool);
  manual_reset_event gate;
  const auto body = [&]() -> task<int> {
    co_await gate;
    co_return 3;
  };
  auto waiting = pool.submit([&] { return sync_wait(body()); });
  pool.submit([&] { gate.set(); }).get();
  EXPECT_EQ(waiting.get(), 3);
}

TEST(coro_sync_wait, on_a_worker_without_spares_waits_all_the_same) {
  heddle::thread_pool_options options;
  options.workers = 1;
  options.max_spares = 0;
  options.when_starved = heddle::at_spare_cap::fail;
  thread_pool pool(std::move(options));
  const heddle_test::pool_watchdog dog(pool);
  manual_reset_event gate;
  const auto body = [&]() -> task<int> {
    co_await gate;
    co_return 3;
  };
  auto waiting = pool.submit([&] { return sync_wait(body()); });
  std::this_thread::sleep_for(1ms);
  gate.set();
  EXPECT_EQ(waiting.get(), 3);
}

TEST(coro_schedule_on, moves_the_task_and_not_the_one_that_awaits_it) {
  thread_pool pool(1);
  const heddle_test::pool_watchdog dog(pool);
  const auto worker = pool.submit([] { return std::this_thread::get_id(); }).get();
  const auto child = [&]() -> task<> {
    co_await schedule_on(pool);
    EXPECT_EQ(std::this_thread::get_id(), worker);
    EXPECT_EQ(co_await heddle::coro::get_executor(), pool.executor());
    EXPECT_EQ(co_await where_am_i(), worker);
    co_await delay(1ms);
    EXPECT_EQ(std::this_thread::get_id(), worker);
  };
  const auto parent = [&]() -> task<> {
    const auto mine = std::this_thread::get_id();
    co_await child();
    EXPECT_EQ(std::this_thread::get_id(), mine);
  };
  sync_wait(parent());
}

TEST(coro_schedule_on, to_and_fro_many_times_uses_no_stack) {
  thread_pool one(1);
  thread_pool other(1);
  const heddle_test::watchdog dog;
  const auto body = [&]() -> task<> {
    for (int i = 0; i < 20'000; ++i) {
      co_await schedule_on(one);
      co_await schedule_on(other);
    }
  };
  sync_wait(body());
}

TEST(coro_schedule_on, on_an_inline_executor_uses_no_stack) {
  inline_executor here;
  const auto body = [&]() -> task<int> {
    int n = 0;
    for (; n < 200'000; ++n) co_await schedule_on(here);
    co_return n;
  };
  EXPECT_EQ(sync_wait(body()), 200'000);
}

TEST(coro_schedule_on, its_own_executor_lets_others_run_first) {
  manual_executor mine;
  std::vector<int> order;
  const auto body = [&](int n) -> task<> {
    order.push_back(n);
    co_await schedule_on(mine);
    order.push_back(n + 10);
  };
  auto first = spawn(mine, body(1));
  auto second = spawn(mine, body(2));
  mine.drain();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 11, 12}));
}

TEST(coro_schedule_on, nowhere_is_refused) {
  const auto body = []() -> task<> { co_await schedule_on(executor_ref()); };
  EXPECT_THROW(sync_wait(body()), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(spawn(executor_ref(), where_am_i())), std::invalid_argument);
}

TEST(coro_schedule_on, a_pool_that_was_shut_down_throws_and_changes_nothing) {
  thread_pool pool(1);
  pool.shutdown();
  const auto body = [&]() -> task<> {
    const auto before = co_await heddle::coro::get_executor();
    EXPECT_THROW(co_await schedule_on(pool), cancelled);
    EXPECT_EQ(co_await heddle::coro::get_executor(), before);
    co_await delay(1ms);
  };
  sync_wait(body());
}

// Where many chains come to a pool that ends no stack is used either.
TEST(coro_schedule_on, a_pool_that_was_shut_down_many_times) {
  thread_pool pool(1);
  pool.shutdown();
  const auto body = [&]() -> task<int> {
    int refused = 0;
    for (int i = 0; i < 50'000; ++i) {
      try {
        co_await schedule_on(pool);
      } catch (const cancelled&) {
        ++refused;
      }
    }
    co_return refused;
  };
  EXPECT_EQ(sync_wait(body()), 50'000);
}

TEST(coro_schedule_on, a_parent_whose_executor_is_gone_gets_cancelled_and_the_childs_exception) {
  manual_executor first;
  manual_executor second;
  const auto child = [&](bool fails) -> task<int> {
    co_await schedule_on(second);
    if (fails) throw std::runtime_error("child");
    co_return 1;
  };
  const auto parent = [&](bool fails) -> task<int> { co_return co_await child(fails); };
  auto value = spawn(first, parent(false));
  auto error = spawn(first, parent(true));
  first.drain();
  first.close();
  second.drain();
  EXPECT_THROW(value.get(), cancelled);
  EXPECT_THROW(error.get(), std::runtime_error);
}

TEST(coro_spawn, gives_a_future_of_the_value) {
  thread_pool pool(2);
  const auto body = [](int n) -> task<int> {
    co_await delay(1ms);
    co_return n;
  };
  std::vector<future<int>> all;
  for (int i = 0; i < 100; ++i) all.push_back(spawn(pool, body(i)));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
}

TEST(coro_spawn, what_the_task_owns_is_gone_when_the_future_is_ready) {
  thread_pool pool(1);
  const auto body = [](heddle_test::counted) -> task<> { co_await delay(100us); };
  spawn(pool, body(heddle_test::counted())).get();
  EXPECT_EQ(heddle_test::counted::alive, 0);
}

TEST(coro_spawn, exceptions_that_nobody_reads_are_unhandled) {
  const heddle_test::unhandled_log log;
  {
    thread_pool pool(1);
    const auto body = []() -> task<> {
      throw std::runtime_error("lost");
      co_return;
    };
    static_cast<void>(spawn(pool, body()));
  }
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"lost"});
}

TEST(coro_spawn, a_task_that_has_not_begun_is_given_up_by_cancel_and_by_the_executors_end) {
  manual_executor mine;
  int runs = 0;
  const auto body = [&](heddle_test::counted) -> task<> {
    ++runs;
    co_return;
  };
  auto given_up = spawn(mine, body(heddle_test::counted()));
  EXPECT_TRUE(given_up.cancel());
  EXPECT_EQ(heddle_test::counted::alive, 0);
  auto discarded = spawn(mine, body(heddle_test::counted()));
  mine.close();
  EXPECT_THROW(given_up.get(), cancelled);
  EXPECT_THROW(discarded.get(), cancelled);
  auto refused = spawn(mine, body(heddle_test::counted()));
  EXPECT_THROW(refused.get(), cancelled);
  EXPECT_EQ(runs, 0);
  EXPECT_EQ(heddle_test::counted::alive, 0);
}

TEST(coro_spawn, cancelling_trips_the_token_of_a_task_that_has_begun) {
  manual_executor mine;
  manual_reset_event gate;
  const auto body = [&]() -> task<bool> {
    const auto token = co_await heddle::coro::get_stop_token();
    EXPECT_FALSE(token.stop_requested());
    try {
      co_await gate;
    } catch (const cancelled&) {
      co_return token.stop_requested();
    }
    co_return false;
  };
  auto f = spawn(mine, body());
  mine.drain();
  EXPECT_FALSE(f.cancel());
  mine.drain();
  EXPECT_TRUE(f.get());
}

TEST(coro_spawn, a_waiting_worker_begins_the_task_itself) {
  thread_pool pool(1);
  const heddle_test::pool_watchdog dog(pool);
  auto outer =
      pool.submit([&] { return spawn(pool, where_am_i()).get() == std::this_thread::get_id(); });
  EXPECT_TRUE(outer.get());
}

// It goes on in the middle of the opener's discarding, but not of a turn of its own.
TEST(coro_spawn, a_refused_task_may_wait_for_what_it_gives_away_in_vain) {
  thread_pool pool(1);
  const heddle_test::pool_watchdog dog(pool);
  manual_reset_event gate;
  int in_vain = 0;
  const auto body = [&]() -> task<> {
    try {
      co_await gate;
    } catch (const cancelled&) {
    }
    try {
      spawn(pool, where_am_i()).get();
    } catch (const cancelled&) {
      ++in_vain;
    }
    try {
      heddle::submit(pool, [] {}).get();
    } catch (const cancelled&) {
      ++in_vain;
    }
  };
  auto refused = spawn(pool, body());
  pool.wait_idle();
  pool.shutdown();
  gate.set();
  refused.get();
  EXPECT_EQ(in_vain, 2);
}

TEST(coro_spawn, of_a_task_that_is_not_valid_is_refused) {
  thread_pool pool(1);
  EXPECT_THROW(static_cast<void>(spawn(pool, task<int>())), heddle::no_state);
}

TEST(coro_spawn, on_a_strand_runs_one_at_a_time) {
  thread_pool pool(4);
  heddle::strand turn(pool);
  const heddle_test::pool_watchdog dog(pool);
  long plain = 0;
  const auto body = [&]() -> task<> {
    for (int i = 0; i < 100; ++i) {
      ++plain;
      co_await schedule_on(turn);
    }
  };
  std::vector<future<void>> all;
  for (int i = 0; i < 20; ++i) all.push_back(spawn(turn, body()));
  for (auto& f : all) f.get();
  EXPECT_EQ(plain, 2000);
}

}  // namespace
