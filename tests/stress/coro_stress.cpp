#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/with_timeout.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cancelled;
using heddle::counting_semaphore;
using heddle::future;
using heddle::manual_reset_event;
using heddle::thread_pool;
using heddle::timed_out;
using heddle::coro::acquire;
using heddle::coro::delay;
using heddle::coro::gather;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;
using heddle::coro::with_timeout;

class coro_stress : public heddle_test::pool_test {};
INSTANTIATE_TEST_SUITE_P(shapes, coro_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

task<long> tree(int depth) {
  if (depth == 0) co_return 1;
  const auto [left, right] = co_await gather(tree(depth - 1), tree(depth - 1));
  co_return left + right;
}

// Frames are made and freed on whatever thread it happens.
TEST_P(coro_stress, trees_of_gathers) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(spawn(pool, tree(10)).get(), 1024);
}

// Permits are lost to nobody, whatever ends the waits for them.
TEST_P(coro_stress, permits_against_timeouts) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  counting_semaphore<> permits(2);
  std::atomic<int> had{0};
  std::atomic<int> missed{0};
  const auto holder = [&](int i) -> task<> {
    co_await acquire(permits);
    ++had;
    if (i % 2 == 0) co_await schedule_on(pool);
    permits.release();
  };
  const auto one = [&](int i) -> task<> {
    try {
      co_await with_timeout(holder(i), std::chrono::microseconds(i % 50));
    } catch (const timed_out&) {
      ++missed;
    } catch (const cancelled&) {
      ++missed;
    }
  };
  std::vector<task<>> all;
  for (int i = 0; i < 1000; ++i) all.push_back(one(i));
  spawn(pool, gather(std::move(all))).get();
  EXPECT_EQ(permits.available(), 2);
  EXPECT_GE(had + missed, 1000);
}

// Sets, stops and the ends of the tasks meet.
TEST_P(coro_stress, events_against_stops) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  for (int round = 0; round < 300; ++round) {
    manual_reset_event gate;
    std::atomic<int> through{0};
    std::atomic<int> stopped{0};
    const auto waits = [&]() -> task<> {
      try {
        co_await gate;
        ++through;
      } catch (const cancelled&) {
        ++stopped;
        throw;
      }
    };
    std::vector<future<void>> all;
    for (int i = 0; i < 8; ++i) all.push_back(spawn(pool, waits()));
    auto setting = pool.submit([&] { gate.set(); });
    int given_up = 0;
    for (std::size_t i = 0; i < all.size(); i += 2) given_up += all[i].cancel() ? 1 : 0;
    setting.get();
    for (auto& f : all) {
      try {
        f.get();
      } catch (const cancelled&) {
      }
    }
    EXPECT_EQ(through + stopped + given_up, 8);
  }
}

// Between two pools, with futures of both.
TEST_P(coro_stress, wanderers) {
  thread_pool pool(options());
  thread_pool other(2);
  const heddle_test::pool_watchdog dog(pool);
  const auto wanderer = [&](unsigned seed) -> task<long> {
    std::mt19937 random(seed);
    long sum = 0;
    for (int i = 0; i < 200; ++i) {
      switch (random() % 4) {
        case 0:
          co_await schedule_on(pool);
          break;
        case 1:
          co_await schedule_on(other);
          break;
        case 2:
          sum += co_await pool.submit([] { return 1; });
          break;
        default:
          if (random() % 16 == 0) co_await delay(10us);
          sum += co_await other.submit([] { return 1; });
      }
    }
    co_return sum;
  };
  std::vector<task<long>> all;
  for (unsigned i = 0; i < 50; ++i) all.push_back(wanderer(i));
  long sum = 0;
  for (const long one : sync_wait(gather(std::move(all)))) sum += one;
  EXPECT_GT(sum, 0);
}

// The pool is shut down in the middle: everything ends.
TEST_P(coro_stress, the_pool_ends) {
  for (int round = 0; round < 30; ++round) {
    thread_pool pool(options());
    const heddle_test::pool_watchdog dog(pool);
    const auto loops = [&]() -> task<> {
      for (;;) co_await schedule_on(pool);
    };
    std::vector<future<void>> all;
    for (int i = 0; i < 10; ++i) all.push_back(spawn(pool, loops()));
    pool.shutdown(heddle::shutdown_mode::cancel);
    for (auto& f : all) EXPECT_THROW(f.get(), cancelled);
  }
}

}  // namespace
