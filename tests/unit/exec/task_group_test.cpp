#include <heddle/exec/task_group.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>

#include "support/child_process.hpp"
#include "support/pools.hpp"

namespace {

using heddle::priority;
using heddle::task_group;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::counted;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;

class task_group_shapes : public heddle_test::pool_test {};

TEST_P(task_group_shapes, runs_all_before_the_wait_returns) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  task_group group(pool);
  std::atomic<int> calls = 0;
  for (int i = 0; i < 100; ++i) group.run([&] { ++calls; });
  EXPECT_TRUE(group.wait());
  EXPECT_EQ(calls, 100);
  EXPECT_TRUE(group.wait()) << "nothing is left";
  for (int i = 0; i < 10; ++i) group.run([&] { ++calls; });
  EXPECT_TRUE(group.wait());
  EXPECT_EQ(calls, 110);
}

int fib(int n) {
  if (n < 2) return n;
  int a = 0;
  task_group group;
  group.run([&] { a = fib(n - 1); });
  const int b = fib(n - 2);
  group.wait();
  return a + b;
}

TEST_P(task_group_shapes, nests) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  EXPECT_EQ(pool.submit([] { return fib(14); }).get(), 377);
}

// Each task is there to be run by the waiter, wherever it was put.
TEST_P(task_group_shapes, a_lone_worker_without_spares_runs_its_own_tasks) {
  thread_pool_options o = options();
  o.workers = 1;
  o.max_spares = 0;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  const int calls = pool.submit([&pool] {
                          int ran = 0;
                          task_group group;
                          group.run([&] { ++ran; });
                          group.run(priority::low, [&] { ++ran; });
                          pool.post([] {});
                          group.run(priority::high, [&] { ++ran; });
                          group.run([&] { ++ran; });
                          group.wait();
                          return ran;
                        })
                        .get();
  EXPECT_EQ(calls, 4);
}

TEST_P(task_group_shapes, tasks_add_tasks) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> calls = 0;
  pool.submit([&] {
        task_group group;
        std::function<void(int)> grow = [&](int depth) {
          ++calls;
          if (depth == 0) return;
          group.run([&, depth] { grow(depth - 1); });
          group.run([&, depth] { grow(depth - 1); });
        };
        grow(8);
        group.wait();
      })
      .get();
  EXPECT_EQ(calls, 511);
}

TEST_P(task_group_shapes, the_first_exception_cancels_the_rest_and_comes_out_of_wait) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unhandled_log log;
  std::atomic<int> begun = 0;
  task_group group(pool);
  {
    const occupied_pool occupied(pool);
    group.run([] { throw std::out_of_range("first"); });
  }
  EXPECT_THROW(group.wait(), std::out_of_range);
  EXPECT_FALSE(group.is_cancelled()) << "it is as new";
  group.run([&] { ++begun; });
  EXPECT_TRUE(group.wait());
  EXPECT_EQ(begun, 1);
  EXPECT_EQ(log.count(), 0U);
}

TEST_P(task_group_shapes, cancel_gives_up_what_has_not_begun) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> begun = 0;
  task_group group(pool);
  {
    const occupied_pool occupied(pool);
    const int alive = counted::alive;
    for (int i = 0; i < 10; ++i) group.run([&begun, c = counted()] { ++begun; });
    group.cancel();
    EXPECT_EQ(counted::alive, alive) << "callables are gone at once";
    EXPECT_TRUE(group.is_cancelled());
    group.run([&] { ++begun; });
    EXPECT_FALSE(group.wait());
  }
  EXPECT_EQ(begun, 0);
}

