// Waiting inside a worker: it never starves the pool, and buries nothing under the waiter.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/sync/event_count.hpp>
#include <heddle/sync/mutex.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle_test::eventually;
using heddle_test::pool_watchdog;

using namespace std::chrono_literals;

class waiting : public heddle_test::pool_test {};

// How many tasks are on this thread's stack.
thread_local int depth = 0;
struct on_stack {
  on_stack() { ++depth; }
  ~on_stack() { --depth; }
};

TEST_P(waiting, on_nested_tasks_ten_times_the_workers_deep) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::function<unsigned(unsigned)> nest = [&](unsigned levels) -> unsigned {
    if (levels == 0) return 0;
    return pool.submit(nest, levels - 1).get() + 1;
  };
  std::vector<future<unsigned>> futures;
  for (unsigned i = 0; i < 2 * workers(); ++i) futures.push_back(pool.submit(nest, 10 * workers()));
  for (auto& f : futures) EXPECT_EQ(f.get(), 10 * workers());
}

TEST_P(waiting, fibonacci_by_recursion) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  struct fibonacci {
    thread_pool& pool;
    unsigned operator()(unsigned n) const {
      if (n < 2) return n;
      auto left = pool.submit(fibonacci{pool}, n - 1);
      const unsigned right = (*this)(n - 2);
      return left.get() + right;
    }
  };
  EXPECT_EQ(pool.submit(fibonacci{pool}, 16U).get(), 987U);
}

// Both results are awaited in the order in which the tasks were submitted, the worst for a deque.
TEST_P(waiting, fibonacci_awaiting_the_oldest_first) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  struct fibonacci {
    thread_pool& pool;
    unsigned operator()(unsigned n) const {
      if (n < 2) return n;
      auto left = pool.submit(fibonacci{pool}, n - 1);
      auto right = pool.submit(fibonacci{pool}, n - 2);
      return left.get() + right.get();
    }
  };
  EXPECT_EQ(pool.submit(fibonacci{pool}, 13U).get(), 233U);
}

TEST_P(waiting, on_an_unstarted_task_of_the_pool_runs_it_in_place) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle_test::gate hold;
  // Every worker but one is busy, so nobody else can have begun the inner task.
  std::vector<future<void>> others;
  for (unsigned i = 1; i < workers(); ++i) others.push_back(pool.submit([&hold] { hold.pass(); }));
  hold.await_arrivals(workers() - 1);
  auto same = pool.submit([&pool] {
    auto inner = pool.submit([] { return std::this_thread::get_id(); });
    return inner.get() == std::this_thread::get_id();
  });
  EXPECT_TRUE(same.get());
  EXPECT_GE(pool.statistics().helped, 1U);
  hold.open();
  heddle::wait(others);
}

// The waiter holds a lock that every unrelated task wants: run on its stack, any would deadlock.
TEST_P(waiting, while_holding_a_lock_that_other_tasks_want) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::mutex lock;
  std::atomic<unsigned> ran = 0;
  std::vector<future<void>> futures;
  for (unsigned i = 0; i < 4 * workers(); ++i) {
    futures.push_back(pool.submit([&] {
      const std::lock_guard guard(lock);
      ++ran;
      pool.submit([&ran] { ++ran; }).get();
    }));
  }
  for (auto& f : futures) f.get();
  EXPECT_EQ(ran, 8 * workers());
}

TEST_P(waiting, while_holding_a_lock_of_heddle) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle::mutex lock;
  std::atomic<unsigned> ran = 0;
  std::vector<future<void>> futures;
  for (unsigned i = 0; i < 8 * workers(); ++i) {
    futures.push_back(pool.submit([&] {
      const std::lock_guard guard(lock);
      pool.submit([&ran] { ++ran; }).get();
    }));
  }
  for (auto& f : futures) f.get();
  EXPECT_EQ(ran, 8 * workers());
}

