#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/fork.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/this_task.hpp>
#include <heddle/coro/with_timeout.hpp>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"
#include "tasks.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::manual_reset_event;
using heddle::no_state;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle::coro::delay;
using heddle::coro::fork_join;
using heddle::coro::gather;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;
using heddle_test::counted;
using heddle_test::failing;
using heddle_test::late_number;
using heddle_test::noted_context;
using heddle_test::number;
using heddle_test::pool_watchdog;
using heddle_test::until_stopped;

task<long> fib(int n) {
  if (n < 2) co_return n;
  const auto [a, b] = co_await fork_join(fib(n - 1), fib(n - 2));
  co_return a + b;
}

TEST(coro_fork, elsewhere_each_task_ends_before_the_next_begins) {
  const auto task_of = [](std::string& order, char c) -> task<> {
    order += c;
    co_await delay(100us);
    order += c;
  };
  const auto body = [&]() -> task<std::string> {
    std::string order;
    co_await fork_join(task_of(order, 'a'), task_of(order, 'b'), task_of(order, 'c'));
    co_return order;
  };
  EXPECT_EQ(sync_wait(body()), "aabbcc");
  heddle::inline_executor here;
  EXPECT_EQ(spawn(here, body()).get(), "aabbcc");
}

TEST(coro_fork, a_worker_that_nobody_helps_runs_them_in_their_order) {
  thread_pool pool(1);
  std::string order;
  const auto task_of = [&](char c) -> task<> {
    order += c;
    co_return;
  };
  spawn(pool, fork_join(task_of('a'), task_of('b'), task_of('c'))).get();
  EXPECT_EQ(order, "abc");
}

TEST(coro_fork, the_rest_goes_on_behind_a_task_that_waits) {
  for (const unsigned workers : {1u, 2u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    manual_reset_event gate;
    const auto waits = [&](int n) -> task<int> {
      co_await gate;
      co_return n;
    };
    const auto opens = [&]() -> task<> {
      gate.set();
      co_return;
    };
    const auto [a, b, c] = spawn(pool, fork_join(waits(1), waits(2), opens())).get();
    EXPECT_EQ(a + b, 3);
    EXPECT_EQ(c, heddle::coro::unit());
  }
}

task<int> waits_below(int depth) {
  if (depth == 0) co_return co_await late_number(1);
  const auto [a, b, c] =
      co_await fork_join(waits_below(depth - 1), waits_below(depth - 1), waits_below(depth - 1));
  co_return a + b + c;
}

TEST(coro_fork, tasks_that_wait_below) {
  for (const unsigned workers : {1u, 2u, 3u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    EXPECT_EQ(spawn(pool, waits_below(5)).get(), 243);
  }
}

TEST(coro_fork, tasks_that_move_to_other_executors) {
  thread_pool pool(1);
  thread_pool other(1);
  heddle::inline_executor here;
  const pool_watchdog dog(pool);
  const auto wanders = [&]() -> task<int> {
    co_await schedule_on(other);
    const auto [a, b] = co_await fork_join(number(1), number(2));
    co_await schedule_on(pool);
    co_await schedule_on(here);
    co_return a + b;
  };
  const auto [a, b] = spawn(pool, fork_join(wanders(), wanders())).get();
  EXPECT_EQ(a + b, 6);
}

TEST(coro_fork, values_of_all_kinds) {
  thread_pool pool(1);
  int x = 5;
  const auto reference = [&]() -> task<int&> { co_return x; };
  const auto owned = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(9); };
  const auto text = []() -> task<std::string> { co_return "converted"; };
  const auto nothing = []() -> task<> { co_return; };
  auto [at, p, s, u] = spawn(pool, fork_join(reference(), owned(), text(), nothing())).get();
  EXPECT_EQ(at, &x);
  EXPECT_EQ(*p, 9);
  EXPECT_EQ(s, "converted");
  EXPECT_EQ(u, heddle::coro::unit());
}

TEST(coro_fork, ranges) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  const auto squares = [](int n) {
    return std::views::iota(0, n) | std::views::transform([](int i) {
             return i % 3 == 0 ? late_number(i * i) : number(i * i);
           });
  };
  EXPECT_TRUE(spawn(pool, fork_join(squares(0))).get().empty());
  EXPECT_EQ(spawn(pool, fork_join(squares(5))).get(), (std::vector<int>{0, 1, 4, 9, 16}));
  EXPECT_EQ(sync_wait(fork_join(squares(4))), (std::vector<int>{0, 1, 4, 9}));
  std::vector<task<bool>> flags;
  for (int i = 0; i < 3; ++i) flags.push_back([]() -> task<bool> { co_return true; }());
  EXPECT_EQ(spawn(pool, fork_join(std::move(flags))).get(), std::vector<bool>(3, true));
}

