// Batches: all done, or what became of each by the deadline.
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>

#include "support/pools.hpp"

namespace {

using heddle::batch_report;
using heddle::priority;
using heddle::task_options;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::eventually;
using heddle_test::gate;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

template <class T>
std::size_t sum(const batch_report<T>& r) {
  return r.done + r.failed + r.cancelled + r.running;
}

class run_all : public heddle_test::pool_test {};

TEST_P(run_all, gives_the_results_in_the_order_of_the_tasks) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::vector<std::function<int()>> tasks;
  for (int i = 0; i < 100; ++i) tasks.emplace_back([i] { return i; });
  auto report = pool.run_all(tasks);
  ASSERT_EQ(report.size(), 100U);
  EXPECT_EQ(report.done, 100U);
  EXPECT_EQ(sum(report), 100U);
  EXPECT_EQ(report.success_rate(), 1.0);
  EXPECT_GT(report.total_time.count(), 0);
  for (int i = 0; i < 100; ++i) {
    auto& f = report.results[static_cast<std::size_t>(i)];
    ASSERT_TRUE(f.ready());
    EXPECT_EQ(f.get(), i);
  }
  EXPECT_EQ(tasks[3](), 3);  // an lvalue range keeps its callables
}

TEST_P(run_all, of_nothing) {
  thread_pool pool(options());
  const std::vector<std::function<int()>> none;
  for (const auto& report :
       {pool.run_all(none).success_rate(), pool.run_all(none, 0ms).success_rate(),
        pool.run_all(none, -1h).success_rate()}) {
    EXPECT_EQ(report, 1.0);
  }
  const auto report = pool.run_all(none);
  EXPECT_EQ(report.size(), 0U);
  EXPECT_EQ(sum(report), 0U);
}

TEST_P(run_all, takes_any_range_and_moves_from_an_rvalue_one) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  struct owner {
    std::unique_ptr<int> value;
    int operator()() const { return *value; }
  };
  std::list<owner> owners;
  for (int i = 0; i < 5; ++i) owners.push_back({std::make_unique<int>(i)});
  auto report = pool.run_all(std::move(owners));
  int next = 0;
  for (auto& f : report.results) EXPECT_EQ(f.get(), next++);
  EXPECT_EQ(next, 5);

  auto made =
      std::views::iota(0, 10) | std::views::transform([](int i) { return [i] { return 3 * i; }; });
  auto squares = pool.run_all(made);
  EXPECT_EQ(squares.done, 10U);
  EXPECT_EQ(squares.results[9].get(), 27);

  bool ran = false;
  EXPECT_EQ(pool.run_all(std::vector{std::function<void()>([&ran] { ran = true; })}).done, 1U);
  EXPECT_TRUE(ran);
  int target = 0;
  auto references =
      pool.run_all(std::vector{std::function<int&()>([&]() -> int& { return target; })});
  EXPECT_EQ(&references.results[0].get(), &target);
}

TEST_P(run_all, tells_the_failed_from_the_done) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unhandled_log log;
  {
    std::vector<std::function<int()>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.emplace_back([i]() -> int {
        if (i % 4 == 0) throw std::out_of_range("task " + std::to_string(i));
        return i;
      });
    }
    auto report = pool.run_all(tasks);
    EXPECT_EQ(report.done, 15U);
    EXPECT_EQ(report.failed, 5U);
    EXPECT_EQ(sum(report), 20U);
    EXPECT_EQ(report.success_rate(), 0.75);
    for (std::size_t i = 0; i < 20; ++i) {
      if (i == 4) continue;
      if (i % 4 == 0) {
        EXPECT_THROW(report.results[i].get(), std::out_of_range);
      } else {
        EXPECT_EQ(report.results[i].get(), static_cast<int>(i));
      }
    }
    EXPECT_EQ(log.count(), 0U);
  }
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"task 4"});  // nobody read it
}