TEST_P(waiting, runs_no_unrelated_task_on_the_waiters_stack) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> deepest = 0;
  std::vector<promise<void>> promises(2 * workers());
  std::vector<future<void>> waiters;
  for (promise<void>& p : promises) {
    waiters.push_back(pool.submit([f = p.get_future()]() mutable {
      const on_stack here;
      f.get();
    }));
  }
  std::vector<future<void>> unrelated;
  for (int i = 0; i < 200; ++i) {
    unrelated.push_back(pool.submit([&deepest] {
      const on_stack here;
      if (depth > deepest) deepest = depth;
    }));
  }
  for (auto& f : unrelated) f.get();  // they run although more wait than there are workers
  EXPECT_EQ(deepest, 1);
  for (promise<void>& p : promises) p.set_value();
  for (auto& f : waiters) f.get();
}

// y waits for what the waiter does after x. Whoever runs the newest task while it waits for x
// buries itself under y.
TEST_P(waiting, is_not_buried_under_a_task_that_waits_for_the_waiter) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (int round = 0; round < 50; ++round) {
    auto outer = pool.submit([&pool] {
      promise<int> after_x;
      auto x = pool.submit([] { return 1; });
      auto y = pool.submit([f = after_x.get_future()]() mutable { return f.get(); });
      const int first = x.get();
      after_x.set_value(first + 1);
      return first + y.get();
    });
    EXPECT_EQ(outer.get(), 3);
  }
}

TEST_P(waiting, is_not_buried_when_x_itself_waits_for_unrelated_work) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto outer = pool.submit([&pool] {
    promise<int> after_x;
    auto y = pool.submit([f = after_x.get_future()]() mutable { return f.get(); });
    auto x = pool.submit([&pool] { return pool.submit([] { return 1; }).get(); });
    after_x.set_value(x.get() + 1);
    return y.get();
  });
  EXPECT_EQ(outer.get(), 2);
}

TEST_P(waiting, timed_stoppable_and_any_of_waits_run_nothing) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto outer = pool.submit([&pool] {
    const auto here = std::this_thread::get_id();
    const auto elsewhere = [here] { return std::this_thread::get_id() != here; };
    bool all = true;
    {
      auto f = pool.submit(elsewhere);
      EXPECT_TRUE(f.wait_for(1h));
      all = all && f.get();
    }
    {
      auto f = pool.submit(elsewhere);
      EXPECT_TRUE(f.wait(heddle::prim::stop_source().get_token()));
      all = all && f.get();
    }
    {
      auto f = pool.submit(elsewhere);
      all = all && f.get(heddle::prim::stop_source().get_token());
    }
    for (const auto condition :
         {heddle::wait_condition::first_completed, heddle::wait_condition::first_exception}) {
      std::vector<future<bool>> some;
      for (int i = 0; i < 3; ++i) some.push_back(pool.submit(elsewhere));
      EXPECT_FALSE(heddle::wait(some, condition).done.empty());
      for (future<bool>& f : heddle::as_completed(some)) all = all && f.get();
    }
    {
      std::vector<future<bool>> some;
      for (int i = 0; i < 3; ++i) some.push_back(pool.submit(elsewhere));
      EXPECT_TRUE(heddle::wait_for(some, 1h).not_done.empty());
      for (auto& f : some) all = all && f.get();
    }
    return all;
  });
  EXPECT_TRUE(outer.get());
}

TEST_P(waiting, for_all_of_its_own_tasks) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::function<int(int)> tree = [&](int levels) {
    if (levels == 0) return 1;
    std::vector<future<int>> children;
    for (int i = 0; i < 3; ++i) children.push_back(pool.submit(tree, levels - 1));
    EXPECT_TRUE(heddle::wait(children).not_done.empty());
    int leaves = 0;
    for (auto& c : children) leaves += c.get();
    return leaves;
  };
  EXPECT_EQ(pool.submit(tree, 5).get(), 243);
}

