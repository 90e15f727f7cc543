// The pool's queues: that none of them grows without need, and that nothing in them waits for ever.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <ostream>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "support/pools.hpp"

namespace {

using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::eventually;
using heddle_test::pool_watchdog;

using namespace std::chrono_literals;

// How one worker queues, and whether it measures times, for which it wraps its tasks.
struct queueing {
  heddle::scheduling schedule;
  bool measure_times;

  friend std::ostream& operator<<(std::ostream& out, const queueing& q) {
    return out << (q.schedule == heddle::scheduling::fifo ? "fifo" : "stealing")
               << (q.measure_times ? "_with_times" : "");
  }
};

class pool_regression_queues : public testing::TestWithParam<queueing> {
 protected:
  static thread_pool_options options() {
    thread_pool_options o;
    o.workers = 1;
    o.schedule = GetParam().schedule;
    o.measure_times = GetParam().measure_times;
    return o;
  }

  static std::size_t entries(const thread_pool& pool) {
    const auto s = pool.statistics();
    return s.injected + s.max_queue;
  }

  // A waiter that runs the awaited task itself leaves the task's entry in its queue. A few of them
  // may gather before they are swept out.
  static constexpr std::size_t few = 200;
};

TEST_P(pool_regression_queues, entries_of_tasks_run_by_their_waiter_do_not_pile_up) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::size_t most = pool.submit([&pool] {
                                 std::size_t seen = 0;
                                 for (int i = 0; i < 20'000; ++i) {
                                   pool.submit([] {}).get();
                                   if (i % 100 == 0) seen = std::max(seen, entries(pool));
                                 }
                                 return std::max(seen, entries(pool));
                               })
                               .get();
  EXPECT_LE(most, few);
}

TEST_P(pool_regression_queues, entries_do_not_pile_up_below_a_newer_task_either) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::size_t most = pool.submit([&pool] {
                                 std::size_t seen = 0;
                                 for (int i = 0; i < 10'000; ++i) {
                                   auto older = pool.submit([] {});
                                   auto newer = pool.submit([] {});
                                   older.get();
                                   newer.get();
                                   if (i % 100 == 0) seen = std::max(seen, entries(pool));
                                 }
                                 return std::max(seen, entries(pool));
                               })
                               .get();
  EXPECT_LE(most, few);
}

TEST_P(pool_regression_queues, a_recursion_of_tasks_leaves_few_entries_behind) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::function<int(int)> fibonacci = [&](int n) -> int {
    if (n < 2) return n;
    auto a = pool.submit([&fibonacci, n] { return fibonacci(n - 1); });
    auto b = pool.submit([&fibonacci, n] { return fibonacci(n - 2); });
    const int left = a.get();
    return left + b.get();
  };
  const auto [value, left_behind] =
      pool.submit([&] { return std::pair(fibonacci(22), entries(pool)); }).get();
  EXPECT_EQ(value, 17711);
  EXPECT_LE(left_behind, few);
}

TEST_P(pool_regression_queues, a_task_that_keeps_submitting_itself_to_its_worker_lets_others_run) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<bool> enough = false, other_ran = false;
  std::function<void()> again = [&] {
    if (!enough) const auto next = pool.submit_to(0, again);
  };
  const auto first = pool.submit_to(0, again);
  pool.post([&other_ran] { other_ran = true; });
  EXPECT_TRUE(eventually([&] { return other_ran.load(); }));
  enough = true;
  EXPECT_TRUE(pool.wait_idle());
}

TEST_P(pool_regression_queues, a_task_that_keeps_submitting_itself_lets_its_elder_siblings_run) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<bool> enough = false, elder_ran = false;
  std::function<void()> again = [&] {
    if (!enough) pool.post(again);
  };
  pool.post([&] {
    pool.post([&elder_ran] { elder_ran = true; });
    pool.post(again);
  });
  EXPECT_TRUE(eventually([&] { return elder_ran.load(); }));
  enough = true;
  EXPECT_TRUE(pool.wait_idle());
}

INSTANTIATE_TEST_SUITE_P(pools, pool_regression_queues,
                         testing::Values(queueing{heddle::scheduling::work_stealing, false},
                                         queueing{heddle::scheduling::work_stealing, true},
                                         queueing{heddle::scheduling::fifo, false},
                                         queueing{heddle::scheduling::fifo, true}),
                         testing::PrintToStringParamName());

}  // namespace
