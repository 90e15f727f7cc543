// In which order tasks start.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>

#include "support/pools.hpp"

namespace {

using heddle::scheduling;
using heddle::thread_pool;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;

heddle::thread_pool_options of(scheduling s, unsigned workers) {
  heddle::thread_pool_options o;
  o.schedule = s;
  o.workers = workers;
  return o;
}

std::vector<int> counting(int n) {
  std::vector<int> numbers(static_cast<std::size_t>(n));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

TEST(order, fifo_on_one_worker_is_that_of_submission_however_submitted) {
  thread_pool pool(of(scheduling::fifo, 1));
  const pool_watchdog dog(pool);
  std::vector<int> order;
  int next = 0;
  {
    occupied_pool busy(pool);
    const auto note = [&order, &next] { return [&order, n = next++] { order.push_back(n); }; };
    for (int round = 0; round < 50; ++round) {
      pool.post(note());
      {
        const auto dropped = pool.submit(note());
      }
      std::vector<std::function<void()>> bulk{note(), note(), note()};
      pool.post_bulk(bulk);
      bulk = {note(), note()};
      {
        const auto dropped = pool.submit_bulk(bulk);
      }
      {
        const auto dropped =
            heddle::make_ready_future(1).then(pool.executor(), [f = note()](int) { f(); });
      }
    }
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(order, counting(next));
}

TEST(order, fifo_puts_what_tasks_submit_at_the_end) {
  thread_pool pool(of(scheduling::fifo, 1));
  const pool_watchdog dog(pool);
  std::vector<int> order;
  {
    occupied_pool busy(pool);
    for (int i = 0; i < 10; ++i) {
      pool.post([&pool, &order, i] {
        order.push_back(i);
        pool.post([&order, i] { order.push_back(10 + i); });
      });
    }
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(order, counting(20));
}

// With several workers a task that was taken may be overtaken before it notes that it began, but
// not by more tasks than there are other workers.
TEST(order, fifo_on_many_workers_starts_none_early) {
  for (const unsigned workers : heddle_test::thread_counts()) {
    thread_pool pool(of(scheduling::fifo, workers));
    const pool_watchdog dog(pool);
    std::mutex mutex;
    std::vector<int> order;
    constexpr int tasks = 3000;
    for (int i = 0; i < tasks; ++i) {
      pool.post([&, i] {
        const std::lock_guard lock(mutex);
        order.push_back(i);
      });
    }
    EXPECT_TRUE(pool.wait_idle());
    ASSERT_EQ(order.size(), static_cast<std::size_t>(tasks));
    for (auto p = order.begin(); p != order.end(); ++p) {
      const auto overtaken = std::count_if(p, order.end() - p > 200 ? p + 200 : order.end(),
                                           [&](int other) { return other < *p; });
      EXPECT_LT(overtaken, workers) << "by task " << *p;
    }
  }
}

TEST(order, fifo_with_cancelled_tasks_between_keeps_the_order_of_the_others) {
  thread_pool pool(of(scheduling::fifo, 1));
  const pool_watchdog dog(pool);
  std::vector<int> order;
  std::vector<heddle::future<void>> futures;
  {
    occupied_pool busy(pool);
    for (int i = 0; i < 30; ++i)
      futures.push_back(pool.submit([&order, i] { order.push_back(i); }));
    for (std::size_t i = 1; i < 30; i += 3) futures[i].cancel();
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(order.size(), 20U);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(order, stealing_runs_a_workers_own_tasks_newest_first) {
  thread_pool pool(of(scheduling::work_stealing, 1));
  const pool_watchdog dog(pool);
  std::vector<int> order;
  pool.post([&pool, &order] {
    for (int i = 9; i >= 0; --i) pool.post([&order, i] { order.push_back(i); });
  });
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(order, counting(10));
}

// A worker that never runs out of tasks of its own must not shut the others out.
TEST(order, stealing_lets_outside_tasks_in_between_endless_own_ones) {
  std::atomic<bool> stop = false;
  thread_pool pool(of(scheduling::work_stealing, 1));
  const pool_watchdog dog(pool);
  struct endless {
    thread_pool& pool;
    std::atomic<bool>& stop;
    void operator()() const {
      if (!stop) pool.post(endless{pool, stop});
    }
  };
  pool.post(endless{pool, stop});
  auto outside = pool.submit([] { return 1; });
  EXPECT_EQ(outside.get(), 1);
  auto placed = pool.submit_to(0, [] { return 2; });
  EXPECT_EQ(placed.get(), 2);
  stop = true;
}

TEST(order, tasks_of_one_worker_run_in_the_order_they_were_placed) {
  for (const auto schedule : {scheduling::work_stealing, scheduling::fifo}) {
    thread_pool pool(of(schedule, 2));
    const pool_watchdog dog(pool);
    std::vector<int> order;
    {
      occupied_pool busy(pool);
      for (int i = 0; i < 50; ++i) {
        const auto dropped = pool.submit_to(1, [&order, i] { order.push_back(i); });
      }
    }
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(order, counting(50));
  }
}

}  // namespace
