// Tasks that wait elsewhere while their pool ends: who wakes them finds it gone, and they come to
// an end all the same.

#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/fork.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/this_task.hpp>
#include <heddle/coro/with_timeout.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/semaphore.hpp>

#include "support/pools.hpp"
#include "tasks.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cancelled;
using heddle::executor_ref;
using heddle::future;
using heddle::manual_reset_event;
using heddle::thread_pool;
using heddle::coro::delay;
using heddle::coro::fork;
using heddle::coro::gather;
using heddle::coro::join;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;
using heddle_test::counted;

// What a task can wait for, and who ends that wait.
struct places {
  manual_reset_event event;
  heddle::auto_reset_event turn;
  heddle::promise<int> p;
  future<int> result = p.get_future();
  heddle::counting_semaphore<> permits{0};
  heddle::latch gate{1};

  task<> in_event() { co_await event; }
  task<> in_turn() { co_await turn; }
  task<> in_future() { co_await result; }
  task<> in_semaphore() { co_await heddle::coro::acquire(permits); }
  task<> in_latch() { co_await gate; }

  void wake_all() {
    event.set();
    turn.set();
    p.set_value(1);
    permits.release();
    gate.count_down();
  }
};

// What becomes of a task: where it went on, and whether its pool was there.
struct ending {
  std::atomic<int> refused{0};
  std::atomic<int> ended{0};
  std::atomic<std::thread::id> thread{};
};

task<> waits(task<> awaited, ending& how) {
  const counted local;
  try {
    co_await std::move(awaited);
  } catch (const cancelled&) {
    ++how.refused;
    how.thread = std::this_thread::get_id();
    throw;
  }
  ++how.ended;
}

std::vector<future<void>> one_of_each(executor_ref where, places& all, ending& how) {
  std::vector<future<void>> tasks;
  tasks.push_back(spawn(where, waits(all.in_event(), how)));
  tasks.push_back(spawn(where, waits(all.in_turn(), how)));
  tasks.push_back(spawn(where, waits(all.in_future(), how)));
  tasks.push_back(spawn(where, waits(all.in_semaphore(), how)));
  tasks.push_back(spawn(where, waits(all.in_latch(), how)));
  return tasks;
}

void expect_all_cancelled(std::vector<future<void>>& tasks) {
  for (auto& one : tasks) {
    EXPECT_TRUE(one.ready());
    EXPECT_THROW(one.get(), cancelled);
  }
  EXPECT_EQ(counted::alive, 0);
}

void expect_all_refused(places& all, std::vector<future<void>>& tasks, const ending& how) {
  all.wake_all();
  expect_all_cancelled(tasks);
  EXPECT_EQ(how.refused, 5);
}

TEST(coro_pool_end, woken_behind_a_shutdown) {
  const heddle_test::watchdog dog;
  for (const auto mode : {heddle::shutdown_mode::drain, heddle::shutdown_mode::cancel}) {
    places all;
    ending how;
    thread_pool pool(2);
    auto tasks = one_of_each(pool.executor(), all, how);
    pool.wait_idle();
    EXPECT_TRUE(pool.shutdown(mode).completed);
    EXPECT_EQ(counted::alive, 5);
    expect_all_refused(all, tasks, how);
    EXPECT_EQ(how.thread.load(), std::this_thread::get_id());
    EXPECT_EQ(all.permits.available(), 1);  // given back
  }
}

TEST(coro_pool_end, woken_behind_its_destruction) {
  const heddle_test::watchdog dog;
  for (const bool measures : {false, true}) {
    places all;
    ending how;
    std::vector<future<void>> tasks;
    {
      heddle::thread_pool_options options;
      options.workers = 2;
      options.measure_times = measures;
      if (measures) options.queue_capacity = 100;
      thread_pool pool(std::move(options));
      tasks = one_of_each(pool.executor(), all, how);
      pool.wait_idle();
    }
    EXPECT_EQ(counted::alive, 5);
    expect_all_refused(all, tasks, how);
    EXPECT_EQ(how.thread.load(), std::this_thread::get_id());
  }
}

TEST(coro_pool_end, woken_by_a_task_of_another_pool) {
  const heddle_test::watchdog dog;
  thread_pool other(1);
  places all;
  ending how;
  std::vector<future<void>> tasks;
  {
    thread_pool pool(2);
    tasks = one_of_each(pool.executor(), all, how);
    pool.wait_idle();
  }
  const auto there = other
                         .submit([&] {
                           all.wake_all();
                           return std::this_thread::get_id();
                         })
                         .get();
  expect_all_cancelled(tasks);
  EXPECT_EQ(how.refused, 5);
  EXPECT_EQ(how.thread.load(), there);
}

