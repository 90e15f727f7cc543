#include <heddle/base/errors.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/future.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <random>
#include <vector>

#include "support/pools.hpp"

namespace {

using heddle::strand;
using heddle::thread_pool;
using heddle_test::pool_shape;

class strand_stress : public heddle_test::pool_test {};
INSTANTIATE_TEST_SUITE_P(shapes, strand_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

// Accounts that only their strand's jobs touch, from as many posters as there are workers: every
// transfer is two jobs on two strands, and no money is lost.
TEST_P(strand_stress, transfers_between_accounts) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  struct account {
    explicit account(thread_pool& p) : turn(p) {}
    strand turn;
    long balance = 1000;
    long changes = 0;
  };
  constexpr std::size_t count = 16;
  std::vector<std::unique_ptr<account>> accounts;
  for (std::size_t i = 0; i < count; ++i) accounts.push_back(std::make_unique<account>(pool));
  const unsigned posters = workers() + 1;
  constexpr int each = 5000;
  heddle_test::run_together(posters, [&](unsigned p) {
    std::mt19937 random(p);
    for (int i = 0; i < each; ++i) {
      account& from = *accounts[random() % count];
      account& to = *accounts[random() % count];
      from.turn.post([&from, &to] {
        from.balance -= 1;
        ++from.changes;
        to.turn.dispatch([&to] {
          to.balance += 1;
          ++to.changes;
        });
      });
    }
  });
  pool.wait_idle();
  long sum = 0;
  long changes = 0;
  for (const auto& a : accounts) {
    sum += a->balance;
    changes += a->changes;
  }
  EXPECT_EQ(sum, 1000 * static_cast<long>(count));
  EXPECT_EQ(changes, 2L * each * posters);
}

// A strand goes idle and is woken again all the time.
TEST_P(strand_stress, round_trips) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  const strand one(pool);
  int turns = 0;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_EQ(one.submit([&] { return ++turns; }).get(), i + 1);
  }
}

// Strands that live as long as their handles, and their handles no longer than a posting.
TEST_P(strand_stress, short_lives) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  std::atomic<int> runs{0};
  heddle_test::run_together(workers(), [&](unsigned) {
    for (int i = 0; i < 3000; ++i) {
      const strand one(pool);
      one.post([&] { ++runs; });
      one.post([&] { ++runs; });
    }
  });
  pool.wait_idle();
  EXPECT_EQ(runs, 6000 * static_cast<int>(workers()));
}

// Each job has exactly one end though the pool is shut down while it is posted.
TEST_P(strand_stress, shutdown_against_posting) {
  for (int round = 0; round < 20; ++round) {
    const auto mode = round % 2 == 0 ? heddle::shutdown_mode::cancel : heddle::shutdown_mode::drain;
    thread_pool pool(options());
    const heddle_test::pool_watchdog dog(pool);
    const strand one(pool);
    std::atomic<int> alive{0};
    std::atomic<int> runs{0};
    struct counted_end {
      explicit counted_end(std::atomic<int>& n) : count(&n) { ++n; }
      counted_end(counted_end&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
      ~counted_end() {
        if (count != nullptr) --*count;
      }
      std::atomic<int>* count;
    };
    std::vector<std::vector<heddle::future<void>>> futures(2);
    heddle_test::run_together(3, [&](unsigned i) {
      if (i == 2) {
        pool.shutdown(mode);
        return;
      }
      for (int n = 0; n < 500; ++n) {
        futures[i].push_back(one.submit([&runs, end = counted_end(alive)] { ++runs; }));
      }
    });
    int values = 0;
    for (auto& side : futures) {
      for (auto& f : side) {
        f.wait();
        if (!f.failed()) ++values;
      }
    }
    EXPECT_EQ(values, runs);
    EXPECT_EQ(alive, 0);
  }
}

}  // namespace
