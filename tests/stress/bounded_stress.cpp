// Bounded queues under races: nothing is lost, nobody is left waiting for room.
#include <heddle/exec/thread_pool.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/wait.hpp>
#include <heddle/prim/seed.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::shutdown_mode;
using heddle::thread_pool;
using heddle::when_full;
using heddle_test::counted;
using heddle_test::pool_watchdog;
using heddle_test::run_together;

constexpr std::array policies{when_full::block, when_full::reject, when_full::run_in_caller,
                              when_full::drop_oldest};

class bounded_stress : public heddle_test::pool_test {
 protected:
  static heddle::thread_pool_options options(std::size_t capacity, when_full overflow) {
    heddle::thread_pool_options o = pool_test::options();
    o.queue_capacity = capacity;
    o.overflow = overflow;
    return o;
  }
};

// Room that comes while somebody begins to wait for it must wake him.
TEST_P(bounded_stress, no_blocked_submitter_is_forgotten) {
  for (const std::size_t capacity : {1U, 2U, 7U}) {
    thread_pool pool(options(capacity, when_full::block));
    const pool_watchdog dog(pool);
    std::atomic<std::uint64_t> sum = 0;
    constexpr std::uint64_t each = 5000;
    constexpr unsigned producers = 4;
    run_together(producers, [&](unsigned p) {
      heddle::prim::random dice(heddle::prim::next_seed());
      for (std::uint64_t i = 0; i < each;) {
        const std::uint64_t value = p * each + i;
        if (dice.below(8) == 0 && i + 5 <= each) {
          pool.post_bulk(5, [&sum, value](std::size_t k) { sum += value + k; });
          i += 5;
        } else {
          pool.post([&sum, value] { sum += value; });
          ++i;
        }
      }
    });
    EXPECT_TRUE(pool.wait_idle());
    constexpr std::uint64_t all = producers * each;
    EXPECT_EQ(sum, all * (all - 1) / 2);
  }
}

// One at a time, each time with the queue empty and the worker about to sleep.
TEST_P(bounded_stress, round_trips_through_a_queue_of_one) {
  for (const when_full overflow : policies) {
    thread_pool pool(options(1, overflow));
    const pool_watchdog dog(pool);
    for (int i = 0; i < 3000; ++i) ASSERT_EQ(pool.submit([i] { return i; }).get(), i);
    const auto s = pool.statistics();
    EXPECT_EQ(s.refused + s.ran_in_caller + s.dropped + s.over_capacity, 0U);
  }
}

// Outside tasks that submit inside ones, which exceed the bound.
TEST_P(bounded_stress, trees_from_several_threads) {
  for (const when_full overflow : policies) {
    thread_pool pool(options(2, overflow));
    const pool_watchdog dog(pool);
    struct tree {
      thread_pool& pool;
      std::atomic<std::uint64_t>& leaves;
      int levels;
      void operator()() const {
        if (levels == 0) {
          ++leaves;
          return;
        }
        auto left = pool.submit(tree{pool, leaves, levels - 1});
        tree{pool, leaves, levels - 1}();
        left.get();
      }
    };
    std::atomic<std::uint64_t> leaves = 0;
    std::atomic<std::uint64_t> planted = 0;
    run_together(3, [&](unsigned) {
      for (int i = 0; i < 100; ++i) {
        try {
          pool.submit([&pool, &leaves] { tree{pool, leaves, 5}(); }).get();
          ++planted;
        } catch (const heddle::rejected&) {
        } catch (const heddle::cancelled&) {
        }
      }
    });
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_GE(leaves, 32 * planted);
    if (overflow == when_full::block) {
      EXPECT_EQ(planted, 300U);
      EXPECT_EQ(leaves, 32 * planted);
    }
  }
}

TEST_P(bounded_stress, shutdown_in_the_middle_loses_nothing) {
  for (int round = 0; round < 64; ++round) {
    const when_full overflow = policies[static_cast<std::size_t>(round) % policies.size()];
    const auto mode = (round / 4) % 2 == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
    thread_pool pool(options(1 + static_cast<std::size_t>(round % 3), overflow));
    const pool_watchdog dog(pool);
    std::atomic<std::uint64_t> ran = 0;
    std::atomic<std::uint64_t> accepted = 0;
    std::atomic<std::uint64_t> done = 0;
    std::atomic<std::uint64_t> posted = 0;
    std::atomic<bool> closed = false;
    run_together(4, [&](unsigned who) {
      if (who == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(40 * round));
        EXPECT_TRUE(pool.shutdown(mode).completed);
        closed = true;
        return;
      }
      std::vector<future<void>> futures;
      for (;;) {
        const bool was_closed = closed;
        try {
          futures.push_back(pool.submit([&ran, c = counted()] { ++ran; }));
          if (who == 1) {
            pool.post([&ran, c = counted()] { ++ran; });
            ++posted;
          }
          ASSERT_FALSE(was_closed) << "accepted after shutdown";
        } catch (const heddle::rejected&) {
          if (was_closed) break;
        }
      }
      accepted += futures.size();
      for (auto& f : futures) {
        ASSERT_TRUE(f.ready()) << "shutdown has completed";
        if (f.exception() == nullptr) ++done;
      }
    });
    EXPECT_EQ(counted::alive, 0);
    const auto s = pool.statistics();
    EXPECT_EQ(s.completed, s.submitted);
    if (mode == shutdown_mode::drain) {
      EXPECT_EQ(ran + s.dropped, accepted + posted);
      EXPECT_EQ(s.discarded, s.dropped);
      if (overflow != when_full::drop_oldest) {
        EXPECT_EQ(done, accepted);
        EXPECT_EQ(s.dropped, 0U);
      }
    }
    EXPECT_LE(ran, accepted + posted);
  }
}

// The oldest may be started, helped, cancelled or dropped: by one of them.
TEST_P(bounded_stress, dropping_races_with_starting_and_cancelling) {
  thread_pool pool(options(2, when_full::drop_oldest));
  const pool_watchdog dog(pool);
  std::atomic<std::uint64_t> ran = 0;
  std::atomic<std::uint64_t> done = 0;
  std::atomic<std::uint64_t> cancelled = 0;
  constexpr std::uint64_t each = 4000;
  run_together(3, [&](unsigned who) {
    std::vector<future<std::uint64_t>> futures;
    for (std::uint64_t i = 0; i < each; ++i) {
      futures.push_back(pool.submit([&ran, i, c = counted()] {
        ++ran;
        return i;
      }));
      if (who == 1 && i % 3 == 0) futures.back().cancel();
      if (who == 2 && i % 7 == 0) {
        // From inside, where the waiter may take it out of the queue.
        pool.post([&pool, &ran] {
          try {
            pool.submit([&ran, c = counted()] { ++ran; }).get();
          } catch (const heddle::cancelled&) {
          }
        });
      }
    }
    for (std::uint64_t i = 0; i < each; ++i) {
      try {
        EXPECT_EQ(futures[i].get(), i);
        ++done;
      } catch (const heddle::cancelled&) {
        ++cancelled;
      }
    }
  });
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(done + cancelled, 3 * each);
  EXPECT_GE(ran, done);
  const auto s = pool.statistics();
  EXPECT_EQ(s.submitted, s.completed);
}

INSTANTIATE_TEST_SUITE_P(pools, bounded_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