// A drain accepts what the pool's own tasks wake, up to its end.
TEST(coro_pool_end, woken_by_a_task_of_its_own) {
  const heddle_test::watchdog dog;
  {
    places all;
    ending how;
    thread_pool pool(2);
    auto tasks = one_of_each(pool.executor(), all, how);
    pool.wait_idle();
    pool.submit([&] {
          EXPECT_TRUE(pool.shutdown().completed);
          all.wake_all();
        })
        .get();
    for (auto& one : tasks) one.get();
    EXPECT_EQ(how.ended, 5);
  }
  places all;
  ending how;
  auto pool = std::make_unique<thread_pool>(2U);
  auto tasks = one_of_each(pool->executor(), all, how);
  pool->wait_idle();
  manual_reset_event given;
  auto destroys = pool->submit([&] {
    given.wait();
    pool.reset();
    all.wake_all();
  });
  given.set();
  destroys.get();
  expect_all_cancelled(tasks);
  EXPECT_EQ(how.refused, 5);
}

TEST(coro_pool_end, woken_by_time) {
  const heddle_test::watchdog dog;
  ending how;
  future<void> soon;
  future<void> never;
  {
    thread_pool pool(1);
    soon = spawn(pool, waits([]() -> task<> { co_await delay(20ms); }(), how));
    never = spawn(pool, waits([]() -> task<> { co_await delay(24h); }(), how));
    pool.wait_idle();
  }
  EXPECT_FALSE(never.ready());
  EXPECT_FALSE(never.cancel());  // it has begun
  EXPECT_THROW(never.get(), cancelled);
  soon.wait();
  EXPECT_EQ(how.refused + how.ended, 2);
  EXPECT_EQ(counted::alive, 0);
}

// All later waits are refused as well, and what it gives to the pool is cancelled.
TEST(coro_pool_end, one_that_goes_on_all_the_same_is_refused_again) {
  const heddle_test::watchdog dog;
  manual_reset_event event;
  int refused = 0;
  const auto stubborn = [&]() -> task<int> {
    try {
      co_await event;
    } catch (const cancelled&) {
      ++refused;
    }
    try {
      co_await delay(1ms);
    } catch (const cancelled&) {
      ++refused;
    }
    const executor_ref mine = co_await heddle::coro::get_executor();
    auto lost = spawn(mine, heddle_test::number(1));
    EXPECT_THROW(lost.get(), cancelled);
    EXPECT_THROW(heddle::submit(mine, [] {}).get(), cancelled);
    co_return 1;
  };
  future<int> result;
  {
    thread_pool pool(1);
    result = spawn(pool, stubborn());
    pool.wait_idle();
  }
  event.set();
  EXPECT_EQ(result.get(), 1);
  EXPECT_EQ(refused, 2);
}

TEST(coro_pool_end, of_nested_tasks) {
  const heddle_test::watchdog dog;
  places all;
  ending how;
  const auto in_all = [&]() -> task<> {
    co_await gather(waits(all.in_event(), how), waits(all.in_future(), how),
                    waits(all.in_semaphore(), how));
  };
  const auto in_time = [&]() -> task<> {
    co_await heddle::coro::with_timeout(waits(in_all(), how), 24h);
  };
  const auto forks = [&]() -> task<> {
    const counted local;
    co_await fork(waits(all.in_latch(), how));
    co_await fork(waits(all.in_turn(), how));
    co_await join();
  };
  future<void> first;
  future<void> second;
  {
    thread_pool pool(2);
    first = spawn(pool, waits(in_time(), how));
    second = spawn(pool, waits(forks(), how));
    pool.wait_idle();
  }
  EXPECT_EQ(counted::alive, 9);
  all.wake_all();
  EXPECT_THROW(first.get(), cancelled);
  EXPECT_THROW(second.get(), cancelled);
  EXPECT_EQ(how.refused, 8);
  EXPECT_EQ(counted::alive, 0);
}

