#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/exec/timers.hpp>
#include <heddle/future/future.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <system_error>
#include <vector>

#include "support/failing_threads.hpp"
#include "support/pools.hpp"

namespace {

using heddle::inline_executor;
using heddle::manual_executor;
using heddle::periodic_timer;
using heddle::thread_pool;
using heddle::timer_queue;
using namespace std::chrono_literals;

class timers_stress : public testing::TestWithParam<unsigned> {
 protected:
  static unsigned threads() { return GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(threads, timers_stress, testing::ValuesIn(heddle_test::thread_counts()));

// Every timer has one end: it runs, or its cancelling was in time.
TEST_P(timers_stress, scheduling_and_cancelling_at_once) {
  timer_queue timers;
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  std::atomic<long> runs{0};
  std::atomic<long> cancelled{0};
  constexpr long each = 5000;
  heddle_test::run_together(threads(), [&](unsigned t) {
    std::mt19937 random(t);
    std::vector<heddle::future<void>> mine;
    const auto give_one_up = [&] {
      std::swap(mine[random() % mine.size()], mine.back());
      if (mine.back().cancel()) ++cancelled;
      mine.pop_back();
    };
    for (long i = 0; i < each; ++i) {
      const auto delay = random() % 8 == 0 ? 24h : std::chrono::nanoseconds(random() % 500'000);
      if (random() % 2 == 0) {
        mine.push_back(timers.schedule_after(pool, delay, [&] { ++runs; }));
      } else {
        mine.push_back(timers.schedule_after(inline_executor(), delay, [&] { ++runs; }));
      }
      if (random() % 2 == 0) give_one_up();
    }
    while (!mine.empty()) give_one_up();
  });
  pool.wait_idle();
  // Inline ones run on the queue's thread; this one runs behind them.
  timers.schedule_after(inline_executor(), 1ms, [] {}).get();
  EXPECT_EQ(timers.pending(), 0U);
  EXPECT_EQ(runs + cancelled, each * threads());
}

TEST_P(timers_stress, queues_die_while_their_timers_are_cancelled) {
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  for (int round = 0; round < 50; ++round) {
    std::optional<timer_queue> timers(std::in_place);
    std::vector<std::vector<heddle::future<void>>> futures(threads());
    std::vector<periodic_timer> ticking(threads());
    for (unsigned t = 0; t < threads(); ++t) {
      for (int i = 0; i < 50; ++i) {
        futures[t].push_back(
            timers->schedule_after(pool, std::chrono::microseconds(10 * i), [] {}));
      }
      ticking[t] = timers->schedule_every(pool, 50us, [] {});
    }
    heddle_test::run_together(threads() + 1, [&](unsigned t) {
      if (t == threads()) {
        timers.reset();
        return;
      }
      ticking[t] = periodic_timer();
      for (auto& f : futures[t]) f.cancel();
    });
    for (auto& mine : futures) {
      for (auto& f : mine) f.wait();
    }
  }
}

// A handle ends, and nothing of its work is touched any more.
TEST_P(timers_stress, handles_come_and_go) {
  timer_queue timers;
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  heddle_test::run_together(threads(), [&](unsigned t) {
    std::mt19937 random(t);
    for (int i = 0; i < 300; ++i) {
      const auto data = std::make_unique<int>(0);
      int* const there = data.get();
      auto timer = timers.schedule_every(pool, std::chrono::microseconds(1 + random() % 100),
                                         [there] { ++*there; });
      if (random() % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(100));
      if (random() % 2 == 0) timer.cancel();
    }
  });
  EXPECT_EQ(timers.pending(), 0U);
}

TEST(timers_refused, without_a_thread_nothing_is_scheduled) {
  timer_queue timers;
  manual_executor work;
  const auto held = std::make_shared<int>();
  {
    const heddle_test::failing_threads none;
    EXPECT_THROW((void)timers.schedule_after(work, 1s, [held] {}), std::system_error);
    EXPECT_THROW((void)timers.schedule_every(work, 1s, [held] {}), std::system_error);
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(timers.pending(), 0U);
  auto f = timers.schedule_after(work, 1ms, [held] {});
  EXPECT_TRUE(work.run_until_ready(f, heddle::prim::deadline_after(60s)));
}

}  // namespace
