// Priorities under races: all levels at once, inherited, stolen, aged, cancelled.
#include <heddle/exec/thread_pool.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/wait.hpp>
#include <heddle/prim/seed.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::priority;
using heddle::priority_levels;
using heddle::shutdown_mode;
using heddle::task_options;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::pool_watchdog;
using heddle_test::run_together;

using namespace std::chrono_literals;

using tally = std::array<std::atomic<std::uint64_t>, priority_levels>;

class priority_stress : public testing::TestWithParam<unsigned> {
 protected:
  static heddle::thread_pool_options options(std::chrono::milliseconds aging) {
    heddle::thread_pool_options o;
    o.workers = GetParam();
    o.aging = aging;
    return o;
  }
};

// A task of a known level, with children that inherit it or have one of their own.
struct family {
  thread_pool& pool;
  tally& ran;
  std::atomic<std::uint64_t>& sum;
  unsigned level;
  unsigned generations;
  std::uint64_t value;

  void operator()() const {
    ++ran[level];
    sum += value;
    if (generations == 0) return;
    pool.post(family{pool, ran, sum, level, generations - 1, value});
    const unsigned other = static_cast<unsigned>((value + generations) % priority_levels);
    pool.post(static_cast<priority>(other), family{pool, ran, sum, other, generations - 1, value});
    if (value % 5 == 0) {
      pool.submit(family{pool, ran, sum, level, 0, value}).get();
    }
  }
};

TEST_P(priority_stress, every_task_runs_once_at_its_level) {
  for (const auto aging : {0ms, 1ms, 100ms}) {
    thread_pool pool(options(aging));
    const pool_watchdog dog(pool);
    tally ran{};
    std::atomic<std::uint64_t> sum = 0;
    constexpr unsigned producers = 3;
    constexpr std::uint64_t each = 150;
    constexpr unsigned generations = 4;
    run_together(producers, [&](unsigned p) {
      for (std::uint64_t i = 0; i < each; ++i) {
        const std::uint64_t value = p * each + i;
        const auto level = static_cast<unsigned>(value % priority_levels);
        pool.post(static_cast<priority>(level), family{pool, ran, sum, level, generations, value});
      }
    });
    EXPECT_TRUE(pool.wait_idle());
    // 31 tasks a family, and one more for each that is no leaf where the value says so.
    std::uint64_t tasks = 0;
    std::uint64_t expected = 0;
    for (std::uint64_t v = 0; v < producers * each; ++v) {
      const std::uint64_t size = v % 5 == 0 ? 46 : 31;
      tasks += size;
      expected += size * v;
    }
    EXPECT_EQ(sum, expected);
    const auto s = pool.statistics();
    EXPECT_EQ(s.submitted, tasks);
    for (unsigned l = 0; l < priority_levels; ++l) {
      EXPECT_EQ(s.levels[l].submitted, ran[l]) << "level " << l;
      EXPECT_EQ(s.levels[l].completed, ran[l]) << "level " << l;
      EXPECT_EQ(s.levels[l].queued, 0U) << "level " << l;
    }
  }
}

TEST_P(priority_stress, snapshots_of_levels_are_consistent) {
  thread_pool pool(options(1ms));
  const pool_watchdog dog(pool);
  std::atomic<bool> over = false;
  std::thread sampling([&] {
    while (!over) {
      const auto s = pool.statistics();
      for (const auto& l : s.levels) EXPECT_LE(l.completed, l.submitted);
      EXPECT_LE(s.completed, s.started);
      EXPECT_LE(s.started, s.submitted);
    }
  });
  run_together(2, [&](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int i = 0; i < 5000; ++i) {
      pool.post(static_cast<priority>(dice.below(priority_levels)), [&pool] { pool.post([] {}); });
    }
  });
  EXPECT_TRUE(pool.wait_idle());
  over = true;
  sampling.join();
}

TEST_P(priority_stress, shutdown_in_the_middle_loses_nothing) {
  for (int round = 0; round < 40; ++round) {
    thread_pool pool(options(std::chrono::milliseconds(round % 3)));
    const pool_watchdog dog(pool);
    const auto mode = round % 2 == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
    std::atomic<std::uint64_t> ran = 0;
    std::atomic<std::uint64_t> accepted = 0;
    run_together(4, [&](unsigned who) {
      if (who == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(60 * round));
        EXPECT_TRUE(pool.shutdown(mode).completed);
        return;
      }
      heddle::prim::random dice(heddle::prim::next_seed());
      std::vector<future<void>> futures;
      try {
        for (;;) {
          const auto level = static_cast<priority>(dice.below(priority_levels));
          futures.push_back(pool.submit(level, [&ran, c = counted()] { ++ran; }));
          if (dice.below(4) == 0) futures.back().cancel();
          if (dice.below(64) == 0) std::this_thread::yield();
        }
      } catch (const heddle::rejected&) {
      }
      accepted += futures.size();
      std::uint64_t done = 0;
      for (auto& f : futures) done += f.exception() == nullptr ? 1U : 0U;
      EXPECT_LE(done, ran);
    });
    EXPECT_EQ(counted::alive, 0);
    const auto s = pool.statistics();
    EXPECT_EQ(s.submitted, accepted);
    EXPECT_EQ(s.completed, accepted);
    for (const auto& l : s.levels) {
      EXPECT_EQ(l.submitted, l.completed);
      EXPECT_EQ(l.queued, 0U);
    }
  }
}

// A stream of urgent tasks, and others that must get their turn all the same.
TEST_P(priority_stress, nobody_starves) {
  thread_pool pool(options(1ms));
  const pool_watchdog dog(pool);
  std::atomic<bool> over = false;
  struct link {
    thread_pool& pool;
    std::atomic<bool>& over;
    void operator()() const {
      if (!over) pool.post(link{pool, over});
    }
  };
  for (unsigned i = 0; i < 3 * GetParam(); ++i) {
    pool.post(static_cast<priority>(i % 3), link{pool, over});
  }
  run_together(2, [&](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int round = 0; round < 20; ++round) {
      std::vector<future<void>> futures;
      for (int i = 0; i < 20; ++i) {
        futures.push_back(pool.submit(static_cast<priority>(3 + dice.below(5)), [] {}));
      }
      for (auto& f : futures) f.get();
    }
  });
  over = true;
  EXPECT_TRUE(pool.wait_idle());
}

INSTANTIATE_TEST_SUITE_P(workers, priority_stress, testing::ValuesIn(heddle_test::thread_counts()),
                         testing::PrintToStringParamName());

}  // namespace
