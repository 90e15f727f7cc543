#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::thread_pool;
using heddle_test::eventually;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;

using namespace std::chrono_literals;

class statistics : public heddle_test::pool_test {};

TEST_P(statistics, of_a_new_pool_are_zero) {
  thread_pool pool(options());
  const auto s = pool.statistics();
  EXPECT_EQ(s.submitted, 0U);
  EXPECT_EQ(s.started, 0U);
  EXPECT_EQ(s.completed, 0U);
  EXPECT_EQ(s.discarded, 0U);
  EXPECT_EQ(s.injected, 0U);
  EXPECT_EQ(s.load_balance, 1.0);
  EXPECT_EQ(s.workers, workers());
}

TEST_P(statistics, add_up_in_the_end) {
  const heddle_test::unhandled_log log;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::vector<future<void>> futures;
  for (int i = 0; i < 50; ++i) {
    pool.post([] {});
    futures.push_back(pool.submit([&pool] { pool.submit([] {}).get(); }));
    futures.push_back(pool.submit([] { throw 1; }));
    futures.push_back(pool.submit_to(0, [] {}));
  }
  pool.post_bulk(std::vector<std::function<void()>>(10, [] {}));
  for (auto& f : futures) static_cast<void>(f.exception());
  EXPECT_TRUE(pool.wait_idle());
  const auto s = pool.statistics();
  EXPECT_EQ(s.submitted, 260U);
  EXPECT_EQ(s.started, 260U);
  EXPECT_EQ(s.completed, 260U);
  EXPECT_EQ(s.discarded, 0U);
  EXPECT_EQ(s.injected, 0U);
  EXPECT_EQ(std::accumulate(s.queue_sizes.begin(), s.queue_sizes.end(), std::size_t{0}), 0U);
  EXPECT_LE(s.steals, s.steal_attempts);
  EXPECT_GE(s.peak_threads, s.threads);
}

TEST_P(statistics, snapshots_are_consistent_while_everything_happens) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<bool> stop = false;
  std::atomic<int> snapshots = 0;
  std::thread sampling([&] {
    std::uint64_t submitted = 0;
    std::uint64_t started = 0;
    std::uint64_t completed = 0;
    while (!stop) {
      const auto s = pool.statistics();
      EXPECT_LE(s.completed, s.started);
      EXPECT_LE(s.started, s.submitted);
      EXPECT_GE(s.submitted, submitted);
      EXPECT_GE(s.started, started);
      EXPECT_GE(s.completed, completed);
      EXPECT_LE(s.idle, s.threads);
      EXPECT_GE(s.load_balance, 0.0);
      EXPECT_LE(s.load_balance, 1.0);
      EXPECT_LE(s.min_queue, s.max_queue);
      submitted = s.submitted;
      started = s.started;
      completed = s.completed;
      ++snapshots;
    }
  });
  do {
    heddle_test::run_together(2, [&](unsigned) {
      for (int i = 0; i < 300; ++i) {
        pool.post([&pool] { pool.post([] {}); });
        pool.submit([&pool] { pool.submit([] {}).get(); }).get();
      }
    });
  } while (snapshots < 50);
  stop = true;
  sampling.join();
}

TEST_P(statistics, queued_tasks_are_counted) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const occupied_pool busy(pool);
  for (int i = 0; i < 30; ++i) pool.post([] {});
  const auto s = pool.statistics();
  EXPECT_EQ(std::accumulate(s.queue_sizes.begin(), s.queue_sizes.end(), s.injected), 30U);
  EXPECT_EQ(s.submitted, 30U + workers());
  EXPECT_EQ(s.started, workers());
  EXPECT_EQ(s.completed, 0U);
}

TEST_P(statistics, load_balance_compares_the_shortest_and_the_longest_queue) {
  // With one shared queue the workers' own stay empty, and that is balanced.
  const bool own_queues = GetParam().schedule != heddle::scheduling::fifo;
  const bool balanced = workers() == 1 || !own_queues;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle_test::gate hold;
  std::vector<future<void>> others;
  for (unsigned i = 1; i < workers(); ++i) others.push_back(pool.submit([&hold] { hold.pass(); }));
  hold.await_arrivals(workers() - 1);
  auto spawning = pool.submit([&] {
    for (int i = 0; i < 8; ++i) pool.post([] {});
    const auto s = pool.statistics();
    EXPECT_EQ(s.queue_sizes.size(), workers());
    EXPECT_EQ(s.max_queue, own_queues ? 8U : 0U);
    EXPECT_EQ(s.min_queue, own_queues && workers() == 1 ? 8U : 0U);
    EXPECT_EQ(s.load_balance, balanced ? 1.0 : 0.0);
  });
  spawning.get();
  hold.open();
  for (auto& f : others) f.get();
}

TEST_P(statistics, times_are_measured_when_told_so) {
  auto o = options();
  o.measure_times = true;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  {
    const occupied_pool busy(pool);
    for (int i = 0; i < 10; ++i) pool.post([] { std::this_thread::sleep_for(1ms); });
    std::this_thread::sleep_for(3ms);
  }
  pool.submit([] {}).get();
  EXPECT_TRUE(pool.wait_idle());
  const auto t = pool.statistics().times;
  EXPECT_EQ(t.tasks, 11U + workers());
  EXPECT_GE(t.run_total, 10ms);
  EXPECT_GE(t.run_max, 1ms);
  EXPECT_GE(t.wait_max, 3ms);
  EXPECT_GE(t.wait_total, 30ms);
  EXPECT_GE(t.wait_total, t.wait_max);
  EXPECT_GE(t.run_total, t.run_max);
}

TEST_P(statistics, times_are_zero_otherwise) {
  thread_pool pool(options());
  pool.submit([] { std::this_thread::sleep_for(1ms); }).get();
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(pool.statistics().times.tasks, 0U);
  EXPECT_EQ(pool.statistics().times.run_total.count(), 0);
}

TEST_P(statistics, measured_tasks_behave_like_others) {
  const heddle_test::unhandled_log log;
  auto o = options();
  o.measure_times = true;
  {
    thread_pool pool(std::move(o));
    const pool_watchdog dog(pool);
    std::function<int(int)> nest = [&](int levels) -> int {
      return levels == 0 ? 0 : pool.submit(nest, levels - 1).get() + 1;
    };
    EXPECT_EQ(pool.submit(nest, 20).get(), 20);
    {
      const occupied_pool busy(pool);
      auto f = pool.submit([c = heddle_test::counted()] {});
      EXPECT_TRUE(f.cancel());
      EXPECT_EQ(heddle_test::counted::alive, 0);
    }
    EXPECT_THROW(pool.submit([] { throw 1; }).get(), int);
    pool.shutdown();
    EXPECT_THROW(pool.post([c = heddle_test::counted()] {}), heddle::rejected);
    EXPECT_EQ(heddle_test::counted::alive, 0);
  }
  EXPECT_EQ(log.count(), 0U);
}

INSTANTIATE_TEST_SUITE_P(pools, statistics, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