TEST_P(waiting, as_completed_inside_tasks) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::function<int(int)> tree = [&](int levels) {
    if (levels == 0) return 1;
    std::vector<future<int>> children;
    for (int i = 0; i < 3; ++i) children.push_back(pool.submit(tree, levels - 1));
    int leaves = 0;
    for (auto& c : heddle::as_completed(children)) leaves += c.get();
    return leaves;
  };
  EXPECT_EQ(pool.submit(tree, 4).get(), 81);
}

TEST_P(waiting, on_tasks_of_another_pool) {
  thread_pool pool(options());
  thread_pool other(options());
  const pool_watchdog dog(pool);
  const std::function<int(int)> ping_pong = [&](int n) -> int {
    if (n == 0) return 0;
    return (n % 2 == 0 ? pool : other).submit(ping_pong, n - 1).get() + 1;
  };
  std::vector<future<int>> futures;
  for (unsigned i = 0; i < 2 * workers(); ++i) futures.push_back(pool.submit(ping_pong, 20));
  for (auto& f : futures) EXPECT_EQ(f.get(), 20);
}

TEST_P(waiting, on_a_task_that_was_placed_on_the_waiter) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (unsigned w = 0; w < workers(); ++w) {
    auto outer = pool.submit_to(w, [&pool, w] {
      int sum = 0;
      for (unsigned target = 0; target < pool.size(); ++target) {
        sum += pool.submit_to(target, [] { return 1; }).get();
      }
      return sum + pool.submit_to(w, [] { return 1; }).get();
    });
    EXPECT_EQ(outer.get(), static_cast<int>(workers()) + 1);
  }
}

// The placed task is not for the waiter to run, and its own worker waits as well.
TEST_P(waiting, timed_on_tasks_placed_on_workers_that_wait) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::vector<future<void>> futures;
  for (unsigned w = 0; w < workers(); ++w) {
    futures.push_back(pool.submit_to(w, [&pool, w] {
      auto next = pool.submit_to((w + 1) % pool.size(), [] {});
      EXPECT_TRUE(next.wait_for(1h));
      auto own = pool.submit_to(w, [] {});
      EXPECT_TRUE(own.wait_for(1h));
    }));
  }
  for (auto& f : futures) f.get();
}

TEST_P(waiting, on_a_continuation) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto outer = pool.submit([&pool] {
    auto f = pool.submit([] { return 1; });
    for (int i = 0; i < 20; ++i) f = f.then([](int v) { return v + 1; });
    return f.get();
  });
  EXPECT_EQ(outer.get(), 21);
}

TEST_P(waiting, on_an_event_of_heddle_gives_the_worker_away) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle::event_count changed;
  std::atomic<bool> set = false;
  std::vector<future<void>> waiters;
  for (unsigned i = 0; i < 2 * workers(); ++i) {
    waiters.push_back(pool.submit([&] { changed.await([&] { return set.load(); }); }));
  }
  pool.submit([&] {
        set = true;
        changed.notify_all();
      })
      .get();
  for (auto& f : waiters) f.get();
}

TEST_P(waiting, blocking_scope_gives_the_worker_away) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (int round = 0; round < 20; ++round) {
    std::latch others(static_cast<std::ptrdiff_t>(workers()));
    std::vector<future<void>> futures;
    for (unsigned i = 0; i < workers(); ++i) {
      futures.push_back(pool.submit([&others] {
        const heddle::blocking_scope scope("a foreign wait");
        others.wait();
      }));
    }
    for (unsigned i = 0; i < workers(); ++i) {
      futures.push_back(pool.submit([&others] { others.arrive_and_wait(); }));
    }
    for (auto& f : futures) f.get();
  }
  EXPECT_GE(pool.statistics().blocked, 1U);
}

