#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/fork.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/with_timeout.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <ranges>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cancelled;
using heddle::future;
using heddle::manual_reset_event;
using heddle::thread_pool;
using heddle::timed_out;
using heddle::coro::delay;
using heddle::coro::fork;
using heddle::coro::fork_join;
using heddle::coro::join;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::task;
using heddle::coro::with_timeout;

class coro_fork_stress : public heddle_test::pool_test {};
INSTANTIATE_TEST_SUITE_P(shapes, coro_fork_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

// Every task has its own random numbers, whatever thread it runs on.
unsigned next_seed(unsigned seed, unsigned child) { return (seed * 2 + child) * 2654435761u; }

task<long> plain(int n) {
  if (n < 2) co_return n;
  const auto [a, b] = co_await fork_join(plain(n - 1), plain(n - 2));
  co_return a + b;
}

task<long> plain_forks(int n) {
  if (n < 2) co_return n;
  auto a = co_await fork(plain_forks(n - 1));
  const long b = co_await plain_forks(n - 2);
  co_await join();
  co_return a.get() + b;
}

TEST_P(coro_fork_stress, fib) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(spawn(pool, plain(15)).get(), 610);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(spawn(pool, plain_forks(15)).get(), 610);
}

struct places {
  thread_pool& pool;
  thread_pool& other;
  unsigned failures;  // in 1000 tasks
};

class failure : public std::runtime_error {
 public:
  failure() : runtime_error("by chance") {}
};

// Waits, moves, blocks, helps and fails by chance, before, between and behind its children.
task<long> restless(const places& at, int n, unsigned seed) {
  std::minstd_rand random(seed | 1);
  const auto chance = [&](unsigned of_1000) { return random() / 7 % 1000 < of_1000; };
  if (chance(30)) co_await delay(std::chrono::microseconds(random() / 7 % 30));
  if (chance(at.failures)) throw failure();
  if (n < 2) {
    if (chance(20)) co_await schedule_on(at.other);
    co_return n;
  }
  const auto first = [&] { return restless(at, n - 1, next_seed(seed, 0)); };
  const auto second = [&] { return restless(at, n - 2, next_seed(seed, 1)); };
  long a = 0;
  long b = 0;
  if (chance(10)) {
    a = spawn(at.pool, first()).get();
    b = co_await second();
  } else if (chance(10)) {
    heddle::parallel_invoke([&] { b = spawn(at.pool, second()).get(); }, [] {});
    a = co_await first();
  } else if (chance(400)) {
    if (chance(100)) co_await fork(restless(at, 1, next_seed(seed, 2)));
    auto one = co_await fork(first());
    if (chance(50)) co_await delay(1us);
    if (chance(at.failures)) throw failure();
    if (chance(100)) {
      auto other = co_await fork(second());
      co_await join();
      b = other.get();
    } else {
      b = co_await second();
      co_await join();
    }
    a = one.get();
    if (chance(100)) co_await fork(restless(at, 2, next_seed(seed, 3)));
  } else if (chance(300)) {
    const auto both = co_await fork_join(std::views::iota(0, 2) | std::views::transform([&](int i) {
                                           return i == 0 ? first() : second();
                                         }));
    a = both[0];
    b = both[1];
  } else {
    std::tie(a, b) = co_await fork_join(first(), second());
  }
  if (chance(at.failures)) throw failure();
  if (chance(20)) co_await delay(1us);
  co_return a + b;
}

TEST_P(coro_fork_stress, tasks_that_wait_and_move) {
  thread_pool pool(options());
  thread_pool other(2);
  const heddle_test::pool_watchdog dog(pool);
  const places at{pool, other, 0};
  for (unsigned i = 0; i < 10; ++i) EXPECT_EQ(spawn(pool, restless(at, 12, i)).get(), 144);
}

TEST_P(coro_fork_stress, tasks_that_fail) {
  thread_pool pool(options());
  thread_pool other(2);
  const heddle_test::pool_watchdog dog(pool);
  const heddle_test::unhandled_log log;
  const places at{pool, other, 5};
  for (unsigned i = 0; i < 40; ++i) {
    try {
      EXPECT_EQ(spawn(pool, restless(at, 10, i)).get(), 55);
    } catch (const failure&) {
    } catch (const cancelled&) {
    }
  }
}

TEST_P(coro_fork_stress, tasks_that_are_stopped) {
  thread_pool pool(options());
  thread_pool other(2);
  const heddle_test::pool_watchdog dog(pool);
  const places at{pool, other, 0};
  for (unsigned i = 0; i < 40; ++i) {
    try {
      EXPECT_EQ(
          spawn(pool, with_timeout(restless(at, 11, i), std::chrono::microseconds(20 * i))).get(),
          89);
    } catch (const timed_out&) {
    } catch (const cancelled&) {
    }
  }
}

// Many at the same time, and the pool is shut down in the middle.
TEST_P(coro_fork_stress, the_pool_ends) {
  for (unsigned round = 0; round < 20; ++round) {
    thread_pool pool(options());
    thread_pool other(1);
    const heddle_test::pool_watchdog dog(pool);
    const places at{pool, other, 0};
    std::vector<future<long>> all;
    for (unsigned i = 0; i < 6; ++i) all.push_back(spawn(pool, restless(at, 9, round * 6 + i)));
    pool.shutdown(round % 2 == 0 ? heddle::shutdown_mode::drain : heddle::shutdown_mode::cancel);
    for (auto& f : all) {
      try {
        EXPECT_EQ(f.get(), 34);
      } catch (const cancelled&) {
      } catch (const heddle::rejected&) {
      }
    }
  }
}

}  // namespace
