#include <heddle/base/errors.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/pools.hpp"

namespace {

using heddle::manual_executor;
using namespace std::chrono_literals;

static_assert(heddle::executor<manual_executor>);

TEST(manual_executor_test, nothing_runs_until_somebody_says_so) {
  manual_executor work;
  std::string order;
  for (const char c : {'a', 'b', 'c'}) work.post([&order, c] { order += c; });
  EXPECT_EQ(order, "");
  EXPECT_EQ(work.pending(), 3U);
  EXPECT_TRUE(work.run_one());
  EXPECT_EQ(order, "a");
  EXPECT_EQ(work.run_ready(), 2U);
  EXPECT_EQ(order, "abc");
  EXPECT_FALSE(work.run_one());
  EXPECT_EQ(work.run_ready(), 0U);
}

TEST(manual_executor_test, run_ready_leaves_what_comes_meanwhile_and_drain_does_not) {
  manual_executor work;
  int runs = 0;
  std::function<void()> again = [&] {
    if (++runs < 10) work.post(std::ref(again));
  };
  work.post(std::ref(again));
  EXPECT_EQ(work.run_ready(), 1U);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(work.drain(), 9U);
  EXPECT_EQ(runs, 10);
}

TEST(manual_executor_test, run_ready_does_not_reach_beyond_what_was_cancelled) {
  manual_executor work;
  int late = 0;
  auto doomed = work.submit([] {});
  work.post([&] {
    doomed.cancel();
    work.post([&] { ++late; });
  });
  auto last = work.submit([] {});
  last.cancel();
  doomed.cancel();
  EXPECT_EQ(work.run_ready(), 1U);
  EXPECT_EQ(late, 0);
  EXPECT_EQ(work.pending(), 1U);
}

TEST(manual_executor_test, cancelled_work_neither_runs_nor_counts) {
  manual_executor work;
  auto f = work.submit([] { ADD_FAILURE(); });
  EXPECT_TRUE(f.cancel());
  EXPECT_EQ(work.pending(), 0U);
  EXPECT_FALSE(work.run_one());
  EXPECT_THROW(f.get(), heddle::cancelled);
}

TEST(manual_executor_test, runs_as_long_as_told) {
  manual_executor work;
  int runs = 0;
  std::function<void()> again = [&] {
    ++runs;
    work.post(std::ref(again));
  };
  work.post(std::ref(again));
  EXPECT_EQ(work.run_for(0ms), 0U) << "none begins after the deadline";
  EXPECT_EQ(work.run_for(-1h), 0U);
  EXPECT_EQ(work.run_until(heddle::prim::clock::time_point::min()), 0U);
  const std::size_t counted = work.run_for(5ms);
  EXPECT_EQ(counted, static_cast<std::size_t>(runs));
  EXPECT_EQ(work.pending(), 1U);
}

TEST(manual_executor_test, run_until_sleeps_until_work_comes) {
  manual_executor work;
  const heddle_test::watchdog dog;
  std::thread poster([&] {
    std::this_thread::sleep_for(5ms);
    work.post([&] { work.post([&] { work.close(); }); });
  });
  EXPECT_EQ(work.run_until(heddle::prim::never), 2U);
  poster.join();
}

TEST(manual_executor_test, drives_until_a_future_is_ready) {
  manual_executor work;
  heddle::thread_pool pool(1);
  const heddle_test::watchdog dog;
  // Back and forth between the pool and this thread.
  auto f = heddle::submit(pool, [] { return 1; })
               .then(work.executor(), [](int n) { return n + 1; })
               .then(pool.executor(), [](int n) { return n + 1; })
               .then(work.executor(), [](int n) { return n + 1; });
  EXPECT_TRUE(work.run_until_ready(f));
  EXPECT_EQ(f.get(), 4);
}

TEST(manual_executor_test, gives_a_future_up_at_the_deadline_or_when_it_is_closed) {
  manual_executor work;
  heddle::promise<int> p;
  auto f = p.get_future();
  EXPECT_FALSE(work.run_until_ready(f, heddle::prim::deadline_after(2ms)));
  work.post([&] { work.close(); });
  EXPECT_FALSE(work.run_until_ready(f));
  p.set_value(1);
  EXPECT_TRUE(work.run_until_ready(f)) << "ready is ready";
  EXPECT_EQ(f.get(), 1);
  EXPECT_THROW(work.run_until_ready(f), heddle::no_state);
}

TEST(manual_executor_test, waiting_inside_runs_the_awaited_work) {
  manual_executor work;
  const heddle_test::watchdog dog;
  std::string order;
  work.post([&] {
    auto f = work.submit([&] { order += 'b'; });
    order += 'a';
    f.get();
    order += 'c';
  });
  work.post([&] { order += 'd'; });
  EXPECT_EQ(work.drain(), 2U) << "the helped one was run by its waiter";
  EXPECT_EQ(order, "abcd");
}

TEST(manual_executor_test, closing_discards_and_refuses) {
  manual_executor work;
  const auto held = std::make_shared<int>();
  auto f = work.submit([held] {});
  EXPECT_FALSE(work.closed());
  work.close();
  EXPECT_TRUE(work.closed());
  EXPECT_THROW(f.get(), heddle::cancelled);
  EXPECT_EQ(held.use_count(), 1);
  auto late = work.submit([held] {});
  EXPECT_THROW(late.get(), heddle::cancelled);
  EXPECT_FALSE(work.run_one());
  EXPECT_EQ(work.pending(), 0U);
  work.close();
}

TEST(manual_executor_test, destruction_discards_what_is_left_and_what_that_posts) {
  const auto held = std::make_shared<int>();
  heddle::future<void> first;
  heddle::future<void> chained;
  {
    manual_executor work;
    first = work.submit([held] {});
    chained = work.submit([held] {}).then(work.executor(), [held](heddle::future<void>) {});
  }
  EXPECT_THROW(first.get(), heddle::cancelled);
  EXPECT_THROW(chained.get(), heddle::cancelled);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(manual_executor_test, a_long_chain_is_discarded_without_stack) {
  heddle::future<void> last;
  {
    manual_executor work;
    last = work.submit([] {});
    for (int i = 0; i < 100'000; ++i) last = std::move(last).then(work.executor(), [] {});
  }
  EXPECT_THROW(last.get(), heddle::cancelled);
}

TEST(manual_executor_test, may_be_driven_from_inside_its_own_work) {
  manual_executor work;
  std::string order;
  work.post([&] {
    order += 'a';
    EXPECT_TRUE(work.run_one());
    order += 'c';
  });
  work.post([&] { order += 'b'; });
  EXPECT_EQ(work.drain(), 1U);
  EXPECT_EQ(order, "abc");
}

TEST(manual_executor_test, threads_post_while_threads_drive) {
  const heddle_test::watchdog dog;
  for (const unsigned threads : heddle_test::thread_counts()) {
    constexpr int each = 2000;
    manual_executor work;
    std::atomic<int> runs{0};
    std::atomic<unsigned> posting{threads};
    heddle_test::run_together(2 * threads, [&](unsigned i) {
      if (i % 2 == 0) {
        for (int n = 0; n < each; ++n) work.post([&] { ++runs; });
        if (--posting == 0) {
          while (work.pending() != 0) std::this_thread::yield();
          work.close();
        }
      } else {
        work.run_until(heddle::prim::never);
      }
    });
    EXPECT_EQ(runs, static_cast<int>(threads) * each);
  }
}

}  // namespace