TEST_P(waiting, blocking_scopes_nest_and_waits_inside_them_work) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto f = pool.submit([&pool] {
    const heddle::blocking_scope outer("outer");
    const heddle::blocking_scope inner;
    auto g = pool.submit([] { return 4; });
    EXPECT_TRUE(g.wait_for(1h));
    return g.get() + pool.submit([] { return 1; }).get();
  });
  EXPECT_EQ(f.get(), 5);
}

TEST_P(waiting, wait_idle_on_a_worker_leaves_out_those_who_wait_so) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  auto first = pool.submit([&] {
    for (int i = 0; i < 20; ++i) pool.post([&ran] { ++ran; });
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(ran, 20);
  });
  first.get();
  std::vector<future<void>> several;
  for (unsigned i = 0; i < workers() + 1; ++i) {
    several.push_back(pool.submit([&pool] { EXPECT_TRUE(pool.wait_idle()); }));
  }
  for (auto& f : several) f.get();
  EXPECT_TRUE(pool.wait_idle());
}

TEST_P(waiting, wait_idle_gives_up_at_its_deadline) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  EXPECT_TRUE(pool.wait_idle(heddle::prim::time_point::min()));
  heddle_test::gate hold;
  pool.post([&hold] { hold.pass(); });
  EXPECT_FALSE(pool.wait_idle(heddle::prim::clock::now() + 3ms));
  EXPECT_FALSE(pool.wait_idle(heddle::prim::time_point::min()));
  hold.open();
  EXPECT_TRUE(pool.wait_idle());
}

TEST_P(waiting, spares_are_bounded_and_the_waits_beyond_counted) {
  auto o = options();
  o.max_spares = 3;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  std::vector<promise<void>> promises(workers() + 10);
  std::vector<future<void>> waiters;
  std::atomic<unsigned> begun = 0;
  for (promise<void>& p : promises) {
    waiters.push_back(pool.submit([&begun, f = p.get_future()]() mutable {
      ++begun;
      f.get();
    }));
  }
  // The workers and three spares wait; the last of them without anybody in their place.
  ASSERT_TRUE(eventually([&] { return begun == workers() + 3; }));
  ASSERT_TRUE(eventually([&] { return pool.statistics().starved >= workers(); }));
  EXPECT_EQ(pool.statistics().threads, workers() + 3);
  for (promise<void>& p : promises) p.set_value();
  for (auto& f : waiters) f.get();
  EXPECT_EQ(pool.statistics().peak_threads, workers() + 3);
}

TEST_P(waiting, spares_leave_when_nobody_needs_them) {
  auto o = options();
  o.spare_keep_alive = 20ms;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  for (int round = 0; round < 2; ++round) {
    std::vector<promise<void>> promises(workers() + 5);
    std::vector<future<void>> waiters;
    std::atomic<unsigned> begun = 0;
    for (promise<void>& p : promises) {
      waiters.push_back(pool.submit([&begun, f = p.get_future()]() mutable {
        ++begun;
        f.get();
      }));
    }
    ASSERT_TRUE(eventually([&] { return begun == promises.size(); }));
    EXPECT_GT(pool.statistics().threads, workers());
    for (promise<void>& p : promises) p.set_value();
    for (auto& f : waiters) f.get();
    EXPECT_TRUE(eventually([&] { return pool.statistics().threads == workers(); }));
  }
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
}

