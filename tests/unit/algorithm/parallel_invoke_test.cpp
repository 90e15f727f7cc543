#include <heddle/algorithm/parallel_invoke.hpp>

#include <atomic>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/threads.hpp"

namespace {

using heddle::parallel_invoke;

heddle::thread_pool_options workers(unsigned n) {
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
    heddle::thread_pool pool(workers(n));
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
    heddle::thread_pool pool(workers(n));
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
  heddle::thread_pool pool(workers(2));
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
  heddle::thread_pool pool(workers(2));
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
  heddle::thread_pool pool(workers(1));
  pool.submit([] {
        heddle::promise<void> child_ran;
        auto ran = child_ran.get_future();
        parallel_invoke([&] { child_ran.set_value(); }, [&] { ran.wait(); });
      })
      .get();
}

TEST(parallel_invoke, rethrows_what_the_called_function_throws) {
  heddle::thread_pool pool(workers(1));
  bool first_ran = false;
  auto f = pool.submit([&] {
    parallel_invoke([&] { first_ran = true; }, [] { throw std::runtime_error("second"); });
  });
  EXPECT_THROW(f.get(), std::runtime_error);
  EXPECT_FALSE(first_ran) << "it had not begun";
}

TEST(parallel_invoke, rethrows_what_a_child_throws) {
  heddle::thread_pool pool(workers(1));
  bool second_ran = false;
  auto f = pool.submit([&] {
    parallel_invoke([] { throw std::runtime_error("first"); }, [&] { second_ran = true; });
  });
  EXPECT_THROW(f.get(), std::runtime_error);
  EXPECT_TRUE(second_ran);
}

TEST(parallel_invoke, rethrows_what_a_stolen_child_throws) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(2));
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

TEST(parallel_invoke, loses_no_second_exception) {
  const heddle_test::watchdog dog;
  const auto before = heddle::unhandled_count();
  const auto handler = heddle::set_unhandled_handler([](std::exception_ptr) noexcept {});
  {
    heddle::thread_pool pool(workers(2));
    auto f = pool.submit([] {
      std::atomic<bool> child_runs{false};
      parallel_invoke(
          [&] {
            child_runs = true;
            throw std::out_of_range("stolen");
          },
          [&] {
            while (!child_runs) std::this_thread::yield();
            throw std::runtime_error("called");
          });
    });
    EXPECT_THROW(f.get(), std::runtime_error);
  }
  EXPECT_EQ(heddle::unhandled_count(), before + 1);
  heddle::set_unhandled_handler(handler);
}

int descend(int depth) {
  if (depth == 0) return 0;
  int below = 0;
  parallel_invoke([] {}, [&] { below = descend(depth - 1); });
  return below + 1;
}

TEST(parallel_invoke, recursion_is_not_bounded_by_one_stack) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(2));
  EXPECT_EQ(pool.submit([] { return descend(1'000'000); }).get(), 1'000'000);
}

// A child may wait for a task, whose worker forks in its turn.
TEST(parallel_invoke, mixes_with_futures) {
  const heddle_test::watchdog dog;
  for (const unsigned n : heddle_test::thread_counts()) {
    heddle::thread_pool pool(workers(n));
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

}  // namespace
