// What both forms of forking have in common: all at once, and one after the other.
#include <heddle/coro/fork.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>

#include <latch>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"
#include "tasks.hpp"

namespace {

using heddle::cancelled;
using heddle::thread_pool;
using heddle::coro::fork;
using heddle::coro::fork_join;
using heddle::coro::join;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;
using heddle_test::late_number;
using heddle_test::number;
using heddle_test::pool_watchdog;

struct at_once {
  static constexpr const char* name = "fork_join";

  static task<long> fib(int n) {
    if (n < 2) co_return n;
    const auto [a, b] = co_await fork_join(fib(n - 1), fib(n - 2));
    co_return a + b;
  }
  static task<int> deep(int n) {
    if (n == 0) co_return 0;
    const auto [below, one] = co_await fork_join(deep(n - 1), number(1));
    co_return below + one;
  }
  static task<int> waits_below(int depth) {
    if (depth == 0) co_return co_await late_number(1);
    const auto [a, b] = co_await fork_join(waits_below(depth - 1), waits_below(depth - 1));
    co_return a + b;
  }
  template <class T>
  static task<bool> differ(task<T> a, task<T> b) {
    const auto [first, second] = co_await fork_join(std::move(a), std::move(b));
    co_return first != second;
  }
};

struct one_by_one {
  static constexpr const char* name = "fork";

  static task<long> fib(int n) {
    if (n < 2) co_return n;
    auto a = co_await fork(fib(n - 1));
    const long b = co_await fib(n - 2);
    co_await join();
    co_return a.get() + b;
  }
  static task<int> deep(int n) {
    if (n == 0) co_return 0;
    auto below = co_await fork(deep(n - 1));
    co_await join();
    co_return below.get() + 1;
  }
  // Every other one ends without having joined.
  static task<int> waits_below(int depth) {
    if (depth == 0) co_return co_await late_number(1);
    auto a = co_await fork(waits_below(depth - 1));
    auto b = co_await fork(waits_below(depth - 1));
    if (depth % 2 == 0) co_return 2 << (depth - 1);
    co_await join();
    co_return a.get() + b.get();
  }
  template <class T>
  static task<bool> differ(task<T> a, task<T> b) {
    auto first = co_await fork(std::move(a));
    const T second = co_await std::move(b);
    co_await join();
    co_return first.get() != second;
  }
};

template <class Form>
class coro_forks : public testing::Test {};
using forms = testing::Types<at_once, one_by_one>;
struct names {
  template <class Form>
  static std::string GetName(int) {
    return Form::name;
  }
};
TYPED_TEST_SUITE(coro_forks, forms, names);

TYPED_TEST(coro_forks, compute_on_pools_of_all_sizes) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    EXPECT_EQ(spawn(pool, TypeParam::fib(16)).get(), 987);
  }
}

TYPED_TEST(coro_forks, compute_on_any_executor) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  heddle::inline_executor here;
  heddle::strand in_turn(pool);
  EXPECT_EQ(sync_wait(TypeParam::fib(12)), 144);
  EXPECT_EQ(spawn(here, TypeParam::fib(12)).get(), 144);
  EXPECT_EQ(spawn(in_turn, TypeParam::fib(12)).get(), 144);
  heddle::manual_executor mine;
  auto result = spawn(mine, TypeParam::fib(12));
  while (mine.run_one()) {
  }
  EXPECT_EQ(result.get(), 144);
}

TYPED_TEST(coro_forks, the_rest_is_taken_while_the_first_computes) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  std::latch both(2);
  const auto meets = [&]() -> task<std::thread::id> {
    both.arrive_and_wait();  // blocks its thread without the pool's knowledge
    co_return std::this_thread::get_id();
  };
  EXPECT_TRUE(spawn(pool, TypeParam::differ(meets(), meets())).get());
}

TYPED_TEST(coro_forks, wait_below) {
  for (const unsigned workers : {1u, 2u, 3u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    EXPECT_EQ(spawn(pool, TypeParam::waits_below(7)).get(), 128);
  }
}

TYPED_TEST(coro_forks, use_no_stack) {
  constexpr int depth = HEDDLE_TSAN ? 10'000 : 100'000;
  thread_pool pool(1);
  EXPECT_EQ(spawn(pool, TypeParam::deep(depth)).get(), depth);
  EXPECT_EQ(sync_wait(TypeParam::deep(depth)), depth);
}

TYPED_TEST(coro_forks, end_in_a_pool_that_drains) {
  for (int round = 0; round < 20; ++round) {
    thread_pool pool(2);
    const pool_watchdog dog(pool);
    auto result = spawn(pool, TypeParam::fib(14));
    pool.shutdown(heddle::shutdown_mode::drain);
    EXPECT_EQ(result.get(), 377);
  }
}

TYPED_TEST(coro_forks, end_if_they_have_begun_in_a_pool_that_gives_up) {
  for (int round = 0; round < 20; ++round) {
    thread_pool pool(2);
    const pool_watchdog dog(pool);
    auto result = spawn(pool, TypeParam::waits_below(5));
    pool.shutdown(heddle::shutdown_mode::cancel);
    try {
      EXPECT_EQ(result.get(), 32);
    } catch (const cancelled&) {
    }
  }
}

}  // namespace
