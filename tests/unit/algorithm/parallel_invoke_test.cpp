#include <heddle/algorithm/parallel_invoke.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>
#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/config.hpp>

#include "support/child_process.hpp"
#include "support/failing_threads.hpp"
#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using heddle::parallel_invoke;
using heddle_test::holds_in_child;

heddle::thread_pool_options pool_of(unsigned n) {
  heddle::thread_pool_options o;
  o.workers = n;
  return o;
}

int fib(int n) {
  if (n < 2) return n;
  int a = 0;
  int b = 0;
  parallel_invoke([&] { a = fib(n - 1); }, [&] { b = fib(n - 2); });
  return a + b;
}

TEST(parallel_invoke, calls_each_function_once) {
  for (const unsigned n : heddle_test::thread_counts()) {
    heddle::thread_pool pool(pool_of(n));
    int calls[4] = {};
    pool.submit([&] {
          parallel_invoke([&] { ++calls[0]; });
          parallel_invoke([&] { ++calls[1]; }, [&] { ++calls[2]; }, [&] { ++calls[3]; });
        })
        .get();
    for (const int c : calls) EXPECT_EQ(c, 1);
  }
}

TEST(parallel_invoke, nests) {
  const heddle_test::watchdog dog;
  for (const unsigned n : heddle_test::thread_counts()) {
    heddle::thread_pool pool(pool_of(n));
    EXPECT_EQ(pool.submit([] { return fib(18); }).get(), 2584);
  }
}

TEST(parallel_invoke, takes_callables_of_any_kind) {
  struct move_only {
    std::unique_ptr<int> value = std::make_unique<int>(1);
    int operator()() & { return ++*value; }
  } counter;
  static std::atomic<int> calls;
  calls = 0;
  void (*function)() = [] { ++calls; };
  parallel_invoke(counter, function, [&] { ++calls; });
  EXPECT_EQ(*counter.value, 2);
  EXPECT_EQ(calls, 2);
}

TEST(parallel_invoke, runs_on_the_default_pool_when_called_elsewhere) {
  bool on_worker = false;
  parallel_invoke([&] { on_worker = heddle::default_pool().worker_index().has_value(); });
  parallel_invoke([] {}, [&] { on_worker = heddle::default_pool().worker_index().has_value(); });
  EXPECT_TRUE(on_worker);
  EXPECT_EQ(fib(15), 610);
}

TEST(parallel_invoke, runs_on_the_workers_own_pool) {
  heddle::thread_pool pool(pool_of(2));
  const bool inside = pool.submit([&] {
                            bool a = false;
                            bool b = false;
                            parallel_invoke([&] { a = pool.worker_index().has_value(); },
                                            [&] { b = pool.worker_index().has_value(); });
                            return a && b;
                          })
                          .get();
  EXPECT_TRUE(inside);
}

// Two functions that need each other: neither the one that was pushed nor the one that is called
// may keep the other waiting.
TEST(parallel_invoke, a_child_is_stolen_while_its_parent_is_in_a_long_leaf) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  for (int round = 0; round < 50; ++round) {
    pool.submit([] {
          std::atomic<bool> child_ran{false};
          parallel_invoke([&] { child_ran = true; },
                          [&] {
                            while (!child_ran) std::this_thread::yield();
                          });
        })
        .get();
  }
}

// The same where the leaf blocks: the pool starts a spare.
TEST(parallel_invoke, a_child_is_stolen_while_its_parent_blocks) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(1));
  pool.submit([] {
        heddle::promise<void> child_ran;
        auto ran = child_ran.get_future();
        parallel_invoke([&] { child_ran.set_value(); }, [&] { ran.wait(); });
      })
      .get();
}

TEST(parallel_invoke, rethrows_what_the_called_function_throws) {
  heddle::thread_pool pool(pool_of(1));
  bool first_ran = false;
  auto f = pool.submit([&] {
    parallel_invoke([&] { first_ran = true; }, [] { throw std::runtime_error("second"); });
  });
  EXPECT_THROW(f.get(), std::runtime_error);
  EXPECT_FALSE(first_ran) << "it had not begun";
}

