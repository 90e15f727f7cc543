#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/this_task.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>

#include "support/pools.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::auto_reset_event;
using heddle::cancelled;
using heddle::counting_semaphore;
using heddle::future;
using heddle::latch;
using heddle::manual_executor;
using heddle::manual_reset_event;
using heddle::promise;
using heddle::thread_pool;
using heddle::weighted_semaphore;
using heddle::coro::acquire;
using heddle::coro::delay;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;

namespace prim = heddle::prim;

// Each case is a wait that `open` ends, made of one object.
struct on_event {
  manual_reset_event object;
  task<> wait() { co_await object; }
  void open() { object.set(); }
};
struct on_auto_event {
  auto_reset_event object;
  task<> wait() { co_await object; }
  void open() { object.set(); }
};
struct on_latch {
  latch object{1};
  task<> wait() { co_await object; }
  void open() { object.count_down(); }
};
struct on_semaphore {
  counting_semaphore<5> object{0};
  task<> wait() { co_await acquire(object); }
  void open() { object.release(); }
};
struct on_units {
  weighted_semaphore object{3};
  on_units() { object.acquire(2); }
  task<> wait() { co_await acquire(object, 2); }
  void open() { object.release(2); }
};
struct on_future {
  promise<int> p;
  future<int> object = p.get_future();
  task<> wait() { EXPECT_EQ(co_await object, 4); }
  void open() { p.set_value(4); }
};
struct on_shared_future {
  promise<int> p;
  heddle::shared_future<int> object = p.get_future().share();
  task<> wait() { EXPECT_EQ(co_await object, 4); }
  void open() { p.set_value(4); }
};

template <class Wait>
class coro_await : public testing::Test {};
using all_waits = testing::Types<on_event, on_auto_event, on_latch, on_semaphore, on_units,
                                 on_future, on_shared_future>;
TYPED_TEST_SUITE(coro_await, all_waits);

TYPED_TEST(coro_await, goes_on_at_once_when_it_has_happened) {
  const heddle_test::watchdog dog;
  TypeParam w;
  w.open();
  sync_wait(w.wait());
}

TYPED_TEST(coro_await, leaves_its_thread_and_goes_on_on_its_executor) {
  const heddle_test::watchdog dog;
  manual_executor mine;
  TypeParam w;
  std::thread::id went_on;
  const auto body = [&]() -> task<> {
    co_await w.wait();
    went_on = std::this_thread::get_id();
  };
  future<void> done = spawn(mine, body());
  EXPECT_EQ(mine.drain(), 1U);
  EXPECT_FALSE(done.ready());
  std::thread([&] { w.open(); }).join();
  EXPECT_FALSE(done.ready());
  EXPECT_EQ(mine.drain(), 1U);
  done.get();
  EXPECT_EQ(went_on, std::this_thread::get_id());
}

TYPED_TEST(coro_await, ends_early_when_the_task_is_told_to_stop) {
  const heddle_test::watchdog dog;
  manual_executor mine;
  TypeParam w;
  future<void> done = spawn(mine, w.wait());
  mine.drain();
  EXPECT_FALSE(done.cancel());
  EXPECT_EQ(mine.drain(), 1U);
  EXPECT_THROW(done.get(), cancelled);
  // It has taken nothing: another one gets what comes.
  future<void> other = spawn(mine, w.wait());
  mine.drain();
  w.open();
  mine.drain();
  other.get();
}

TYPED_TEST(coro_await, does_not_begin_when_the_task_has_been_told_to_stop) {
  const heddle_test::watchdog dog;
  prim::stop_source stop;
  stop.request_stop();
  TypeParam w;
  EXPECT_THROW(sync_wait(w.wait(), stop.get_token()), cancelled);
  w.open();
  sync_wait(w.wait(), stop.get_token());  // what has happened counts
}

TYPED_TEST(coro_await, throws_when_its_executor_accepts_no_more_and_has_taken_nothing) {
  const heddle_test::watchdog dog;
  manual_executor mine;
  TypeParam w;
  future<void> done = spawn(mine, w.wait());
  mine.drain();
  mine.close();
  EXPECT_FALSE(done.ready());
  w.open();
  EXPECT_THROW(done.get(), cancelled);
  sync_wait(w.wait());
}

TYPED_TEST(coro_await, beside_threads_and_stops) {
  const heddle_test::watchdog dog;
  thread_pool pool(2);
  for (int i = 0; i < 300; ++i) {
    TypeParam w;
    prim::stop_source stop;
    const auto body = [&]() -> task<bool> {
      try {
        co_await heddle::coro::schedule_on(pool);
        co_await w.wait();
        co_return true;
      } catch (const cancelled&) {
        co_return false;
      }
    };
    std::thread stopper([&] { stop.request_stop(); });
    std::thread opener([&] { w.open(); });
    const bool happened = sync_wait(body(), stop.get_token());
    stopper.join();
    opener.join();
    if (!happened) sync_wait(w.wait());
  }
}

