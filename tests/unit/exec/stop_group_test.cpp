// Tasks that a stop_token gives up: before they begin, while they run, and by the thousand.
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/wait.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::priority;
using heddle::shutdown_mode;
using heddle::task_options;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::eventually;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;
using heddle_test::run_together;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

task_options in_group(const std::stop_source& group) { return {.stop = group.get_token()}; }

class stop_group : public heddle_test::pool_test {};

TEST_P(stop_group, stopped_before_they_begin_never_run) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unhandled_log log;
  std::atomic<int> ran = 0;
  {
    const occupied_pool busy(pool);
    std::stop_source group;
    std::vector<future<void>> futures;
    for (int i = 0; i < 20; ++i) {
      futures.push_back(pool.submit(in_group(group), [&ran, c = counted()] { ++ran; }));
    }
    auto other = pool.submit([&ran] { ran += 100; });
    EXPECT_EQ(counted::alive, 20);
    EXPECT_TRUE(group.request_stop());
    EXPECT_EQ(counted::alive, 0);
    for (auto& f : futures) {
      ASSERT_TRUE(f.ready());
      EXPECT_FALSE(f.cancel());
      EXPECT_THROW(f.get(), heddle::cancelled);
    }
    EXPECT_FALSE(other.ready());
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 100);
  EXPECT_EQ(log.count(), 0U);
  const auto s = pool.statistics();
  EXPECT_EQ(s.submitted, s.completed);
}

TEST_P(stop_group, posted_tasks_are_given_up_as_well) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  std::stop_source group;
  {
    const occupied_pool busy(pool);
    for (int i = 0; i < 20; ++i) {
      pool.post(in_group(group), [&ran, c = counted()] { ++ran; });
      pool.post([&ran] { ran += 100; });
    }
    EXPECT_TRUE(group.request_stop());
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 2000);
  EXPECT_EQ(counted::alive, 0);
  pool.post(in_group(group), [&ran, c = counted()] { ++ran; });
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 2000);
  EXPECT_EQ(counted::alive, 0);
}

TEST_P(stop_group, posted_tasks_that_are_not_stopped_run_and_fail_as_others_do) {
  const unhandled_log log;
  std::atomic<int> ran = 0;
  {
    thread_pool pool(options());
    std::stop_source group;
    for (int i = 0; i < 10; ++i) {
      pool.post(in_group(group), [&ran](int by) { ran += by; }, 2);
      pool.post(task_options{.level = priority::low, .stop = group.get_token()}, [&ran] { ++ran; });
    }
    pool.post(in_group(group), [] { throw std::runtime_error("in a group"); });
  }
  EXPECT_EQ(ran, 30);
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"in a group"});
}

TEST_P(stop_group, a_token_tripped_before_gives_a_cancelled_future) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source group;
  group.request_stop();
  for (int i = 0; i < 50; ++i) {
    auto f = pool.submit(in_group(group), [c = counted()] { ADD_FAILURE(); });
    EXPECT_TRUE(f.ready());
    EXPECT_EQ(counted::alive, 0);
    EXPECT_THROW(f.get(), heddle::cancelled);
  }
  EXPECT_TRUE(pool.wait_idle());
  const auto s = pool.statistics();
  EXPECT_EQ(s.submitted, s.completed);
}

TEST_P(stop_group, a_running_task_sees_its_own_token_trip) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source group;
  std::atomic<unsigned> begun = 0;
  std::atomic<unsigned> told = 0;
  std::vector<future<int>> futures;
  for (unsigned i = 0; i < workers(); ++i) {
    futures.push_back(pool.submit(
        in_group(group),
        [&](const std::stop_token& stop, int v) {
          const std::stop_callback tells(stop, [&told] { ++told; });
          ++begun;
          while (!stop.stop_requested()) std::this_thread::yield();
          return v;
        },
        7));
  }
  ASSERT_TRUE(eventually([&] { return begun == workers(); }));
  EXPECT_EQ(told, 0U);
  EXPECT_TRUE(group.request_stop());
  for (auto& f : futures) EXPECT_EQ(f.get(), 7);  // it was up to them
  EXPECT_EQ(told, workers());
}

TEST_P(stop_group, a_running_task_without_a_token_runs_to_its_end) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source group;
  heddle_test::gate hold;
  auto f = pool.submit(in_group(group), [&hold] {
    hold.pass();
    return 3;
  });
  hold.await_arrivals(1);
  EXPECT_TRUE(group.request_stop());
  EXPECT_FALSE(f.ready());
  hold.open();
  EXPECT_EQ(f.get(), 3);
}