TEST_P(waiting, without_spares_fails_when_told_so_and_leaves_the_future_as_it_was) {
  auto o = options();
  o.max_spares = 0;
  o.when_starved = heddle::at_spare_cap::fail;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  promise<int> p;
  auto outer = pool.submit([&pool, f = p.get_future()]() mutable {
    EXPECT_THROW(static_cast<void>(f.get()), heddle::would_starve);
    EXPECT_TRUE(f.valid());
    EXPECT_THROW(f.wait(), heddle::would_starve);
    EXPECT_THROW(static_cast<void>(f.wait_for(1h)), heddle::would_starve);
    EXPECT_THROW(static_cast<void>(f.exception()), heddle::would_starve);
    EXPECT_THROW(static_cast<void>(f.wait(heddle::prim::stop_source().get_token())),
                 heddle::would_starve);
    std::vector<future<int>> one;
    one.push_back(std::move(f));
    EXPECT_THROW(static_cast<void>(heddle::wait(one)), heddle::would_starve);
    auto view = heddle::as_completed(one);
    EXPECT_THROW(static_cast<void>(view.next_until(heddle::prim::never)), heddle::would_starve);
    EXPECT_THROW(heddle::blocking_scope scope("query"), heddle::would_starve);
    pool.post([] {});
    return std::move(one[0]);
  });
  future<int> f = outer.get();
  EXPECT_GE(pool.statistics().starved, 1U);
  p.set_value(4);
  EXPECT_EQ(f.get(), 4);
}

// What the waiter can do itself needs no spare.
TEST_P(waiting, without_spares_still_runs_the_awaited_task_itself) {
  auto o = options();
  o.workers = 1;
  o.max_spares = 0;
  o.when_starved = heddle::at_spare_cap::fail;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  const std::function<int(int)> nest = [&](int levels) -> int {
    return levels == 0 ? 0 : pool.submit(nest, levels - 1).get() + 1;
  };
  EXPECT_EQ(pool.submit(nest, 30).get(), 30);
  auto all = pool.submit([&pool] {
    std::vector<future<int>> some;
    for (int i = 0; i < 10; ++i) some.push_back(pool.submit([i] { return i; }));
    return heddle::wait(some).done.size();
  });
  EXPECT_EQ(all.get(), 10U);
  EXPECT_EQ(pool.statistics().starved, 0U);
}

TEST_P(waiting, without_spares_waits_when_told_so_and_counts_it) {
  auto o = options();
  o.max_spares = 0;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  promise<int> p;
  auto outer = pool.submit([f = p.get_future()]() mutable { return f.get(); });
  ASSERT_TRUE(eventually([&] { return pool.statistics().starved == 1; }));
  p.set_value(6);
  EXPECT_EQ(outer.get(), 6);
  EXPECT_EQ(pool.statistics().threads, workers());
}

// A map left early inside a worker must still wait for its tasks, which refer to it.
TEST_P(waiting, without_spares_a_map_left_early_waits_all_the_same) {
  auto o = options();
  o.max_spares = 0;
  o.when_starved = heddle::at_spare_cap::fail;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  std::atomic<int> inside = 0;
  auto outer = pool.submit([&] {
    {
      auto results = pool.map(
          [&inside](int i) {
            ++inside;
            std::this_thread::sleep_for(1ms);
            --inside;
            return i;
          },
          std::vector<int>(50, 1), 10);
      try {
        static_cast<void>(results.next());
      } catch (const heddle::would_starve&) {
      }
    }
    EXPECT_EQ(inside, 0);
  });
  outer.get();
}

// N tasks that block, each until all N have begun, need every worker.
TEST_P(waiting, as_many_blocking_tasks_as_workers_all_start) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const auto n = static_cast<std::ptrdiff_t>(workers());
  for (int round = 0; round < 100; ++round) {
    std::barrier<> meeting(n + 1);
    const auto meet = [&meeting] { meeting.arrive_and_wait(); };
    switch (round % 4) {
      case 0:
        for (unsigned i = 0; i < workers(); ++i) pool.post(meet);
        break;
      case 1:
        pool.post_bulk(std::vector(workers(), meet));
        break;
      case 2:
        pool.post([&] {
          for (unsigned i = 1; i < workers(); ++i) pool.post(meet);
          meet();
        });
        break;
      default:
        pool.post([&] {
          pool.post_bulk(std::vector(workers() - 1, meet));
          meet();
        });
    }
    meeting.arrive_and_wait();
    EXPECT_TRUE(pool.wait_idle());  // the barrier dies only when everybody has left it
  }
}

INSTANTIATE_TEST_SUITE_P(pools, waiting, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