TEST(coro_await_future, throws_the_exception_in_it_and_reads_it_once) {
  promise<int> p;
  future<int> f = p.get_future();
  p.set_exception(std::make_exception_ptr(std::runtime_error("no")));
  const auto body = [&]() -> task<int> { co_return co_await f; };
  EXPECT_THROW(sync_wait(body()), std::runtime_error);
  EXPECT_FALSE(f.valid());
  EXPECT_THROW(sync_wait(body()), heddle::no_state);
}

TEST(coro_await_future, of_work_on_a_pool) {
  thread_pool pool(2);
  const auto body = [&]() -> task<int> {
    int sum = 0;
    for (int i = 0; i < 100; ++i) sum += co_await pool.submit([i] { return i; });
    co_return sum;
  };
  EXPECT_EQ(sync_wait(body()), 4950);
}

TEST(coro_await_event, a_set_frees_threads_and_tasks) {
  const heddle_test::watchdog dog;
  thread_pool pool(2);
  manual_reset_event gate;
  const auto body = [&]() -> task<> { co_await gate; };
  std::vector<future<void>> tasks;
  for (int i = 0; i < 50; ++i) tasks.push_back(spawn(pool, body()));
  std::thread thread([&] { gate.wait(); });
  pool.wait_idle();  // though they wait: no worker does
  gate.set();
  thread.join();
  for (auto& t : tasks) t.get();
}

TEST(coro_await_semaphore, lets_in_no_more_than_it_says) {
  const heddle_test::watchdog dog;
  thread_pool pool(4);
  counting_semaphore<> permits(3);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  const auto body = [&]() -> task<> {
    co_await acquire(permits);
    const int now = ++inside;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    co_await delay(100us);
    --inside;
    permits.release();
  };
  std::vector<future<void>> tasks;
  for (int i = 0; i < 200; ++i) tasks.push_back(spawn(pool, body()));
  for (auto& t : tasks) t.get();
  EXPECT_LE(most, 3);
  EXPECT_EQ(permits.available(), 3);
}

TEST(coro_await_units, that_can_never_be_had_are_refused) {
  weighted_semaphore units(3);
  const auto body = [&](weighted_semaphore::units n) -> task<> { co_await acquire(units, n); };
  EXPECT_THROW(sync_wait(body(4)), std::invalid_argument);
  manual_executor mine;
  sync_wait(body(3));
  future<void> waiting = spawn(mine, body(2));
  mine.drain();
  units.resize(1);
  mine.drain();
  EXPECT_THROW(waiting.get(), std::invalid_argument);
}

TEST(coro_delay, lasts_as_long_as_it_says) {
  const auto body = []() -> task<prim::clock::duration> {
    const auto begin = prim::clock::now();
    co_await delay(5ms);
    co_return prim::clock::now() - begin;
  };
  EXPECT_GE(sync_wait(body()), 5ms);
}

TEST(coro_delay, of_zero_or_less_is_none) {
  const heddle_test::watchdog dog;
  const auto body = []() -> task<> {
    co_await delay(0s);
    co_await delay(-1h);
    co_await heddle::coro::delay_until(prim::time_point::min());
  };
  sync_wait(body());
}

TEST(coro_delay, of_no_number_is_refused) {
  const auto body = []() -> task<> { co_await delay(std::chrono::duration<double>(NAN)); };
  EXPECT_THROW(sync_wait(body()), std::invalid_argument);
}

TEST(coro_delay, without_end_lasts_until_the_task_is_told_to_stop) {
  const heddle_test::watchdog dog;
  manual_executor mine;
  const auto body = []() -> task<> { co_await delay(std::chrono::hours::max()); };
  future<void> done = spawn(mine, body());
  mine.drain();
  done.cancel();
  mine.drain();
  EXPECT_THROW(done.get(), cancelled);
}

TEST(coro_delay, ten_thousand_at_a_time_on_one_thread) {
  const heddle_test::watchdog dog;
  const auto sleeper = []() -> task<int> {
    co_await delay(2ms);
    co_return 1;
  };
  const auto body = [&]() -> task<int> {
    std::vector<task<int>> all;
    for (int i = 0; i < 10'000; ++i) all.push_back(sleeper());
    int sum = 0;
    for (const int one : co_await heddle::coro::gather(std::move(all))) sum += one;
    co_return sum;
  };
  EXPECT_EQ(sync_wait(body()), 10'000);
}

}  // namespace