TEST_P(stop_group, stopping_one_task_leaves_the_group_alone) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source group;
  std::vector<future<int>> futures;
  {
    const occupied_pool busy(pool);
    for (int i = 0; i < 10; ++i) {
      futures.push_back(pool.submit(in_group(group), [i, c = counted()] { return i; }));
    }
    EXPECT_TRUE(futures[4].cancel());
    EXPECT_FALSE(group.stop_requested());
    EXPECT_EQ(counted::alive, 9);
  }
  for (int i = 0; i < 10; ++i) {
    auto& f = futures[static_cast<std::size_t>(i)];
    if (i == 4) {
      EXPECT_THROW(f.get(), heddle::cancelled);
    } else {
      EXPECT_EQ(f.get(), i);
    }
  }
  EXPECT_TRUE(group.request_stop());
}

TEST_P(stop_group, cancel_shutdown_and_token_trip_the_same_task) {
  for (int who = 0; who < 3; ++who) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    std::stop_source group;
    std::atomic<bool> begun = false;
    auto f = pool.submit(in_group(group), [&begun](const std::stop_token& stop) {
      begun = true;
      while (!stop.stop_requested()) std::this_thread::yield();
      return 1;
    });
    ASSERT_TRUE(eventually([&] { return begun.load(); }));
    if (who == 0) {
      EXPECT_FALSE(f.cancel());
      EXPECT_TRUE(group.request_stop());
    } else if (who == 1) {
      EXPECT_TRUE(group.request_stop());
      EXPECT_FALSE(f.cancel());
    } else {
      EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
      EXPECT_FALSE(group.stop_requested());  // the group may have tasks elsewhere
    }
    EXPECT_EQ(f.get(), 1);
  }
}

TEST_P(stop_group, both_ways_before_it_begins) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const occupied_pool busy(pool);
  std::stop_source group;
  auto first = pool.submit(in_group(group), [c = counted()] {});
  auto second = pool.submit(in_group(group), [c = counted()] {});
  EXPECT_TRUE(first.cancel());
  EXPECT_TRUE(group.request_stop());
  EXPECT_FALSE(second.cancel());
  EXPECT_EQ(counted::alive, 0);
  EXPECT_THROW(first.get(), heddle::cancelled);
  EXPECT_THROW(second.get(), heddle::cancelled);
}

TEST_P(stop_group, of_a_thousand_stopped_half_way) {
  for (int round = 0; round < 5; ++round) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    std::stop_source group;
    std::atomic<unsigned> ran = 0;
    std::atomic<bool> stopped = false;
    std::vector<future<unsigned>> futures;
    {
      const occupied_pool busy(pool);
      for (unsigned i = 0; i < 1000; ++i) {
        futures.push_back(
            pool.submit(in_group(group), [&, i, c = counted()](const std::stop_token& stop) {
              const unsigned mine = ++ran;
              if (mine == 500) {
                group.request_stop();
                EXPECT_TRUE(stop.stop_requested());
                stopped = true;
              }
              while (mine > 500 && !stopped) std::this_thread::yield();
              return i;
            }));
      }
    }
    const auto result = heddle::wait(futures);
    EXPECT_EQ(result.done.size(), 1000U);
    EXPECT_EQ(counted::alive, 0);
    unsigned done = 0;
    unsigned cancelled = 0;
    for (unsigned i = 0; i < 1000; ++i) {
      try {
        EXPECT_EQ(futures[i].get(), i);
        ++done;
      } catch (const heddle::cancelled&) {
        ++cancelled;
      }
    }
    EXPECT_EQ(done, ran);
    EXPECT_EQ(done + cancelled, 1000U);
    EXPECT_GE(done, 500U);
    EXPECT_LT(done, 500U + workers());
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(pool.statistics().completed, 1000U + workers());
  }
}

TEST_P(stop_group, may_span_pools_levels_and_groups_of_one) {
  thread_pool first(options());
  thread_pool second(options());
  const pool_watchdog dog(first);
  std::stop_source group;
  std::vector<future<void>> futures;
  {
    const occupied_pool busy(first);
    const occupied_pool busy_too(second);
    for (int i = 0; i < 16; ++i) {
      thread_pool& pool = i % 2 == 0 ? first : second;
      futures.push_back(pool.submit(
          task_options{.level = static_cast<priority>(i / 2), .stop = group.get_token()},
          [c = counted()] {}));
    }
    EXPECT_TRUE(group.request_stop());
    EXPECT_EQ(counted::alive, 0);
  }
  for (auto& f : futures) EXPECT_THROW(f.get(), heddle::cancelled);
}

TEST_P(stop_group, tokens_that_can_never_trip) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  EXPECT_EQ(pool.submit(task_options{.stop = std::stop_token()}, [] { return 1; }).get(), 1);
  EXPECT_EQ(pool.submit(task_options{.stop = std::stop_source(std::nostopstate).get_token()},
                        [] { return 2; })
                .get(),
            2);
  future<int> f;
  {
    const occupied_pool busy(pool);
    const std::stop_source dies;
    f = pool.submit(in_group(dies),
                    [](const std::stop_token& stop) { return stop.stop_requested() ? 0 : 3; });
  }
  EXPECT_EQ(f.get(), 3);
}

