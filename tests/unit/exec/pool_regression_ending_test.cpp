// Shutdown, destruction and cancellation: what once went wrong, and must not again.
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>

#include "support/pools.hpp"
#include "support/thread_exit.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::shutdown_mode;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::eventually;
using heddle_test::gate;
using heddle_test::pool_watchdog;
using heddle_test::thread_exit;
using heddle_test::watchdog;

using namespace std::chrono_literals;

// The only worker waits for a task that nobody but itself could discard.
TEST(pool_regression_ending, cancel_ends_the_waits_of_a_task_that_goes_on_submitting) {
  thread_pool_options o;
  o.workers = 1;
  o.max_spares = 0;
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  std::atomic<bool> begun = false;
  auto submitter = pool.submit([&] {
    for (int cancelled = 0; cancelled < 3000;) {
      begun = true;
      try {
        pool.submit([] {}).get();
      } catch (const heddle::cancelled&) {
        ++cancelled;
      }
    }
  });
  ASSERT_TRUE(eventually([&] { return begun.load(); }));
  EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
  submitter.get();
}

TEST(pool_regression_ending, cancel_returns_at_its_deadline_although_tasks_keep_submitting) {
  thread_pool pool(4U);
  const pool_watchdog dog(pool);
  std::atomic<bool> enough = false;
  std::atomic<int> submitting = 0;
  std::vector<future<void>> submitters;
  for (int i = 0; i < 3; ++i) {
    submitters.push_back(pool.submit([&] {
      ++submitting;
      while (!enough) pool.post([] {});
    }));
  }
  EXPECT_TRUE(eventually([&] { return submitting == 3 && pool.statistics().submitted > 100'000; }));
  // It returns while they are at it, for it is only then that they are told to end.
  EXPECT_FALSE(pool.shutdown(shutdown_mode::cancel, 20ms).completed);
  enough = true;
  EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
  for (auto& f : submitters) f.get();
}

TEST(pool_regression_ending, a_continuation_of_the_task_that_destroyed_its_pool_is_cancelled) {
  const watchdog dog;
  for (int round = 0; round < 20; ++round) {
    gate begin;
    auto* const pool = new thread_pool(2U);
    auto destroys = pool->submit([&begin, pool] {
      begin.pass();
      delete pool;
    });
    auto after = destroys.then([] {});
    begin.open();
    EXPECT_THROW(after.get(), heddle::cancelled);
  }
}

TEST(pool_regression_ending, thread_local_destructors_may_wait_after_the_pool_is_gone) {
  const watchdog dog;
  auto ended = std::make_shared<std::atomic<bool>>(false);
  gate begin;
  auto* const pool = new thread_pool(1U);
  pool->post([&begin, pool, ended] {
    begin.pass();
    thread_exit::call([ended] {
      {
        const heddle::blocking_scope scope("an end");
      }
      promise<void> p;
      auto f = p.get_future();
      EXPECT_FALSE(f.wait_for(1ms));
      p.set_value();
      ended->store(true);
    });
    delete pool;
  });
  begin.open();
  EXPECT_TRUE(eventually([&] { return ended->load(); }));
}

TEST(pool_regression_ending, a_stop_hook_cannot_submit) {
  const watchdog dog;
  std::atomic<int> rejected = 0;
  std::vector<future<void>> accepted;
  std::atomic<thread_pool*> self = nullptr;
  {
    thread_pool_options o;
    o.workers = 1;
    o.on_worker_stop = [&](unsigned) {
      try {
        accepted.push_back(self.load()->submit([] {}));
      } catch (const heddle::rejected&) {
        ++rejected;
      }
      try {
        accepted.push_back(self.load()->submit_to(0, [] {}));
      } catch (const heddle::rejected&) {
        ++rejected;
      }
    };
    thread_pool pool(std::move(o));
    self = &pool;
    pool.submit([] {}).get();
  }
  EXPECT_EQ(rejected, 2);
  for (auto& f : accepted) EXPECT_TRUE(f.ready());
}

// Each rejection completes a future, whose continuation is rejected in turn.
TEST(pool_regression_ending, a_long_chain_of_rejected_continuations_needs_no_stack) {
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  promise<void> first;
  auto last = first.get_future();
  for (int i = 0; i < 50'000; ++i) last = last.then(pool.executor(), [] {});
  pool.shutdown();
  first.set_value();
  EXPECT_TRUE(last.ready());
  EXPECT_THROW(last.get(), heddle::cancelled);
}

TEST(pool_regression_ending, every_one_of_several_shutdowns_returns_when_the_threads_have_ended) {
  gate ending;
  std::atomic<bool> ended = false;
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  pool.submit([&] {
        thread_exit::call([&] {
          ending.pass();
          ended = true;
        });
      })
      .get();
  std::atomic<int> returned_early = 0;
  std::thread release([&] {
    ending.await_arrivals(1);
    std::this_thread::sleep_for(20ms);  // in which nobody may return
    ending.open();
  });
  heddle_test::run_together(3, [&](unsigned) {
    EXPECT_TRUE(pool.shutdown().completed);
    if (!ended) ++returned_early;
  });
  release.join();
  EXPECT_EQ(returned_early, 0);
}

TEST(pool_regression_ending, errors_of_a_map_left_early_are_not_lost) {
  const heddle_test::unhandled_log log;
  thread_pool pool(2U);
  const pool_watchdog dog(pool);
  std::atomic<int> thrown = 0;
  const std::vector<int> elements{1, 2, 3, 4, 5, 6, 7, 8};
  {
    auto results = pool.map(
        [&thrown](int i) {
          if (i == 1) return i;
          ++thrown;
          throw std::runtime_error("lost");
        },
        elements, elements.size());
    EXPECT_EQ(results.next(), 1);
    EXPECT_TRUE(eventually([&] { return thrown == 7; }));
  }
  EXPECT_TRUE(pool.wait_idle());  // the last to let go of a task tells
  EXPECT_EQ(log.count(), 7U);
}

}  // namespace
