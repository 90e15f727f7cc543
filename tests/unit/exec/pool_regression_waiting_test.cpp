// Waits, hooks and stand-ins: what once went wrong, and must not again.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/joining_thread.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>

#include "support/pools.hpp"
#include "support/thread_exit.hpp"

namespace {

using heddle::blocking_scope;
using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::eventually;
using heddle_test::gate;
using heddle_test::pool_watchdog;

using namespace std::chrono_literals;

thread_pool_options with(unsigned workers, unsigned max_spares) {
  thread_pool_options o;
  o.workers = workers;
  o.max_spares = max_spares;
  return o;
}

// A task that waits outside of Heddle, having said so, until the gate opens; it has arrived.
future<void> blocked_at(gate& hold, thread_pool& pool) {
  auto f = pool.submit([&hold] {
    const blocking_scope scope("a gate");
    hold.pass();
  });
  hold.await_arrivals(1);
  return f;
}

// A task that keeps its worker until the gate opens; it has arrived.
future<void> busy_at(gate& hold, thread_pool& pool) {
  auto f = pool.submit([&hold] { hold.pass(); });
  hold.await_arrivals(1);
  return f;
}

// The cores as a pool without a fixed number of workers sees them.
std::atomic<unsigned> cores = 2;
unsigned cores_now() noexcept { return cores; }
thread_pool_options following(unsigned from_cores) {
  cores = from_cores;
  thread_pool_options o;
  o.core_count = &cores_now;
  return o;
}
// The pool looks at the cores now and then, between tasks.
bool has_shrunk_to(thread_pool& pool, unsigned workers) {
  return eventually([&] {
    pool.submit([] {}).wait();
    return pool.size() == workers;
  });
}

TEST(pool_regression_waiting, a_start_hook_that_takes_long_does_not_hold_up_wake_ups) {
  gate in_hook, blocked, busy;
  auto o = with(2, 256);
  o.on_worker_start = [&](unsigned index) {
    if (index == 2) in_hook.pass();
  };
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  auto first = blocked_at(blocked, pool);
  auto second = busy_at(busy, pool);
  auto for_a_spare = pool.submit([] {});
  in_hook.await_arrivals(1);
  busy.open();
  for_a_spare.get();
  EXPECT_TRUE(eventually([&] { return pool.statistics().idle == 1; }));
  // The spare is neither at work nor looking for work: this must wake the idle worker.
  pool.submit([] {}).get();
  in_hook.open();
  blocked.open();
  first.get();
  second.get();
}

TEST(pool_regression_waiting, a_start_hook_may_wait_for_a_task_that_another_worker_runs) {
  gate blocked, busy;
  std::atomic<bool> waited = false;
  std::atomic<thread_pool*> self = nullptr;
  auto o = with(2, 256);
  o.on_worker_start = [&](unsigned index) {
    if (index != 2) return;
    if (!eventually([&] { return self.load()->statistics().idle == 1; })) return;
    waited = self.load()->submit([] {}).wait_for(1h);
  };
  thread_pool pool(std::move(o));
  self = &pool;
  const pool_watchdog dog(pool);
  auto first = blocked_at(blocked, pool);
  auto second = busy_at(busy, pool);
  auto for_a_spare = pool.submit([] {});
  busy.open();
  EXPECT_TRUE(eventually([&] { return waited.load(); }));
  blocked.open();
  first.get();
  second.get();
  for_a_spare.get();
}

// Inside a hook no task is there to be counted, so the hook leaves the awaited one to the workers.
TEST(pool_regression_waiting, a_task_that_a_start_hook_waits_for_counts_as_running) {
  gate blocked, busy, running;
  std::atomic<bool> submitted = false, begun = false;
  future<void> awaited;
  auto o = with(2, 256);
  o.on_worker_start = [&](unsigned index) {
    if (index != 2) return;
    if (eventually([&] { return submitted.load(); })) awaited.get();
  };
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  auto first = blocked_at(blocked, pool);
  auto second = busy_at(busy, pool);
  awaited = pool.submit([&] {
    begun = true;
    running.pass();
  });
  submitted = true;
  // The hook waits, which is right, or runs the task, which is not.
  EXPECT_TRUE(eventually([&] { return begun || pool.statistics().blocked == 2; }));
  blocked.open();
  busy.open();
  first.get();
  second.get();
  running.await_arrivals(1);
  EXPECT_FALSE(pool.wait_idle(heddle::prim::deadline_after(50ms)));
  running.open();
  EXPECT_TRUE(pool.wait_idle());
}

TEST(pool_regression_waiting, a_spare_that_becomes_free_takes_the_slot_of_a_starved_wait) {
  thread_pool pool(with(1, 1));
  const pool_watchdog dog(pool);
  promise<void> first_may_end, second_may_end;
  auto first = pool.submit([f = first_may_end.get_future()]() mutable { f.wait(); });
  ASSERT_TRUE(eventually([&] { return pool.statistics().blocked == 1; }));
  auto second = pool.submit([f = second_may_end.get_future()]() mutable { f.wait(); });
  ASSERT_TRUE(eventually([&] { return pool.statistics().blocked == 2; }));
  auto releases_second = pool.submit([&second_may_end] { second_may_end.set_value(); });
  first_may_end.set_value();
  first.get();
  releases_second.get();
  second.get();
}

TEST(pool_regression_waiting, tasks_placed_on_a_worker_taken_away_run_elsewhere) {
  thread_pool pool(following(2));
  const pool_watchdog dog(pool);
  auto placed = pool.submit_to(1, [&pool] {
    auto behind = pool.submit_to(1, [] {});
    cores = 1;
    while (pool.size() != 1) std::this_thread::sleep_for(1ms);
    behind.wait();
  });
  EXPECT_TRUE(eventually([&] {
    pool.submit([] {}).wait();
    return placed.ready();
  }));
}

// With one core left the pool is entitled to two threads, and both wait. Work that is queued then
// waits for the first that comes back, whatever worker that thread once was.
TEST(pool_regression_waiting, a_thread_of_a_worker_taken_away_serves_as_a_spare) {
  auto o = following(2);
  o.max_spares = 1;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  gate blocked;
  auto outlives_its_worker = pool.submit_to(1, [&blocked] {
    const blocking_scope scope("a gate");
    blocked.pass();
  });
  blocked.await_arrivals(1);
  cores = 1;
  ASSERT_TRUE(has_shrunk_to(pool, 1));
  promise<void> set_by_task;
  auto starved = pool.submit([&pool, f = set_by_task.get_future()]() mutable {
    pool.post([] {});
    f.wait();
  });
  ASSERT_TRUE(eventually([&] { return pool.statistics().blocked == 2; }));
  auto sets = pool.submit([&set_by_task] { set_by_task.set_value(); });
  blocked.open();
  outlives_its_worker.get();
  sets.get();
  starved.get();
}

TEST(pool_regression_waiting, cores_that_are_not_there_allow_no_further_threads) {
  auto o = following(1);
  o.max_spares = 0;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  gate blocked;
  auto first = blocked_at(blocked, pool);
  auto second = pool.submit([] {});
  EXPECT_EQ(pool.statistics().threads, 1U);
  blocked.open();
  first.get();
  second.get();
  EXPECT_EQ(pool.statistics().peak_threads, 1U);
}

// While a spare that leaves is still in its stop hook, its number is in use.
TEST(pool_regression_waiting, worker_indexes_stay_below_their_limit_while_spares_leave_slowly) {
  gate in_hook;
  std::atomic<unsigned> highest = 0;
  auto o = with(1, 1);
  o.spare_keep_alive = 1ms;
  o.on_worker_start = [&highest](unsigned index) {
    unsigned seen = highest;
    while (index > seen && !highest.compare_exchange_weak(seen, index)) {
    }
  };
  o.on_worker_stop = [&in_hook](unsigned) { in_hook.pass(); };
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  {
    gate blocked;
    auto first = blocked_at(blocked, pool);
    pool.submit([] {}).get();
    blocked.open();
    first.get();
  }
  in_hook.await_arrivals(1);
  gate blocked;
  auto first = blocked_at(blocked, pool);
  auto needs_a_spare = pool.submit([] {});
  in_hook.open();
  needs_a_spare.get();
  blocked.open();
  first.get();
  EXPECT_LT(highest, pool.worker_index_limit());
}

// What a thread still does when it has left the pool, thread_local destructors for example, is
// nothing that a submitter waits for.
TEST(pool_regression_waiting, submit_does_not_wait_for_the_end_of_a_thread_that_left) {
  gate ending;
  auto o = with(1, 1);
  o.spare_keep_alive = 1ms;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  const auto ends_slowly = [&ending] {
    heddle_test::thread_exit::call([&ending] { ending.pass(); });
  };
  {
    gate blocked;
    auto first = pool.submit([&] {
      ends_slowly();
      const blocking_scope scope("a gate");
      blocked.pass();
    });
    blocked.await_arrivals(1);
    pool.submit(ends_slowly).get();
    blocked.open();
    first.get();
  }
  ending.await_arrivals(1);
  gate blocked;
  auto first = blocked_at(blocked, pool);
  pool.submit([] {}).get();  // on a new thread
  blocked.open();
  first.get();
  ending.open();
}

TEST(pool_regression_waiting, tasks_may_wait_for_each_other_to_any_depth) {
  constexpr std::size_t tasks = 50'000;
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  std::vector<future<void>> futures(tasks);
  auto submits = pool.submit([&] {
    for (std::size_t i = 0; i < tasks; ++i) {
      futures[i] = pool.submit([&futures, i] {
        if (i != 0) futures[i - 1].get();
      });
    }
  });
  submits.get();
  futures.back().get();
}

TEST(pool_regression_waiting, a_joining_thread_that_ends_in_a_task_may_need_the_pool) {
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  std::atomic<bool> ran = false;
  pool.submit([&] {
        const heddle::joining_thread thread("needs the pool",
                                            [&] { pool.submit([&ran] { ran = true; }).get(); });
      })
      .get();
  EXPECT_TRUE(ran);
}

// While a waiter looks at its own deque it holds a task that is not its own to keep; a worker that
// falls asleep just then must not miss it.
TEST(pool_regression_waiting, a_task_that_a_helping_waiter_puts_back_is_seen_by_idle_workers) {
  thread_pool pool(2U);
  const pool_watchdog dog(pool);
  for (int round = 0; round < 2000; ++round) {
    pool.submit([&pool, round] {
          struct flags {
            std::atomic<bool> begun = false, other_ran = false;
          };
          auto seen = std::make_shared<flags>();
          // On the other worker; it ends now before, now after the waiter has come.
          auto awaited = pool.submit([seen, turns = round % 50 * 20] {
            seen->begun = true;
            for (int i = 0; i < turns; ++i) static_cast<void>(seen->begun.load());
          });
          while (!seen->begun) std::this_thread::yield();
          pool.post([seen] { seen->other_ran = true; });
          awaited.get();
          while (!seen->other_ran) std::this_thread::yield();
        })
        .get();
  }
}

// The view waits for the task that runs although that wait starves: the task uses what the view
// holds.
TEST(pool_regression_waiting, a_map_left_by_a_wait_that_starves_outlives_its_tasks) {
  auto o = with(2, 0);
  o.when_starved = heddle::at_spare_cap::fail;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  std::atomic<int> inside = 0;
  std::atomic<bool> other_began = false;
  auto reader = pool.submit([&] {
    const auto own_thread = std::this_thread::get_id();
    const std::vector<int> elements{1, 2, 3, 4};
    const auto function = [&, text = std::string(100, 'x')](int i) {
      if (std::this_thread::get_id() == own_thread) {
        while (!other_began) std::this_thread::yield();
        return i;
      }
      ++inside;
      other_began = true;
      while (pool.statistics().starved == 0) std::this_thread::yield();
      std::this_thread::sleep_for(5ms);
      const int result = i + static_cast<int>(text.size());
      --inside;
      return result;
    };
    try {
      for (const int r : pool.map(function, elements, 4)) EXPECT_GT(r, 0);
      ADD_FAILURE() << "nothing starved";
    } catch (const heddle::would_starve&) {
      EXPECT_EQ(inside, 0);
    }
  });
  reader.get();
}

TEST(pool_regression_waiting, a_pool_may_die_on_a_worker_that_its_own_pool_cannot_spare) {
  auto o = with(1, 0);
  o.when_starved = heddle::at_spare_cap::fail;
  thread_pool outer(std::move(o));
  const pool_watchdog dog(outer);
  std::atomic<bool> ran = false;
  outer
      .submit([&] {
        thread_pool inner(1U);
        inner.post([&] {
          while (outer.statistics().starved == 0) std::this_thread::sleep_for(1ms);
          ran = true;
        });
      })
      .get();
  EXPECT_TRUE(ran);
}

}  // namespace
