// Pools under races: wake-ups that must not get lost, waits in workers, shutdown in the middle.
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <barrier>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/prim/seed.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::pool_watchdog;

using namespace std::chrono_literals;

class pool_stress : public heddle_test::pool_test {};

// N tasks that block until all N have begun: one lost wake-up, one task behind a blocked worker,
// and the meeting never takes place.
TEST_P(pool_stress, as_many_blocking_tasks_as_workers_always_start) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle::prim::random dice(heddle::prim::next_seed());
  const unsigned n = workers();
  for (int round = 0; round < 600; ++round) {
    std::barrier<> meeting(static_cast<std::ptrdiff_t>(n) + 1);
    const auto meet = [&meeting] { meeting.arrive_and_wait(); };
    switch (dice.below(6)) {
      case 0:
        for (unsigned i = 0; i < n; ++i) pool.post(meet);
        break;
      case 1:
        pool.post_bulk(std::vector(n, meet));
        break;
      case 2:
        pool.post([&] {
          for (unsigned i = 1; i < n; ++i) pool.post(meet);
          meet();
        });
        break;
      case 3:
        pool.post([&] {
          pool.post_bulk(std::vector(n - 1, meet));
          meet();
        });
        break;
      case 4:
        // Each begins the next: a chain of wake-ups.
        {
          struct link {
            thread_pool& pool;
            std::barrier<>& meeting;
            unsigned left;
            void operator()() const {
              if (left > 1) pool.post(link{pool, meeting, left - 1});
              meeting.arrive_and_wait();
            }
          };
          pool.post(link{pool, meeting, n});
        }
        break;
      default:
        for (unsigned i = 0; i < n; ++i) {
          const auto dropped = pool.submit_to(i, meet);
        }
    }
    meeting.arrive_and_wait();
    // Every other round finds the pool asleep, the others find it on its way there.
    switch (dice.below(4)) {
      case 0:
        ASSERT_TRUE(pool.wait_idle());
        std::this_thread::sleep_for(std::chrono::microseconds(dice.below(100)));
        break;
      case 1:
        while (pool.statistics().completed != pool.statistics().submitted) {
        }
        break;
      default:
        ASSERT_TRUE(pool.wait_idle());
    }
  }
}

// The same from several threads at once, whose meetings are of 2 tasks each.
TEST_P(pool_stress, pairs_of_blocking_tasks_from_several_threads) {
  auto o = options();
  o.workers = 2 * workers();
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  heddle_test::run_together(workers(), [&](unsigned i) {
    for (int round = 0; round < 1000; ++round) {
      auto meeting = std::make_shared<std::barrier<>>(3);
      const auto meet = [meeting] { meeting->arrive_and_wait(); };
      if ((static_cast<int>(i) + round) % 2 == 0) {
        pool.post(meet);
        pool.post(meet);
      } else {
        pool.post([&pool, meet] {
          pool.post(meet);
          meet();
        });
      }
      meeting->arrive_and_wait();
    }
  });
}

// One round trip at a time, from threads that do not know of each other: the pool falls asleep and
// wakes in every possible way.
TEST_P(pool_stress, round_trips_lose_no_wakeup) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle_test::run_together(2, [&](unsigned i) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int round = 0; round < 2500; ++round) {
      switch (dice.below(4)) {
        case 0:
          pool.submit([] {}).get();
          break;
        case 1:
          pool.submit_to(i % pool.size(), [] {}).get();
          break;
        case 2:
          pool.submit([&pool] { pool.submit([] {}).get(); }).get();
          break;
        default:
          pool.submit([&pool] { return pool.submit([] {}); }).get().get();
      }
    }
  });
}

// Trees of tasks that wait for their children in every way there is.
TEST_P(pool_stress, trees_that_wait_in_every_way) {
  auto o = options();
  o.spare_keep_alive = 1ms;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  const std::function<unsigned(unsigned)> tree = [&](unsigned levels) -> unsigned {
    if (levels == 0) return 1;
    heddle::prim::random dice(heddle::prim::next_seed());
    std::vector<future<unsigned>> children;
    for (int i = 0; i < 3; ++i) {
      children.push_back(
          dice.below(4) == 0
              ? pool.submit_to(static_cast<unsigned>(dice.below(pool.size())), tree, levels - 1)
              : pool.submit(tree, levels - 1));
    }
    unsigned leaves = 0;
    switch (dice.below(5)) {
      case 0:
        for (auto& c : children) leaves += c.get();
        break;
      case 1:
        for (auto& c : heddle::as_completed(children)) leaves += c.get();
        break;
      case 2:
        heddle::wait(children);
        for (auto& c : children) leaves += c.get();
        break;
      case 3:
        for (auto& c : children) {
          while (!c.wait_for(std::chrono::microseconds(dice.below(200)))) {
          }
          leaves += c.get();
        }
        break;
      default:
        heddle::wait(children, heddle::wait_condition::first_completed);
        for (auto c = children.rbegin(); c != children.rend(); ++c) leaves += c->get();
    }
    return leaves;
  };
  for (int round = 0; round < 8; ++round) EXPECT_EQ(pool.submit(tree, 4U).get(), 81U);
}