TEST(coro_fork, a_range_that_throws_counts_as_a_task_that_does) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  for (const int last : {0, 1, 5}) {
    const auto throws = std::views::iota(0, 10) | std::views::transform([last](int i) {
                          if (i == last) throw std::out_of_range("enough");
                          return late_number(i);
                        });
    EXPECT_THROW(spawn(pool, fork_join(throws)).get(), std::out_of_range);
  }
}

struct assignment_throws {
  assignment_throws() = default;
  assignment_throws(const assignment_throws&) = default;
  assignment_throws& operator=(const assignment_throws&) { throw std::runtime_error("assigned"); }
};

TEST(coro_fork, an_assignment_that_throws_is_a_failure_of_the_task) {
  const auto one = []() -> task<assignment_throws> { co_return assignment_throws(); };
  EXPECT_THROW(sync_wait(fork_join(one(), number(1))), std::runtime_error);
}

TEST(coro_fork, throws_what_failed_first_and_begins_nothing_behind_it) {
  thread_pool pool(1);
  const pool_watchdog dog(pool);
  bool begun = false;
  const auto begins = [&](counted) -> task<> {
    begun = true;
    co_return;
  };
  const auto body = [&]() -> task<std::string> {
    std::string thrown = "nothing";
    try {
      co_await fork_join(failing("first"), begins(counted()), begins(counted()));
    } catch (const std::runtime_error& e) {
      thrown = e.what();
    }
    co_return thrown;
  };
  EXPECT_EQ(spawn(pool, body()).get(), "first");
  EXPECT_EQ(sync_wait(body()), "first");
  EXPECT_FALSE(begun);
  EXPECT_EQ(counted::alive, 0);
}

TEST(coro_fork, a_failure_stops_those_that_wait) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  std::atomic<int> begun{0};
  std::atomic<int> stopped{0};
  const auto waits = [&]() -> task<> {
    ++begun;
    co_await until_stopped(stopped);
  };
  const auto nested = [&]() -> task<> { co_await fork_join(waits(), waits()); };
  const auto gathers = [&]() -> task<> { co_await gather(waits()); };
  const auto fails = [&]() -> task<> {
    while (begun != 4) co_await delay(100us);  // another worker may be behind with one of them
    throw std::runtime_error("enough");
  };
  EXPECT_THROW(spawn(pool, fork_join(waits(), nested(), gathers(), fails())).get(),
               std::runtime_error);
  EXPECT_EQ(stopped, 4);
}

TEST(coro_fork, a_stop_from_outside_reaches_the_tasks) {
  thread_pool pool(1);
  const pool_watchdog dog(pool);
  std::atomic<int> stopped{0};
  const auto body = [&]() -> task<> {
    co_await fork_join(until_stopped(stopped), until_stopped(stopped));
  };
  EXPECT_THROW(spawn(pool, heddle::coro::with_timeout(body(), 2ms)).get(), heddle::timed_out);
  EXPECT_EQ(stopped, 2);
}

TEST(coro_fork, a_task_that_computes_sees_the_failure_of_another) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  std::latch both(2);
  const auto computes = [&]() -> task<> {
    const auto stop = co_await heddle::coro::get_stop_token();
    both.arrive_and_wait();
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  const auto fails = [&]() -> task<> {
    both.arrive_and_wait();
    throw std::runtime_error("enough");
    co_return;
  };
  EXPECT_THROW(spawn(pool, fork_join(computes(), fails())).get(), std::runtime_error);
}

