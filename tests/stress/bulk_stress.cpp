// Bulks under races: claimed task by task from several sides, discarded in the middle, nested.
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::shutdown_mode;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::pool_watchdog;
using heddle_test::run_together;
using heddle_test::unhandled_log;

class bulk_stress : public heddle_test::pool_test {};

TEST_P(bulk_stress, each_index_once_whoever_takes_it) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<std::uint64_t> all = 0;
  run_together(3, [&](unsigned who) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int round = 0; round < 150; ++round) {
      const auto size = static_cast<std::size_t>(dice.below(who == 0 ? 5 : 300));
      std::vector<std::atomic<int>> seen(size);
      const auto f = [&seen](std::size_t i) { ++seen[i]; };
      if (who == 2) {
        pool.submit([&] { pool.submit_bulk(size, f).get(); }).get();
      } else {
        pool.submit_bulk(size, f).get();
      }
      for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(seen[i], 1) << i << " of " << size;
      all += size;
    }
  });
  EXPECT_TRUE(pool.wait_idle());
  const auto s = pool.statistics();
  EXPECT_EQ(s.completed, s.submitted);
  EXPECT_GE(s.submitted, all + 150);
}

// N that block at a time, among others that do not: a task claimed but not begun behind a blocked
// one must be taken by somebody else.
TEST_P(bulk_stress, blocked_tasks_hold_up_no_other_ones) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle::prim::random dice(heddle::prim::next_seed());
  const std::size_t n = workers();
  for (int round = 0; round < 250; ++round) {
    const auto more = static_cast<std::size_t>(dice.below(80));
    const auto others = static_cast<std::size_t>(dice.below(static_cast<unsigned>(n) + 1));
    const auto first = static_cast<std::size_t>(dice.below(static_cast<unsigned>(more) + 1));
    const bool inside = dice.below(2) == 0;
    std::barrier<> meeting(static_cast<std::ptrdiff_t>(n));
    std::atomic<std::size_t> started = 0;
    const auto f = [&](std::size_t) {
      const std::size_t mine = started++;
      if (mine >= first && mine < first + n - others) meeting.arrive_and_wait();
    };
    const auto submit = [&] {
      for (std::size_t i = 0; i < others; ++i) {
        pool.post([&meeting] { meeting.arrive_and_wait(); });
      }
      pool.post_bulk(more + n - others, f);
    };
    if (inside) {
      pool.post(submit);
    } else {
      submit();
    }
    EXPECT_TRUE(pool.wait_idle());
    ASSERT_EQ(started, more + n - others);
  }
}

TEST_P(bulk_stress, shutdown_in_the_middle) {
  for (int round = 0; round < 60; ++round) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    const auto mode = round % 2 == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
    std::atomic<std::uint64_t> ran = 0;
    std::atomic<std::uint64_t> accepted = 0;
    run_together(3, [&](unsigned who) {
      if (who == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(30 * round));
        EXPECT_TRUE(pool.shutdown(mode).completed);
        return;
      }
      heddle::prim::random dice(heddle::prim::next_seed());
      struct bulk {
        std::unique_ptr<std::atomic<std::size_t>> done;
        std::size_t size;
        future<void> result;
      };
      std::vector<bulk> bulks;
      try {
        for (;;) {
          const auto size = static_cast<std::size_t>(1 + dice.below(200));
          auto done = std::make_unique<std::atomic<std::size_t>>(0);
          auto result =
              pool.submit_bulk(size, [&ran, count = done.get(), c = counted()](std::size_t) {
                ++*count;
                ++ran;
              });
          accepted += size;
          bulks.push_back({std::move(done), size, std::move(result)});
        }
      } catch (const heddle::rejected&) {
      }
      for (auto& b : bulks) {
        b.result.wait();
        if (b.result.failed()) {
          EXPECT_EQ(mode, shutdown_mode::cancel);
          EXPECT_LT(*b.done, b.size);
          EXPECT_THROW(b.result.get(), heddle::cancelled);
        } else {
          EXPECT_EQ(*b.done, b.size);
        }
      }
    });
    EXPECT_EQ(counted::alive, 0);
    const auto s = pool.statistics();
    EXPECT_EQ(s.completed, s.submitted);
    EXPECT_LE(ran, accepted);
    if (mode == shutdown_mode::drain) {
      EXPECT_EQ(ran, accepted);
    }
  }
}

TEST_P(bulk_stress, one_exception_in_the_future_and_the_others_handled) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unhandled_log log;
  std::atomic<std::uint64_t> thrown = 0;
  std::atomic<std::uint64_t> read = 0;
  run_together(2, [&](unsigned who) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int round = 0; round < 200; ++round) {
      const auto size = static_cast<std::size_t>(1 + dice.below(60));
      const auto every = static_cast<std::size_t>(1 + dice.below(20));
      auto f = pool.submit_bulk(size, [&thrown, every](std::size_t i) {
        if (i % every != 0) return;
        ++thrown;
        throw std::runtime_error("a task of a bulk");
      });
      if (who == 1 && dice.below(2) == 0) continue;  // nobody reads it
      if (f.exception() != nullptr) ++read;
    }
  });
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_TRUE(heddle_test::eventually([&] { return log.count() + read == thrown; }));
}

TEST_P(bulk_stress, nested_ones_that_wait) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  run_together(2, [&](unsigned) {
    for (int round = 0; round < 10; ++round) {
      std::atomic<unsigned> leaves = 0;
      const std::function<void(unsigned)> nest = [&](unsigned levels) {
        if (levels == 0) {
          ++leaves;
          return;
        }
        pool.submit_bulk(3, [&nest, levels](std::size_t) { nest(levels - 1); }).get();
      };
      pool.submit(nest, 5U).get();
      EXPECT_EQ(leaves, 243U);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(pools, bulk_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