TEST_P(run_all, by_its_deadline_cancels_what_has_not_begun) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  {
    const occupied_pool busy(pool);
    const auto tasks = std::vector(20, [&ran, c = counted()] { ++ran; });
    auto report = pool.run_all(tasks, 5ms);
    EXPECT_EQ(report.cancelled, 20U);
    EXPECT_EQ(sum(report), 20U);
    EXPECT_EQ(report.success_rate(), 0.0);
    EXPECT_GE(report.total_time, 5ms);
    EXPECT_EQ(counted::alive, 20);  // the range's own
    for (auto& f : report.results) {
      ASSERT_TRUE(f.ready());
      EXPECT_THROW(f.get(), heddle::cancelled);
    }
    const auto at_once = pool.run_all(tasks, heddle::prim::time_point::min());
    EXPECT_EQ(at_once.cancelled, 20U);
    EXPECT_EQ(pool.run_all(tasks, 0s).cancelled, 20U);
    EXPECT_EQ(pool.run_all(tasks, -1h).cancelled, 20U);
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 0);
}

TEST_P(run_all, by_its_deadline_reports_what_runs_and_hands_its_futures_over) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const auto hold = std::make_shared<gate>();
  std::atomic<std::size_t> begun = 0;
  const auto task = [&begun, hold] {
    ++begun;
    hold->pass();
    return 1;
  };
  auto report = pool.run_all(std::vector(workers() + 5, task), 20ms);
  EXPECT_EQ(sum(report), workers() + 5U);
  EXPECT_LE(report.running, workers());
  EXPECT_GE(report.cancelled, 5U);
  // None of the cancelled begins any more.
  EXPECT_TRUE(eventually([&] { return begun == report.running; }));
  hold->open();
  std::size_t got = 0;
  for (auto& f : report.results) {
    try {
      got += static_cast<std::size_t>(f.get());
    } catch (const heddle::cancelled&) {
    }
  }
  EXPECT_EQ(got, report.running);
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(begun, report.running);
}

TEST_P(run_all, by_its_deadline_asks_what_runs_to_stop) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<std::size_t> stopped = 0;
  const auto task = [&stopped](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::sleep_for(100us);
    ++stopped;
  };
  auto report = pool.run_all(std::vector(workers() + 3, task), 20ms);
  EXPECT_EQ(sum(report), workers() + 3U);
  EXPECT_EQ(report.failed, 0U);
  EXPECT_TRUE(pool.wait_idle());  // they do end
  EXPECT_EQ(stopped, workers() + 3 - report.cancelled);
}

TEST_P(run_all, in_time_cancels_nothing) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const auto report = pool.run_all(std::vector(50, [] {}), 10h);
  EXPECT_EQ(report.done, 50U);
  EXPECT_EQ(pool.run_all(std::vector(50, [] {}), std::chrono::nanoseconds::max()).done, 50U);
}

TEST_P(run_all, with_a_token_that_is_tripped_begins_nothing) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source stop;
  stop.request_stop();
  std::atomic<int> ran = 0;
  auto report = pool.run_all(std::vector(30, [&ran] { ++ran; }), heddle::prim::never,
                             {.stop = stop.get_token()});
  EXPECT_EQ(report.cancelled, 30U);
  EXPECT_EQ(sum(report), 30U);
  EXPECT_EQ(ran, 0);
  for (auto& f : report.results) EXPECT_THROW(f.get(), heddle::cancelled);
}

TEST_P(run_all, ends_early_when_its_token_trips) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source stop;
  std::atomic<std::size_t> ran = 0;
  std::atomic<bool> stopped = false;
  const auto task = [&] {
    const std::size_t mine = ++ran;
    if (mine == 10) {
      stop.request_stop();
      stopped = true;
    }
    while (mine > 10 && !stopped) std::this_thread::yield();
  };
  auto report =
      pool.run_all(std::vector(200, task), heddle::prim::never, {.stop = stop.get_token()});
  EXPECT_EQ(sum(report), 200U);
  EXPECT_EQ(report.running, 0U);
  EXPECT_EQ(report.done, ran);
  EXPECT_EQ(report.cancelled, 200U - ran);
  EXPECT_GE(ran, 10U);
  EXPECT_LT(ran, 10U + workers());
}

TEST_P(run_all, with_a_level_gives_it_to_each) {
  if (GetParam().schedule == heddle::scheduling::fifo) GTEST_SKIP() << "has no levels";
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  EXPECT_EQ(pool.run_all(std::vector(12, [] {}), 10h, {.level = priority::high}).done, 12U);
  EXPECT_EQ(pool.statistics().levels[2].submitted, 12U);
}