TEST(parallel_invoke, rethrows_what_a_child_throws) {
  heddle::thread_pool pool(pool_of(1));
  bool second_ran = false;
  auto f = pool.submit([&] {
    parallel_invoke([] { throw std::runtime_error("first"); }, [&] { second_ran = true; });
  });
  EXPECT_THROW(f.get(), std::runtime_error);
  EXPECT_TRUE(second_ran);
}

TEST(parallel_invoke, rethrows_what_a_stolen_child_throws) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  auto f = pool.submit([] {
    std::atomic<bool> child_runs{false};
    parallel_invoke(
        [&] {
          child_runs = true;
          throw std::out_of_range("stolen");
        },
        [&] {
          while (!child_runs) std::this_thread::yield();
        });
  });
  EXPECT_THROW(f.get(), std::out_of_range);
}

int descend(int depth) {
  if (depth == 0) return 0;
  int below = 0;
  parallel_invoke([] {}, [&] { below = descend(depth - 1); });
  return below + 1;
}

TEST(parallel_invoke, recursion_is_not_bounded_by_one_stack) {
  // Sanitizers make frames of a few KiB, of which 256 stacks may not hold a million.
  constexpr int depth = HEDDLE_ASAN || HEDDLE_TSAN ? 100'000 : 1'000'000;
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  EXPECT_EQ(pool.submit([] { return descend(depth); }).get(), depth);
  EXPECT_LE(pool.statistics().peak_threads, heddle_test::documented_threads(30)) << "some 25";
}

// A child may wait for a task, whose worker forks in its turn.
TEST(parallel_invoke, mixes_with_futures) {
  const heddle_test::watchdog dog;
  for (const unsigned n : heddle_test::thread_counts()) {
    heddle::thread_pool pool(pool_of(n));
    const int sum = pool.submit([&pool] {
                          int a = 0;
                          int b = 0;
                          parallel_invoke([&] { a = pool.submit([] { return fib(10); }).get(); },
                                          [&] { b = pool.submit([] { return fib(11); }).get(); });
                          return a + b;
                        })
                        .get();
    EXPECT_EQ(sum, 55 + 89);
  }
}

TEST(parallel_invoke, runs_on_the_pool_it_is_given) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  heddle::thread_pool other(pool_of(1));
  const auto both_inside = [&pool] {
    bool a = false;
    bool b = false;
    parallel_invoke(
        pool, [&] { a = pool.worker_index().has_value(); },
        [&] { b = pool.worker_index().has_value(); });
    return a && b;
  };
  EXPECT_TRUE(both_inside()) << "from a thread that is no worker";
  EXPECT_TRUE(pool.submit(both_inside).get()) << "from its own worker";
  EXPECT_TRUE(other.submit(both_inside).get()) << "from another pool's";
  const auto submitted = pool.statistics().submitted;
  EXPECT_TRUE(pool.submit([&] {
                    bool inside = false;
                    parallel_invoke(pool, [&] { inside = both_inside(); });
                    return inside;
                  })
                  .get());
  EXPECT_EQ(pool.statistics().submitted, submitted + 1) << "in place";
}

// Pools that fork into each other: each wait is one for another pool's task.
int alternate(heddle::thread_pool& a, heddle::thread_pool& b, int depth) {
  if (depth == 0) return 1;
  int left = 0;
  int right = 0;
  parallel_invoke(
      a, [&] { left = alternate(b, a, depth - 1); }, [&] { right = alternate(b, a, depth - 1); });
  return left + right;
}

TEST(parallel_invoke, pools_call_each_other) {
  const heddle_test::watchdog dog;
  heddle::thread_pool a(pool_of(1));
  heddle::thread_pool b(pool_of(2));
  EXPECT_EQ(alternate(a, b, 6), 64);
}