INSTANTIATE_TEST_SUITE_P(pools, task_group_shapes, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

thread_pool_options workers(unsigned n) {
  thread_pool_options o;
  o.workers = n;
  return o;
}

TEST(task_group, takes_callables_of_any_kind) {
  thread_pool pool(workers(2));
  task_group group(pool);
  static std::atomic<int> calls;
  calls = 0;
  void (*function)() = [] { ++calls; };
  group.run(function);
  group.run([value = std::make_unique<int>(1)] { calls += *value; });
  group.run(heddle::named("third", [] { ++calls; }));
  group.run([](std::stop_token stop) { calls += stop.stop_possible() ? 1 : 0; });
  struct overaligned {
    alignas(64) int value = 1;
    void operator()() const { calls += value; }
  };
  group.run(overaligned());
  EXPECT_TRUE(group.wait());
  EXPECT_EQ(calls, 5);
  function = nullptr;
  EXPECT_THROW(group.run(function), std::invalid_argument);
  EXPECT_THROW(group.run(static_cast<priority>(8), [] {}), std::invalid_argument);
  EXPECT_TRUE(group.wait());
}

TEST(task_group, names_its_tasks) {
  thread_pool pool(workers(1));
  task_group group(pool);
  heddle_test::gate gate;
  group.run(heddle::named("the third", [&] { gate.pass(); }));
  gate.await_arrivals(1);
  const auto report = pool.shutdown(heddle::shutdown_mode::drain, std::chrono::steady_clock::now());
  gate.open();
  ASSERT_EQ(report.running.size(), 1U);
  EXPECT_EQ(report.running[0].task, "the third");
  group.wait();
}

TEST(task_group, is_on_the_pool_of_its_worker_or_the_default_one) {
  thread_pool pool(workers(2));
  EXPECT_TRUE(pool.submit([&] {
                    bool inside = false;
                    task_group group;
                    group.run([&] { inside = pool.worker_index().has_value(); });
                    group.wait();
                    return inside;
                  })
                  .get());
  bool inside = false;
  task_group group;
  group.run([&] { inside = heddle::default_pool().worker_index().has_value(); });
  group.wait();
  EXPECT_TRUE(inside);
}

TEST(task_group, what_runs_hears_of_cancel) {
  thread_pool pool(workers(2));
  const pool_watchdog dog(pool);
  task_group group(pool);
  std::atomic<int> running = 0;
  std::atomic<int> stopped = 0;
  const std::stop_token token = group.get_token();
  group.run([&](const std::stop_token& stop) {
    ++running;
    while (!stop.stop_requested()) std::this_thread::yield();
    ++stopped;
  });
  group.run([&] {
    ++running;
    while (!token.stop_requested()) std::this_thread::yield();
    ++stopped;
  });
  while (running != 2) std::this_thread::yield();
  group.cancel();
  EXPECT_FALSE(group.wait());
  EXPECT_EQ(stopped, 2);
  EXPECT_TRUE(token.stop_requested());
  EXPECT_FALSE(group.get_token().stop_requested()) << "the group is as new";
}

TEST(task_group, a_token_asked_of_a_cancelled_group_is_tripped) {
  thread_pool pool(workers(1));
  task_group group(pool);
  group.cancel();
  EXPECT_TRUE(group.get_token().stop_requested());
  EXPECT_FALSE(group.wait());
}

TEST(task_group, what_runs_hears_of_a_failure_and_may_say_so) {
  thread_pool pool(workers(2));
  const pool_watchdog dog(pool);
  const unhandled_log log;
  task_group group(pool);
  std::atomic<bool> running = false;
  group.run([&](const std::stop_token& stop) {
    running = true;
    while (!stop.stop_requested()) std::this_thread::yield();
    throw heddle::cancelled();
  });
  group.run([&] {
    while (!running) std::this_thread::yield();
    throw std::out_of_range("the cause");
  });
  EXPECT_THROW(group.wait(), std::out_of_range);
  EXPECT_EQ(log.count(), 0U) << "that a task stopped is no failure";
}

TEST(task_group, loses_no_second_exception) {
  thread_pool pool(workers(2));
  const pool_watchdog dog(pool);
  const unhandled_log log;
  task_group group(pool);
  std::atomic<int> running = 0;
  for (int i = 0; i < 2; ++i) {
    group.run([&] {
      ++running;
      while (running != 2) std::this_thread::yield();
      throw std::runtime_error("both");
    });
  }
  EXPECT_THROW(group.wait(), std::runtime_error);
  EXPECT_EQ(log.count(), 1U);
}

TEST(task_group, destroyed_without_wait_it_cancels_waits_and_reports) {
  thread_pool pool(workers(1));
  const pool_watchdog dog(pool);
  const unhandled_log log;
  int began = 0;
  std::atomic<bool> running = false;
  {
    task_group group(pool);
    group.run([&](const std::stop_token& stop) {
      ++began;
      running = true;
      while (!stop.stop_requested()) std::this_thread::yield();
      throw std::runtime_error("unread");
    });
    group.run([&] { ++began; });
    while (!running) std::this_thread::yield();
  }
  EXPECT_EQ(began, 1);
  EXPECT_EQ(log.count(), 1U);
}

TEST(task_group, a_task_that_waits_for_its_own_group_is_told) {
  thread_pool pool(workers(2));
  const pool_watchdog dog(pool);
  task_group group(pool);
  group.run([&] { group.wait(); });
  EXPECT_THROW(group.wait(), std::logic_error);
}

TEST(task_group, a_pool_that_is_shut_down_refuses) {
  thread_pool pool(workers(1));
  task_group group(pool);
  pool.shutdown();
  EXPECT_THROW(group.run([] {}), heddle::rejected);
  EXPECT_FALSE(group.is_cancelled());
  EXPECT_TRUE(group.wait()) << "nothing was added";
}

TEST(task_group, a_full_queue_refuses) {
  thread_pool_options o = workers(1);
  o.queue_capacity = 1;
  o.overflow = heddle::when_full::reject;
  thread_pool pool(std::move(o));
  task_group group(pool);
  int ran = 0;
  {
    const occupied_pool occupied(pool);
    group.run([&] { ++ran; });
    EXPECT_THROW(group.run([&] { ++ran; }), heddle::rejected);
  }
  EXPECT_TRUE(group.wait());
  EXPECT_EQ(ran, 1);
}

TEST(task_group, a_task_dropped_to_make_room_is_told) {
  thread_pool_options o = workers(1);
  o.queue_capacity = 1;
  o.overflow = heddle::when_full::drop_oldest;
  thread_pool pool(std::move(o));
  task_group group(pool);
  {
    const occupied_pool occupied(pool);
    group.run([] {});
    pool.post([] {});
    EXPECT_TRUE(group.is_cancelled());
  }
  EXPECT_THROW(group.wait(), heddle::cancelled);
  EXPECT_TRUE(group.wait());
}

TEST(task_group, shutdown_that_cancels_gives_its_tasks_up) {
  for (const unsigned n : {1U, 3U}) {
    thread_pool pool(workers(n));
    const pool_watchdog dog(pool);
    task_group group(pool);
    std::atomic<bool> running = false;
    std::atomic<int> ran = 0;
    group.run([&](const std::stop_token& stop) {
      running = true;
      while (!stop.stop_requested()) std::this_thread::yield();
    });
    while (!running) std::this_thread::yield();
    pool.shutdown(heddle::shutdown_mode::cancel);
    EXPECT_TRUE(group.is_cancelled());
    EXPECT_FALSE(group.wait()) << "its own token told it, nothing was given up";

    thread_pool other(workers(n));
    task_group waiting(other);
    {
      occupied_pool occupied(other);
      for (int i = 0; i < 3; ++i) waiting.run([&] { ++ran; });
      other.shutdown(heddle::shutdown_mode::cancel, std::chrono::steady_clock::now());
    }
    EXPECT_THROW(waiting.wait(), heddle::cancelled);
    EXPECT_EQ(ran, 0);
  }
}

// A worker of another pool cannot run the tasks: it gives its place away.
TEST(task_group, is_waited_for_by_a_worker_of_another_pool) {
  thread_pool first(workers(1));
  thread_pool second(workers(1));
  const pool_watchdog dog(first);
  const int sum = first
                      .submit([&] {
                        int a = 0;
                        task_group group(second);
                        group.run([&] { a = first.submit([] { return 20; }).get(); });
                        group.wait();
                        return a + 1;
                      })
                      .get();
  EXPECT_EQ(sum, 21);
}

// Nobody but the waiter can run the task that is added while it sleeps.
TEST(task_group, a_waiter_for_which_no_spare_is_left_wakes_for_new_tasks) {
  thread_pool_options o = workers(2);
  o.max_spares = 0;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  pool.submit([&pool] {
        std::atomic<bool> begun = false;
        std::atomic<bool> ran = false;
        task_group group;
        group.run([&] {
          begun = true;
          while (pool.statistics().starved == 0) std::this_thread::yield();
          group.run([&] { ran = true; });
          while (!ran) std::this_thread::yield();
        });
        while (!begun) std::this_thread::yield();
        group.wait();
      })
      .get();
  EXPECT_GE(pool.statistics().helped, 1U);
}

TEST(task_group, a_wait_that_no_spare_may_stand_in_for_throws_and_can_be_repeated) {
  thread_pool_options o = workers(2);
  o.max_spares = 0;
  o.when_starved = heddle::at_spare_cap::fail;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  heddle_test::gate gate;
  task_group group(pool);
  group.run([&] { gate.pass(); });
  gate.await_arrivals(1);
  EXPECT_THROW(pool.submit([&] { group.wait(); }).get(), heddle::would_starve);
  gate.open();
  EXPECT_TRUE(group.wait());
}

TEST(task_group, a_chain_of_a_million_tasks_needs_no_stack) {
  thread_pool pool(workers(2));
  const pool_watchdog dog(pool);
  task_group group(pool);
  int links = 0;
  struct link {
    task_group& group;
    int& links;
    void operator()() const {
      if (++links != 1'000'000) group.run(*this);
    }
  };
  group.run(link{group, links});
  group.wait();
  EXPECT_EQ(links, 1'000'000);
}

int descend(int depth) {
  if (depth == 0) return 0;
  int below = 0;
  task_group group;
  group.run([&] { below = descend(depth - 1); });
  group.wait();
  return below + 1;
}

TEST(task_group, nesting_is_not_bounded_by_one_stack) {
#if HEDDLE_TSAN
  GTEST_SKIP() << "ThreadSanitizer remembers at most 65536 calls in one stack";
#endif
#if HEDDLE_ASAN || !defined(__OPTIMIZE__)
  constexpr int depth = 50'000;  // of larger frames 256 stacks may not hold a million
#else
  constexpr int depth = 1'000'000;
#endif
  thread_pool pool(workers(1));
  const pool_watchdog dog(pool);
  EXPECT_EQ(pool.submit([] { return descend(depth); }).get(), depth);
  EXPECT_LE(pool.statistics().peak_threads, heddle_test::documented_threads(120));
}

// A group may be gone as soon as the wait has returned.
TEST(task_group, many_short_ones) {
  thread_pool pool(workers(2));
  const pool_watchdog dog(pool);
  std::atomic<int> calls = 0;
  for (int i = 0; i < 2'000; ++i) {
    const auto group = std::make_unique<task_group>(pool);
    group->run([&] { ++calls; });
    group->run([&] { ++calls; });
    group->wait();
  }
  EXPECT_EQ(calls, 4'000);
}

TEST(task_group, is_waited_for_by_several_threads) {
  thread_pool pool(workers(2));
  const pool_watchdog dog(pool);
  for (int round = 0; round < 50; ++round) {
    task_group group(pool);
    std::atomic<int> thrown = 0;
    std::atomic<int> calls = 0;
    for (int i = 0; i < 5; ++i) group.run([&] { ++calls; });
    group.run([] { throw std::runtime_error("one of them is told"); });
    heddle_test::run_together(3, [&](unsigned) {
      try {
        group.wait();
      } catch (const std::runtime_error&) {
        ++thrown;
      }
    });
    EXPECT_EQ(thrown, 1);
  }
}

TEST(task_group, mixes_with_parallel_invoke) {
  thread_pool pool(workers(2));
  const pool_watchdog dog(pool);
  int a = 0;
  int b = 0;
  heddle::parallel_invoke(
      pool, [&] { a = fib(10); },
      [&] {
        task_group group;
        group.run([&] { heddle::parallel_invoke([&] { b += fib(5); }, [] {}); });
        group.wait();
      });
  EXPECT_EQ(a + b, 60);
}

TEST(task_group, tasks_of_a_group_inherit_urgency_or_are_given_it) {
  thread_pool pool(workers(1));
  const pool_watchdog dog(pool);
  task_group group(pool);
  std::string order;
  {
    const occupied_pool occupied(pool);
    group.run(priority::low, [&] { order += 'l'; });
    group.run([&] { order += 'n'; });
    group.run(priority::high, [&] { order += 'h'; });
  }
  group.wait();
  EXPECT_EQ(order, "hnl");
}

TEST(task_group, of_a_parent_process_can_only_be_destroyed) {
#if HEDDLE_TSAN
  GTEST_SKIP() << "ThreadSanitizer lets no child of a threaded process start threads";
#endif
  thread_pool pool(workers(1));
  const pool_watchdog dog(pool);
  const auto throws_forked = [](auto f) {
    try {
      f();
      return false;
    } catch (const heddle::forked&) {
      return true;
    }
  };
  auto group = std::make_unique<task_group>(pool);
  {
    const occupied_pool occupied(pool);
    group->run([] {});
    EXPECT_TRUE(heddle_test::holds_in_child([&] {
      const bool told =
          throws_forked([&] { group->run([] {}); }) && throws_forked([&] { group->wait(); });
      group.reset();
      int ran = 0;
      task_group own(pool);
      own.run([&] { ++ran; });
      return told && own.wait() && ran == 1;
    }));
  }
  EXPECT_TRUE(group->wait());
}

}  // namespace