TEST(coro_fork, further_failures_go_to_the_handler) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  const heddle_test::unhandled_log log;
  std::latch both(2);
  const auto fails = [&]() -> task<> {
    both.arrive_and_wait();
    throw std::runtime_error("one of two");
    co_return;
  };
  EXPECT_THROW(spawn(pool, fork_join(fails(), fails())).get(), std::runtime_error);
  EXPECT_EQ(log.count(), 1u);
}

TEST(coro_fork, bad_input) {
  task<int> gone;
  EXPECT_THROW(static_cast<void>(fork_join(number(1), std::move(gone))), no_state);
  std::vector<task<int>> some(2);
  EXPECT_THROW(sync_wait(fork_join(std::move(some))), no_state);
}

TEST(coro_fork, never_awaited_destroys_its_tasks) {
  const auto holds = [](counted) -> task<> { co_return; };
  {
    const auto all = fork_join(holds(counted()), holds(counted()));
    EXPECT_EQ(counted::alive, 2);
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(coro_fork, each_has_the_context_of_who_awaits_them_and_that_keeps_its_own) {
  noted_context outer;
  noted_context inner;
  {
    thread_pool pool(2);
    const pool_watchdog dog(pool);
    const auto child = [&](bool late) -> task<bool> {
      const bool mine = heddle::exchange_current(&inner) == &outer;
      if (late) co_await delay(100us);
      const bool still = heddle::current_context() == &inner;
      co_return mine&& still;
    };
    const auto body = [&]() -> task<bool> {
      const auto [a, b, c] = co_await fork_join(child(true), child(false), child(true));
      const bool mine = heddle::current_context() == &outer;
      co_return a&& b&& c&& mine;
    };
    heddle::future<bool> done;
    {
      const heddle::context_scope around(&outer);
      done = spawn(pool, body());
    }
    EXPECT_TRUE(done.get());
  }
  EXPECT_EQ(outer.held, 0);
  EXPECT_EQ(inner.held, 0);
}

// A run of tasks inside of another one, on the same lane.
TEST(coro_fork, inside_of_parallel_invoke_and_the_other_way_round) {
  for (const unsigned workers : {1u, 2u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    const auto invokes = [&](int n) -> task<long> {
      long a = 0;
      long b = 0;
      heddle::parallel_invoke([&] { a = spawn(pool, fib(n)).get(); },
                              [&] { b = spawn(pool, fib(n)).get(); });
      co_return a + b;
    };
    const auto body = [&]() -> task<long> {
      const auto [a, b] = co_await fork_join(invokes(10), invokes(9));
      const long c = spawn(pool, fib(8)).get();
      co_return a + b + c;
    };
    EXPECT_EQ(spawn(pool, body()).get(), 2 * 55 + 2 * 34 + 21);
  }
}

// Two workers and no spare. One waits for a function of parallel_invoke that the other has taken,
// and which runs a coroutine whose rest the first could take: it would find nobody to run it.
TEST(coro_fork, a_worker_that_waits_leaves_the_rest_of_a_coroutine_to_others) {
  thread_pool_options options;
  options.workers = 2;
  options.max_spares = 0;
  thread_pool pool(std::move(options));
  const pool_watchdog dog(pool);
  std::atomic<bool> taken{false};
  std::thread::id taken_by;
  std::thread::id rest_by;
  const auto slow_number = [](int n) -> task<int> {
    std::this_thread::sleep_for(1ms);  // time enough for the one that waits
    co_return n;
  };
  const auto rest_number = [&](int n) -> task<int> {
    rest_by = std::this_thread::get_id();
    co_return n;
  };
  const auto body = [&]() -> task<int> {
    const auto [a, b] = co_await fork_join(slow_number(1), rest_number(2));
    co_return a + b;
  };
  // The waiter soon sleeps; now and then it is in time.
  for (int round = 0; round < 50; ++round) {
    taken = false;
    int sum = 0;
    pool.submit([&] {
          heddle::parallel_invoke(
              [&] {
                taken_by = std::this_thread::get_id();
                taken = true;
                sum = spawn(pool, body()).get();
              },
              [&] {
                while (!taken) std::this_thread::yield();
              });
        })
        .get();
    ASSERT_EQ(sum, 3);
    ASSERT_EQ(rest_by, taken_by);
  }
}

}  // namespace