TEST(parallel_invoke, a_pool_that_is_shut_down_refuses) {
  heddle::thread_pool pool(pool_of(1));
  pool.shutdown();
  bool called = false;
  EXPECT_THROW(parallel_invoke(pool, [&] { called = true; }), heddle::rejected);
  EXPECT_FALSE(called);
}

// The task would use the stack of a caller that has left.
TEST(parallel_invoke, a_worker_that_cannot_be_spared_takes_the_call_back) {
  const heddle_test::watchdog dog;
  heddle::thread_pool_options o = pool_of(1);
  o.max_spares = 0;
  o.when_starved = heddle::at_spare_cap::fail;
  heddle::thread_pool starved(std::move(o));
  heddle::thread_pool pool(pool_of(1));
  bool called = false;
  {
    const heddle_test::occupied_pool occupied(pool);
    auto f = starved.submit([&] { parallel_invoke(pool, [&] { called = true; }); });
    EXPECT_THROW(f.get(), heddle::would_starve);
  }
  pool.wait_idle();
  EXPECT_FALSE(called);
}

TEST(parallel_invoke, in_the_submitters_stead_where_the_pool_says_so) {
  const heddle_test::watchdog dog;
  heddle::thread_pool_options o = pool_of(1);
  o.queue_capacity = 1;
  o.overflow = heddle::when_full::run_in_caller;
  heddle::thread_pool pool(std::move(o));
  const heddle_test::occupied_pool occupied(pool);
  pool.post([] {});
  int calls = 0;
  parallel_invoke(pool, [&] { ++calls; }, [&] { ++calls; });
  EXPECT_EQ(calls, 2);
}

// What is forked off is as urgent as the task that forks, whoever runs it.
TEST(parallel_invoke, a_stolen_child_has_its_parents_priority) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  const auto before = pool.statistics().levels[2].submitted;
  pool.submit(heddle::priority::high,
              [&] {
                std::atomic<bool> child_ran = false;
                heddle::future<void> of_the_child;
                parallel_invoke(
                    [&] {
                      of_the_child = pool.submit([] {});
                      child_ran = true;
                    },
                    [&] {
                      while (!child_ran) std::this_thread::yield();
                    });
                of_the_child.get();
              })
      .get();
  EXPECT_EQ(pool.statistics().levels[2].submitted, before + 2);
}

// A child is no task: its parent is one. It counts as stolen.
TEST(parallel_invoke, statistics_count_tasks_and_thefts) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  pool.submit([] {
        std::atomic<bool> child_ran = false;
        parallel_invoke([&] { child_ran = true; },
                        [&] {
                          while (!child_ran) std::this_thread::yield();
                        });
      })
      .get();
  pool.wait_idle();
  const heddle::pool_statistics s = pool.statistics();
  EXPECT_EQ(s.submitted, 1U);
  EXPECT_EQ(s.completed, 1U);
  EXPECT_EQ(s.steals, 1U);
}

// Their parent has begun, and waits for them.
TEST(parallel_invoke, a_pool_that_cancels_still_runs_children) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  std::atomic<bool> child_ran = false;
  auto f = pool.submit([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
    parallel_invoke([&] { child_ran = true; },
                    [&] {
                      while (!child_ran) std::this_thread::yield();
                    });
  });
  while (pool.statistics().started == 0) std::this_thread::yield();
  EXPECT_TRUE(pool.shutdown(heddle::shutdown_mode::cancel).completed);
  f.get();
  EXPECT_TRUE(child_ran);
  EXPECT_EQ(pool.statistics().discarded, 0U);
}

// Every child of a worker that is in a long leaf is to be had by others, not only the eldest.
TEST(parallel_invoke, all_children_of_a_long_leaf_are_stolen) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  for (int round = 0; round < 20; ++round) {
    pool.submit([] {
          std::atomic<int> ran = 0;
          const auto child = [&ran] { ++ran; };
          parallel_invoke(child, child, child, child, child, [&] {
            while (ran != 5) std::this_thread::yield();
          });
        })
        .get();
  }
}