TEST_P(stop_group, stopped_when_all_is_over) {
  std::stop_source group;
  std::vector<future<int>> futures;
  {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    for (int i = 0; i < 10; ++i) {
      futures.push_back(pool.submit(in_group(group), [i] { return i; }));
      pool.post(in_group(group), [] {});
    }
  }
  EXPECT_TRUE(group.request_stop());  // the pool is gone
  for (int i = 0; i < 10; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
}

TEST_P(stop_group, stopped_by_tasks_of_their_own_and_by_dying_callables) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source group;
  auto own = pool.submit(in_group(group), [&group](const std::stop_token& stop) {
    group.request_stop();
    return stop.stop_requested();
  });
  EXPECT_TRUE(own.get());

  // One group's end is the end of the next.
  struct stops_when_destroyed {
    std::stop_source source;
    explicit stops_when_destroyed(std::stop_source s) : source(std::move(s)) {}
    stops_when_destroyed(stops_when_destroyed&& o) noexcept : source(std::move(o.source)) {
      o.source = std::stop_source(std::nostopstate);
    }
    ~stops_when_destroyed() {
      if (source.stop_possible()) source.request_stop();
    }
  };
  std::stop_source first;
  const std::stop_source second;
  const occupied_pool busy(pool);
  auto a = pool.submit(in_group(first), [s = stops_when_destroyed(second)] {});
  auto b = pool.submit(in_group(second), [] {});
  EXPECT_TRUE(first.request_stop());
  EXPECT_TRUE(a.ready());
  EXPECT_TRUE(b.ready());
  EXPECT_THROW(a.get(), heddle::cancelled);
  EXPECT_THROW(b.get(), heddle::cancelled);
}

TEST_P(stop_group, ends_the_waits_of_other_tasks) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source group;
  heddle_test::gate hold;
  std::atomic<bool> waits = false;
  auto waiter = pool.submit([&] {
    auto behind = pool.submit(in_group(group), [&hold](const std::stop_token& stop) {
      hold.pass();
      return stop.stop_requested();
    });
    waits = true;
    return behind.get();
  });
  ASSERT_TRUE(eventually([&] { return waits.load(); }));
  hold.await_arrivals(1);
  group.request_stop();
  hold.open();
  EXPECT_TRUE(waiter.get());
}

// The token, the future, the worker and the end of the pool, all at once.
TEST_P(stop_group, everything_races_with_the_start) {
  for (int round = 0; round < 300; ++round) {
    std::optional<thread_pool> pool(std::in_place, options());
    const heddle_test::watchdog dog;
    std::stop_source group;
    std::atomic<unsigned> ran = 0;
    constexpr unsigned tasks = 16;
    std::vector<future<void>> futures;
    for (unsigned i = 0; i < tasks; ++i) {
      futures.push_back(pool->submit(in_group(group), [&ran, c = counted()] { ++ran; }));
    }
    for (unsigned i = 0; i < 4; ++i) pool->post(in_group(group), [c = counted()] {});
    run_together(3, [&](unsigned who) {
      if (who == 0) {
        group.request_stop();
      } else if (who == 1) {
        for (auto& f : futures) f.cancel();
      } else if (round % 3 == 0) {
        pool->shutdown(shutdown_mode::cancel);
      } else if (round % 3 == 1) {
        pool.reset();
      }
    });
    unsigned done = 0;
    for (auto& f : futures) {
      try {
        f.get();
        ++done;
      } catch (const heddle::cancelled&) {
      }
    }
    EXPECT_EQ(done, ran);
    if (pool) {
      EXPECT_TRUE(pool->wait_idle());
    }
    EXPECT_EQ(counted::alive, 0);
  }
}

TEST_P(stop_group, submitting_races_with_the_stop) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (int round = 0; round < 50; ++round) {
    std::stop_source group;
    std::atomic<unsigned> ran = 0;
    std::atomic<unsigned> done = 0;
    std::atomic<unsigned> cancelled = 0;
    run_together(3, [&](unsigned who) {
      if (who == 0) {
        while (ran < 5) std::this_thread::yield();
        group.request_stop();
        return;
      }
      std::vector<future<void>> futures;
      do {
        futures.push_back(pool.submit(in_group(group), [&ran, c = counted()] { ++ran; }));
      } while (!group.stop_requested());
      for (auto& f : futures) ++(f.exception() == nullptr ? done : cancelled);
    });
    EXPECT_EQ(done, ran);
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(counted::alive, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(pools, stop_group, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