TEST_P(run_all, inside_tasks_of_the_pool) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> leaves = 0;
  for (const bool limited : {false, true}) {
    const std::function<int(int)> nest = [&](int levels) -> int {
      if (levels == 0) return ++leaves, 1;
      std::vector<std::function<int()>> tasks(3, [&nest, levels] { return nest(levels - 1); });
      auto report = limited ? pool.run_all(tasks, 10h) : pool.run_all(tasks);
      EXPECT_EQ(report.done, 3U);
      int all = 0;
      for (auto& f : report.results) all += f.get();
      return all;
    };
    EXPECT_EQ(pool.submit(nest, 4).get(), 81);
  }
  EXPECT_EQ(leaves, 162);
}

TEST_P(run_all, inside_a_task_by_its_deadline) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const auto hold = std::make_shared<gate>();
  auto report =
      pool.submit([&pool, hold] {
            return pool.run_all(std::vector(2 * pool.size() + 4, [hold] { hold->pass(); }), 20ms);
          })
          .get();
  EXPECT_EQ(sum(report), 2U * workers() + 4U);
  EXPECT_EQ(report.done, 0U);
  hold->open();
  EXPECT_TRUE(pool.wait_idle());
  std::size_t finished = 0;
  for (auto& f : report.results) finished += f.failed() ? 0 : 1;
  EXPECT_EQ(finished, report.running);
}

TEST_P(run_all, a_null_callable_in_the_middle_gives_up_those_before_it) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  {
    const occupied_pool busy(pool);
    std::vector<std::function<void()>> tasks(5, [&ran, c = counted()] { ++ran; });
    tasks[3] = nullptr;
    EXPECT_THROW(static_cast<void>(pool.run_all(tasks)), std::invalid_argument);
    EXPECT_EQ(counted::alive, 4);
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 0);
}

TEST_P(run_all, a_range_that_throws_gives_up_those_before_it) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  {
    const occupied_pool busy(pool);
    auto failing = std::views::iota(0, 10) | std::views::transform([&ran](int i) {
                     if (i == 6) throw std::out_of_range("the range");
                     return [&ran, c = counted()] { ++ran; };
                   });
    EXPECT_THROW(static_cast<void>(pool.run_all(failing)), std::out_of_range);
    EXPECT_EQ(counted::alive, 0);
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 0);
}

TEST_P(run_all, on_a_pool_that_shuts_down) {
  thread_pool closed(options());
  closed.shutdown();
  EXPECT_THROW(static_cast<void>(closed.run_all(std::vector(3, [c = counted()] {}))),
               heddle::rejected);
  EXPECT_EQ(counted::alive, 0);

  // In the middle: whatever was accepted is discarded by the pool, and the wait ends.
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const auto busy = std::make_shared<gate>();
  for (unsigned i = 0; i < workers(); ++i) pool.post([busy] { busy->pass(); });
  busy->await_arrivals(workers());
  std::thread closing([&] {
    EXPECT_TRUE(eventually([&] { return pool.statistics().submitted == workers() + 20U; }));
    EXPECT_FALSE(pool.shutdown(heddle::shutdown_mode::cancel, 0ms).completed);
    busy->open();
  });
  auto report = pool.run_all(std::vector(20, [] {}));
  closing.join();
  EXPECT_EQ(report.cancelled, 20U);
}

TEST_P(run_all, without_spares_fails_when_told_so_and_gives_up_its_tasks) {
  auto o = options();
  o.max_spares = 0;
  o.when_starved = heddle::at_spare_cap::fail;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  const auto busy = std::make_shared<gate>();
  for (unsigned i = 1; i < workers(); ++i) pool.post([busy] { busy->pass(); });
  busy->await_arrivals(workers() - 1);
  pool.submit([&] {
        EXPECT_THROW(
            static_cast<void>(pool.run_all(std::vector(5, [&ran, c = counted()] { ++ran; }), 10h)),
            heddle::would_starve);
        EXPECT_EQ(counted::alive, 0);
        // Without a limit it needs no spare: it runs them itself.
        EXPECT_EQ(pool.run_all(std::vector(5, [] {})).done, 5U);
      })
      .get();
  busy->open();
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 0);
}

INSTANTIATE_TEST_SUITE_P(pools, run_all, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
