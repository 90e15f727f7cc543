// What becomes of tasks on a pool that ends while they wait elsewhere.

#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/this_task.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/semaphore.hpp>

#include "support/pools.hpp"
#include "tasks.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cancelled;
using heddle::future;
using heddle::manual_reset_event;
using heddle::shutdown_mode;
using heddle::thread_pool;
using heddle::coro::delay;
using heddle::coro::gather;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::task;

template <class Awaited>
task<bool> is_on_after(thread_pool& pool, Awaited awaited) {
  co_await std::move(awaited);
  co_return pool.worker_index().has_value();
}

task<> opened(manual_reset_event& e) { co_await e; }
task<> passes(std::chrono::microseconds time) { co_await delay(time); }
task<> forever() { co_await delay(24h); }

TEST(coro_pool_end, its_destruction_waits_for_tasks_that_wait_elsewhere) {
  const heddle_test::watchdog dog;
  manual_reset_event event;
  future<bool> in_delay;
  future<bool> in_event;
  std::thread setter;
  {
    thread_pool pool(2);
    in_delay = spawn(pool, is_on_after(pool, passes(20ms)));
    in_event = spawn(pool, is_on_after(pool, opened(event)));
    setter = std::thread([&] {
      std::this_thread::sleep_for(10ms);
      event.set();
    });
  }
  EXPECT_TRUE(in_delay.ready());
  EXPECT_TRUE(in_delay.get());
  EXPECT_TRUE(in_event.get());
  setter.join();
}

TEST(coro_pool_end, cancel_stops_tasks_that_wait_elsewhere) {
  const heddle_test::watchdog dog;
  manual_reset_event event;
  heddle::counting_semaphore<> none(0);
  heddle::promise<int> never;
  future<int> value = never.get_future();
  std::vector<future<void>> all;
  {
    thread_pool pool(2);
    const auto in_semaphore = [&]() -> task<> { co_await heddle::coro::acquire(none); };
    const auto in_future = [&]() -> task<> { co_await value; };
    const auto in_all = [&]() -> task<> { co_await gather(forever(), opened(event)); };
    all.push_back(spawn(pool, forever()));
    all.push_back(spawn(pool, opened(event)));
    all.push_back(spawn(pool, in_semaphore()));
    all.push_back(spawn(pool, in_future()));
    all.push_back(spawn(pool, in_all()));
    pool.wait_idle();  // does not count those that wait elsewhere
    EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
    for (auto& one : all) EXPECT_TRUE(one.ready());
  }
  for (auto& one : all) EXPECT_THROW(one.get(), cancelled);
}

TEST(coro_pool_end, a_limit_ends_the_wait_and_the_report_tells_of_them) {
  const heddle_test::watchdog dog;
  manual_reset_event event;
  thread_pool pool(1);
  auto waits = spawn(pool, is_on_after(pool, opened(event)));
  pool.wait_idle();
  const auto report = pool.shutdown(shutdown_mode::drain, 5ms);
  EXPECT_FALSE(report.completed);
  EXPECT_EQ(report.queued, 0U);
  EXPECT_EQ(report.spawned, 1U);
  EXPECT_TRUE(report.running.empty());
  event.set();
  EXPECT_TRUE(waits.get());
  EXPECT_TRUE(pool.shutdown().completed);
}

TEST(coro_pool_end, a_drain_runs_what_they_begin_when_they_go_on) {
  const heddle_test::watchdog dog;
  std::atomic<int> done{0};
  thread_pool* pool = nullptr;
  const auto child = [&]() -> task<> {
    co_await delay(1ms);
    ++done;
  };
  const auto late = [&]() -> task<> {
    co_await delay(5ms);
    co_await gather(child(), child());
    co_await schedule_on(*pool);
    static_cast<void>(spawn(*pool, child()));
    co_await pool->submit([&] { ++done; });
    ++done;
  };
  future<void> first;
  {
    thread_pool ends(2);
    pool = &ends;
    first = spawn(ends, late());
  }
  first.get();
  EXPECT_EQ(done, 5);
}

TEST(coro_pool_end, waits_for_tasks_that_have_gone_to_another_pool) {
  const heddle_test::watchdog dog;
  thread_pool other(1);
  std::atomic<bool> ended{false};
  const auto wanders = [&]() -> task<> {
    co_await schedule_on(other);
    co_await delay(5ms);
    ended = true;
  };
  {
    thread_pool pool(1);
    static_cast<void>(spawn(pool, wanders()));
  }
  EXPECT_TRUE(ended);
}

TEST(coro_pool_end, by_a_task_of_its_own) {
  const heddle_test::watchdog dog;
  {
    thread_pool pool(2);
    const auto closes = [&]() -> task<bool> {
      co_await delay(100us);
      co_return pool.shutdown().completed;
    };
    EXPECT_TRUE(spawn(pool, closes()).get());
  }
  auto pool = std::make_unique<thread_pool>(2U);
  const auto destroys = [&]() -> task<> {
    co_await delay(100us);
    pool.reset();
    EXPECT_THROW(co_await delay(1ms), cancelled);  // nobody is there to run it
  };
  spawn(*pool, destroys()).get();
}

TEST(coro_pool_end, one_that_was_not_begun_is_left_by_nobody) {
  const heddle_test::watchdog dog;
  thread_pool pool(1);
  heddle::manual_reset_event begun;
  heddle::manual_reset_event go;
  auto blocks = pool.submit([&] {
    begun.set();
    go.wait();
  });
  begun.wait();
  auto dropped = spawn(pool, forever());
  dropped.cancel();
  go.set();
  EXPECT_TRUE(pool.shutdown().completed);
  EXPECT_THROW(dropped.get(), cancelled);
  auto refused = spawn(pool, forever());
  EXPECT_THROW(refused.get(), cancelled);
  EXPECT_TRUE(pool.shutdown().completed);
}

TEST(coro_pool_end, its_destructor_tells_of_them) {
  const heddle_test::watchdog dog;
  manual_reset_event event;
  std::size_t told = 0;
  future<void> waits;
  {
    heddle::thread_pool_options options;
    options.workers = 1;
    options.stuck_after = 5ms;
    options.on_stuck = [&](const heddle::shutdown_report& r) {
      told = r.spawned;
      event.set();
    };
    thread_pool pool(std::move(options));
    waits = spawn(pool, opened(event));
  }
  EXPECT_EQ(told, 1U);
  waits.get();
}

// Whoever wakes them comes as the pool closes.
TEST(coro_pool_end, races_with_what_wakes_them) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 300; ++round) {
    const bool is_drained = round % 2 != 0;
    manual_reset_event event;
    std::atomic<int> ended{0};
    const auto waits = [&](int i) -> task<> {
      try {
        co_await delay(std::chrono::microseconds(i * round % 97));
        co_await event;
        co_await delay(std::chrono::microseconds(i));
      } catch (const cancelled&) {
      }
      ++ended;
    };
    std::vector<future<void>> all;
    std::optional<thread_pool> pool(2U);
    for (int i = 0; i < 6; ++i) all.push_back(spawn(*pool, waits(i)));
    std::thread setter([&] { event.set(); });
    if (!is_drained) pool->shutdown(shutdown_mode::cancel);
    pool.reset();
    for (auto& one : all) {
      EXPECT_TRUE(one.ready());
      if (is_drained) {
        EXPECT_NO_THROW(one.get());
      }
    }
    if (is_drained) {
      EXPECT_EQ(ended, 6);
    }
    setter.join();
  }
}

}  // namespace