// Whoever waits for such a task is told, wherever that is.
TEST(coro_pool_end, tells_who_waits) {
  const heddle_test::watchdog dog;
  thread_pool other(1);
  manual_reset_event event;
  ending how;
  std::optional<thread_pool> pool(1U);
  future<void> inner = spawn(*pool, waits([](auto& e) -> task<> { co_await e; }(event), how));
  const auto outer = [](future<void> awaited) -> task<bool> {
    try {
      co_await awaited;
    } catch (const cancelled&) {
      co_return true;
    }
    co_return false;
  };
  auto elsewhere = spawn(other, outer(std::move(inner)));
  manual_reset_event arrived;
  const auto moved = [&]() -> task<> {
    co_await schedule_on(*pool);
    arrived.set();
    co_await event;
  };
  bool refused = false;
  std::thread waiter([&] {
    const auto root = [&]() -> task<bool> {
      try {
        co_await moved();
      } catch (const cancelled&) {
        co_return true;
      }
      co_return false;
    };
    refused = sync_wait(root());
  });
  arrived.wait();
  pool.reset();
  event.set();
  EXPECT_TRUE(elsewhere.get());
  waiter.join();
  EXPECT_TRUE(refused);
}

TEST(coro_pool_end, whose_last_owner_is_the_task) {
  const heddle_test::watchdog dog;
  for (const bool shut_down : {false, true}) {
    manual_reset_event event;
    auto pool = std::make_shared<thread_pool>(2U);
    const std::weak_ptr<thread_pool> seen = pool;
    const auto owns = [](std::shared_ptr<thread_pool> own, manual_reset_event& e) -> task<int> {
      co_await e;
      co_return static_cast<int>(own->size());
    };
    auto result = spawn(*pool, owns(pool, event));
    pool->wait_idle();
    if (shut_down) pool->shutdown();
    pool.reset();
    EXPECT_FALSE(seen.expired());
    event.set();
    if (shut_down) {
      EXPECT_THROW(result.get(), cancelled);
    } else {
      EXPECT_EQ(result.get(), 2);
    }
    EXPECT_TRUE(seen.expired());
  }
}

TEST(coro_pool_end, whose_last_owner_is_a_task_that_has_left_it) {
  const heddle_test::watchdog dog;
  thread_pool other(1);
  manual_reset_event event;
  auto pool = std::make_shared<thread_pool>(1U);
  const auto leaves = [&other, &event](std::shared_ptr<thread_pool> own) -> task<bool> {
    const executor_ref home = co_await heddle::coro::get_executor();
    co_await schedule_on(other);
    co_await event;
    own.reset();  // on the other
    bool refused = false;
    try {
      co_await schedule_on(home);
    } catch (const cancelled&) {
      refused = true;
    }
    co_await schedule_on(other);  // where it still is
    co_return refused&& other.worker_index().has_value();
  };
  auto result = spawn(*pool, leaves(pool));
  pool.reset();
  event.set();
  EXPECT_TRUE(result.get());
}

// The child has left; its parent is still where it was.
TEST(coro_pool_end, to_which_a_task_would_come_back) {
  const heddle_test::watchdog dog;
  thread_pool other(1);
  manual_reset_event event;
  ending how;
  const auto child = [&]() -> task<> {
    co_await schedule_on(other);
    co_await event;
  };
  future<void> result;
  {
    thread_pool pool(1);
    result = spawn(pool, waits(child(), how));
    pool.wait_idle();
    other.wait_idle();
  }
  event.set();
  EXPECT_THROW(result.get(), cancelled);
  EXPECT_EQ(how.refused, 1);
}

TEST(coro_pool_end, of_tasks_that_have_come_from_elsewhere) {
  const heddle_test::watchdog dog;
  for (const bool awaited : {false, true}) {
    heddle::inline_executor here;
    places all;
    ending how;
    std::vector<future<void>> tasks;
    {
      thread_pool first(1);
      thread_pool second(1);
      const auto comes = [&](task<> then) -> task<> {
        co_await schedule_on(first);
        co_await schedule_on(second);
        co_await schedule_on(first);
        co_await waits(std::move(then), how);
      };
      const auto begins = [&](task<> then) -> task<> {
        if (awaited) {
          co_await comes(std::move(then));
        } else {
          co_await schedule_on(second);
          co_await gather(comes(std::move(then)));
        }
      };
      tasks.push_back(spawn(here, begins(all.in_event())));
      tasks.push_back(spawn(here, begins(all.in_future())));
      for (int i = 0; i < 8; ++i) {
        first.wait_idle();
        second.wait_idle();
      }
    }
    all.wake_all();
    for (auto& one : tasks) EXPECT_THROW(one.get(), cancelled);
    EXPECT_EQ(how.refused, 2);
    EXPECT_EQ(counted::alive, 0);
  }
}