// A worker that is in a leaf of a pool of strict order has children all the same.
TEST(parallel_invoke, works_in_pools_of_every_kind) {
  const heddle_test::watchdog dog;
  for (const auto& shape : heddle_test::pool_shapes()) {
    heddle::thread_pool_options o = pool_of(shape.workers);
    o.schedule = shape.schedule;
    o.queue_capacity = 3;
    o.measure_times = true;
    heddle::thread_pool pool(std::move(o));
    EXPECT_EQ(pool.submit([] { return fib(12); }).get(), 144);
    int sum = 0;
    parallel_invoke(pool, [&] { sum = fib(12); });
    EXPECT_EQ(sum, 144);
  }
}

TEST(parallel_invoke, goes_on_in_a_child_process) {
#if HEDDLE_TSAN
  GTEST_SKIP() << "ThreadSanitizer lets no child of a threaded process start threads";
#endif
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  EXPECT_EQ(pool.submit([] { return fib(15); }).get(), 610);
  EXPECT_TRUE(holds_in_child([&] {
    int sum = 0;
    parallel_invoke(pool, [&] { sum = fib(15); });
    return fib(15) + sum == 1220;
  }));
  // In the middle of a fork, where the thread has a lane of a pool that is not here.
  EXPECT_TRUE(pool.submit([&] {
                    bool all_well = false;
                    parallel_invoke([] {},
                                    [&] {
                                      all_well = holds_in_child([&] {
                                        int sum = 0;
                                        parallel_invoke(pool, [&] { sum = fib(15); });
                                        return fib(15) + sum == 1220;
                                      });
                                    });
                    return all_well;
                  })
                  .get());
}

// What a context is to whoever carries it.
struct test_context : heddle::context_node {
  test_context() noexcept
      : heddle::context_node{[](heddle::context_node*) noexcept {},
                             [](heddle::context_node*) noexcept {}} {}
};

int levels_in_context(int depth, heddle::context_ref wanted) {
  if (heddle::current_context() != wanted) return 0;
  if (depth == 0) return 1;
  int below[2] = {};
  parallel_invoke([&] { below[0] = levels_in_context(0, wanted); },
                  [&] { below[1] = levels_in_context(depth - 1, wanted); });
  return below[0] + below[1];
}

TEST(parallel_invoke, its_context_goes_along_to_other_stacks) {
  const heddle_test::watchdog dog;
  test_context context;
  heddle::thread_pool pool(pool_of(2));
  const heddle::context_scope inside(&context);
  EXPECT_EQ(pool.submit([&] { return levels_in_context(100'000, &context); }).get(), 100'001);
}

TEST(parallel_invoke, a_stack_that_ends_where_no_thread_can_be_had) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(1));
  {
    const heddle_test::failing_threads refused;
    EXPECT_THROW(pool.submit([] { return descend(1'000'000); }).get(), heddle::would_starve);
  }
  EXPECT_EQ(pool.submit([] { return descend(100'000); }).get(), 100'000) << "now there are some";
}

// One that is run while a continuation of the waiter's own is in the middle of its turn must not
// have its own continuations wait for that.
TEST(parallel_invoke, continuations_of_what_a_waiter_runs_do_not_wait_for_the_waiter) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(pool_of(2));
  for (int round = 0; round < 20; ++round) {
    heddle::promise<void> first;
    auto done = first.get_future().then(heddle::detail::trampoline(), [&] {
      std::atomic<bool> stolen = false;
      parallel_invoke(
          [&] {
            stolen = true;
            parallel_invoke(
                [] {
                  heddle::promise<void> p;
                  bool ran = false;
                  auto k = p.get_future().then(heddle::detail::trampoline(), [&] { ran = true; });
                  p.set_value();
                  EXPECT_TRUE(ran);
                },
                [] {
                  for (int i = 0; i < 1'000; ++i) std::this_thread::yield();
                });
          },
          [&] {
            while (!stolen) std::this_thread::yield();
          });
    });
    pool.post([&] { first.set_value(); });
    done.get();
  }
}

}  // namespace