// Waiters and those who release them come and go; spares are made, reused and leave all the time.
TEST_P(pool_stress, spares_come_and_go) {
  auto o = options();
  o.spare_keep_alive = 50us;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  heddle_test::run_together(2, [&](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int round = 0; round < 150; ++round) {
      std::vector<promise<void>> promises(1 + dice.below(6));
      std::vector<future<void>> waiters;
      for (promise<void>& p : promises) {
        waiters.push_back(pool.submit([f = p.get_future()]() mutable { f.get(); }));
      }
      // The last of them is set by the pool itself, so it needs a worker that does not wait.
      pool.submit([&promises] { promises.back().set_value(); }).get();
      for (std::size_t i = 0; i + 1 < promises.size(); ++i) promises[i].set_value();
      for (auto& f : waiters) f.get();
      if (dice.below(4) == 0) std::this_thread::sleep_for(100us);
    }
  });
}

TEST_P(pool_stress, cancel_races_with_start_and_end) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  std::atomic<int> cancelled = 0;
  heddle_test::run_together(2, [&](unsigned) {
    for (int round = 0; round < 1500; ++round) {
      auto f = pool.submit([&ran, c = counted()](const std::stop_token&) { ++ran; });
      if (round % 3 == 0) std::this_thread::yield();
      if (f.cancel()) {
        ++cancelled;
        ASSERT_TRUE(f.ready());
        ASSERT_TRUE(f.failed());
      } else {
        f.get();
      }
    }
  });
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran + cancelled, 3000);
  EXPECT_EQ(counted::alive, 0);
}

// Pools that live for a moment, left in every possible state.
TEST_P(pool_stress, short_lives) {
  const heddle_test::watchdog dog;
  heddle::prim::random dice(heddle::prim::next_seed());
  for (int round = 0; round < 150; ++round) {
    std::atomic<int> ran = 0;
    int expected = 0;
    std::vector<future<void>> kept;
    {
      auto o = options();
      o.spare_keep_alive = 10us;
      thread_pool pool(std::move(o));
      for (auto n = dice.below(6); n > 0; --n) {
        ++expected;
        switch (dice.below(3)) {
          case 0:
            pool.post([&ran] { ++ran; });
            break;
          case 1:
            kept.push_back(pool.submit([&ran] { ++ran; }));
            break;
          default:
            ++expected;
            kept.push_back(pool.submit([&] {
              pool.submit([&ran] { ++ran; }).wait_for(1h);
              ++ran;
            }));
        }
      }
      if (dice.below(3) == 0) {
        EXPECT_TRUE(pool.wait_idle());
      }
      if (dice.below(3) == 0) {
        EXPECT_TRUE(pool.shutdown().completed);
      }
    }
    EXPECT_EQ(ran, expected);
    for (auto& f : kept) f.get();
  }
}

// Tasks that submit without end meet a cancel, and a drain that becomes one.
TEST_P(pool_stress, cancel_ends_tasks_that_submit_without_end) {
  for (int round = 0; round < 60; ++round) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    struct endless {
      thread_pool& pool;
      counted c;
      void operator()() const {
        try {
          pool.post(endless{pool, {}});
          auto waited_for = pool.submit([] {});
          waited_for.get();
        } catch (const heddle::error&) {
        }
      }
    };
    for (int i = 0; i < 3; ++i) pool.post(endless{pool, {}});
    std::this_thread::sleep_for(std::chrono::microseconds(30 * round));
    if (round % 2 == 0) {
      EXPECT_FALSE(pool.shutdown(heddle::shutdown_mode::drain, 100us).completed);
    }
    EXPECT_TRUE(pool.shutdown(heddle::shutdown_mode::cancel).completed);
    EXPECT_EQ(counted::alive, 0);
    EXPECT_EQ(pool.statistics().submitted, pool.statistics().completed);
  }
}

INSTANTIATE_TEST_SUITE_P(pools, pool_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