// The parent moves on, while children wait on behalf of pools that it has left.
TEST(coro_pool_end, of_children_that_were_left_behind) {
  const heddle_test::watchdog dog;
  heddle::inline_executor here;
  manual_reset_event event;
  ending how;
  const auto child = [](manual_reset_event& e) -> task<> { co_await e; };
  future<void> result;
  {
    thread_pool first(1);
    thread_pool second(1);
    const auto moves = [&]() -> task<> {
      for (int i = 0; i < 3; ++i) {
        co_await schedule_on(first);
        co_await fork(waits(child(event), how));
        co_await schedule_on(second);
        co_await fork(waits(child(event), how));
      }
      co_await schedule_on(here);
      co_await join();
    };
    result = spawn(here, moves());
    while (counted::alive != 6) std::this_thread::yield();
    for (int i = 0; i < 8; ++i) {
      first.wait_idle();
      second.wait_idle();
    }
  }
  event.set();
  EXPECT_THROW(result.get(), cancelled);
  EXPECT_EQ(how.refused, 6);
  EXPECT_EQ(counted::alive, 0);
}

TEST(coro_pool_end, below_a_strand) {
  const heddle_test::watchdog dog;
  places all;
  ending how;
  std::vector<future<void>> tasks;
  {
    thread_pool pool(2);
    const heddle::strand in_turn(pool);
    tasks = one_of_each(heddle::strand(in_turn.executor()).executor(), all, how);
    pool.wait_idle();
  }
  expect_all_refused(all, tasks, how);
}

// A strand that is gone has not ended: what it is on runs its jobs.
TEST(coro_pool_end, a_strand_that_is_gone_runs_its_tasks) {
  const heddle_test::watchdog dog;
  places all;
  ending how;
  thread_pool pool(2);
  auto tasks = one_of_each(heddle::strand(pool).executor(), all, how);
  pool.wait_idle();
  all.wake_all();
  for (auto& one : tasks) one.get();
  EXPECT_EQ(how.ended, 5);
}

TEST(coro_pool_end, ten_thousand_at_once) {
  constexpr int many = 10'000;
  const heddle_test::watchdog dog;
  manual_reset_event event;
  ending how;
  const auto body = [&]() -> task<> { co_await event; };
  std::vector<future<void>> all;
  all.reserve(many);
  {
    thread_pool pool(2);
    for (int i = 0; i < many; ++i) all.push_back(spawn(pool, waits(body(), how)));
    pool.wait_idle();
  }
  EXPECT_EQ(counted::alive, many);
  event.set();
  expect_all_cancelled(all);
  EXPECT_EQ(how.refused, many);
}

// Each wakes the next as it ends, and spawns one in vain.
TEST(coro_pool_end, a_chain_of_refused_tasks_uses_no_stack) {
  constexpr std::size_t many = HEDDLE_ASAN ? 2'000 : 10'000;  // exceptions are slow there
  const heddle_test::watchdog dog;
  std::vector<manual_reset_event> events(many + 1);
  int cancelled_at_once = 0;
  const auto link = [&](std::size_t i) -> task<> {
    const executor_ref mine = co_await heddle::coro::get_executor();
    try {
      co_await events[i];
    } catch (const cancelled&) {
      events[i + 1].set();
      if (spawn(mine, heddle_test::number(1)).ready()) ++cancelled_at_once;
      throw;
    }
  };
  std::vector<future<void>> all;
  all.reserve(many);
  {
    thread_pool pool(2);
    for (std::size_t i = 0; i < many; ++i) all.push_back(spawn(pool, link(i)));
    pool.wait_idle();
  }
  events[0].set();
  expect_all_cancelled(all);
  EXPECT_EQ(cancelled_at_once, static_cast<int>(many));
}

// What is dropped, cancelled before it has begun, or refused at once keeps nothing.
TEST(coro_pool_end, tasks_that_never_began) {
  const heddle_test::watchdog dog;
  heddle_test::gate closed;
  future<int> refused;
  future<int> given_up;
  {
    thread_pool pool(1);
    pool.post([&] { closed.pass(); });
    closed.await_arrivals(1);
    given_up = spawn(pool, heddle_test::number(1));
    EXPECT_TRUE(given_up.cancel());
    auto discarded = spawn(pool, heddle_test::number(1));
    std::thread opener([&] {
      discarded.wait();
      closed.open();
    });
    pool.shutdown(heddle::shutdown_mode::cancel);
    opener.join();
    EXPECT_THROW(discarded.get(), cancelled);
    refused = spawn(pool, heddle_test::number(1));
  }
  EXPECT_THROW(given_up.get(), cancelled);
  EXPECT_THROW(refused.get(), cancelled);
}

// Tasks keep the pool's core, but not what the program has put in there.
TEST(coro_pool_end, hooks_go_with_the_pool) {
  const heddle_test::watchdog dog;
  manual_reset_event event;
  ending how;
  const auto body = [&]() -> task<> { co_await event; };
  const auto token = std::make_shared<int>(0);
  future<void> left;
  {
    heddle::thread_pool_options options;
    options.workers = 1;
    options.on_worker_start = [token](unsigned) {};
    options.on_worker_stop = [token](unsigned) {};
    options.on_stuck = [token](const heddle::shutdown_report&) {};
    options.on_resize = [token](const heddle::sizing::logged_choice&) {};
    thread_pool pool(std::move(options));
    left = spawn(pool, waits(body(), how));
    pool.wait_idle();
  }
  EXPECT_EQ(token.use_count(), 1);
  event.set();
  EXPECT_THROW(left.get(), cancelled);
}

// Whoever wakes them comes as the pool ends: each goes on there, or is told that it cannot.
TEST(coro_pool_end, races_with_what_wakes_them) {
  const heddle_test::watchdog dog;
  thread_pool other(1);
  for (int round = 0; round < 60; ++round) {
    places all;
    ending how;
    const auto twice = [&](task<> awaited) -> task<> {
      co_await waits(std::move(awaited), how);
      co_await delay(std::chrono::microseconds(round));
      co_await schedule_on(other);
    };
    std::optional<thread_pool> pool(2U);
    std::vector<future<void>> tasks;
    tasks.push_back(spawn(*pool, twice(all.in_event())));
    tasks.push_back(spawn(*pool, twice(all.in_future())));
    tasks.push_back(spawn(*pool, twice(all.in_semaphore())));
    tasks.push_back(spawn(other, [](thread_pool& to, auto then) -> task<> {
      co_await schedule_on(to);
      co_await std::move(then);
    }(*pool, twice(all.in_latch()))));
    other.wait_idle();  // the one that comes from there has named the pool
    std::thread waker([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(round));
      all.wake_all();
    });
    if (round % 2 == 0) pool->shutdown(heddle::shutdown_mode::cancel);
    pool.reset();
    waker.join();
    for (auto& one : tasks) one.wait();
    EXPECT_EQ(counted::alive, 0);
  }
}

// A task of another strand is refused, and wakes one of this strand, whose turn is behind it on its
// thread. Until then one that is woken on another thread has to wait.
TEST(coro_pool_end, refused_tasks_of_a_strand_still_run_one_at_a_time) {
  const heddle_test::watchdog dog;
  manual_reset_event first, second, third;
  std::latch second_is_woken(1), third_is_woken(1);
  std::atomic<std::thread::id> threads[2];
  std::optional<thread_pool> pool(2U);
  const heddle::strand other(*pool), both(*pool);
  const auto wakes = [&]() -> task<> {
    EXPECT_THROW(co_await first, cancelled);
    second.set();
    second_is_woken.count_down();
    third_is_woken.wait();
  };
  const auto goes_on = [&](manual_reset_event& awaited, int n) -> task<> {
    EXPECT_THROW(co_await awaited, cancelled);
    threads[n] = std::this_thread::get_id();
  };
  auto a = spawn(other, wakes());
  auto b = spawn(both, goes_on(second, 0));
  auto c = spawn(both, goes_on(third, 1));
  pool->wait_idle();
  pool.reset();

  std::thread waker([&] { first.set(); });
  const auto its_id = waker.get_id();
  second_is_woken.wait();
  third.set();
  third_is_woken.count_down();
  waker.join();
  a.get();
  b.get();
  c.get();
  EXPECT_EQ(threads[0].load(), its_id);
  EXPECT_EQ(threads[1].load(), its_id);
}

// What it was refused before is told by nothing: it has moved to who runs it.
TEST(coro_pool_end, one_that_was_refused_without_being_told_may_move_elsewhere) {
  const heddle_test::watchdog dog;
  thread_pool live(1);
  std::optional<thread_pool> dead(1U);
  const heddle::strand home(*dead);
  const auto child = [&]() -> task<> {
    co_await schedule_on(live);
    dead.reset();
  };
  const auto parent = [&]() -> task<bool> {
    co_await fork(child());
    co_await schedule_on(live);
    const bool arrived = live.worker_index().has_value();
    co_await join();
    co_return arrived&& co_await heddle::coro::get_executor() == live.executor();
  };
  EXPECT_TRUE(spawn(home, parent()).get());
}

}  // namespace
