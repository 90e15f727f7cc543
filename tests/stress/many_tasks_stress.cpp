// A great many tasks through one pool, every one of them accounted for.
//
// HEDDLE_STRESS_TASKS says how many; scripts/test --nightly asks for a thousand million.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/cache_line.hpp>
#include <heddle/prim/config.hpp>

#include "support/pools.hpp"

namespace {

using heddle::thread_pool;

std::uint64_t tasks_wanted() {
  const char* const wanted = std::getenv("HEDDLE_STRESS_TASKS");
  return wanted != nullptr ? std::stoull(wanted) : HEDDLE_TSAN ? 200'000 : 2'000'000;
}

// What a worker has seen: how many tasks, and a sum over their numbers in which an exchange of two
// tasks, a double and a missing one all show.
struct alignas(heddle::destructive_interference) account {
  std::atomic<std::uint64_t> tasks{0};
  std::atomic<std::uint64_t> sum{0};

  void note(std::uint64_t number) {
    tasks.fetch_add(1, std::memory_order_relaxed);
    sum.fetch_add(mixed(number), std::memory_order_relaxed);
  }
  static std::uint64_t mixed(std::uint64_t z) {
    z = (z ^ (z >> 33)) * 0xFF51AFD7ED558CCDULL;
    return z ^ (z >> 29);
  }
};

class many_tasks_stress : public heddle_test::pool_test {};

// By single tasks, by bulks, from two producers and from tasks; at no time more than some thousand
// are queued, so that the cells go round and round.
TEST_P(many_tasks_stress, each_runs_once) {
  const std::uint64_t wanted = tasks_wanted();
  std::vector<account> accounts(64);
  std::uint64_t expected = 0;
  {
    thread_pool pool(options());
    const auto note = [&accounts, &pool](std::uint64_t number) {
      accounts[pool.worker_index().value_or(63) % accounts.size()].note(number);
    };
    constexpr std::uint64_t round = 4096;
    const auto produce = [&](std::uint64_t begin, std::uint64_t end) {
      while (begin != end) {
        const std::uint64_t count = std::min(round, end - begin);
        const std::uint64_t quarter = count / 4;
        for (std::uint64_t i = 0; i < quarter; ++i) {
          pool.post([&note, number = begin + i] { note(number); });
        }
        pool.post([&pool, &note, quarter, first = begin + quarter] {
          for (std::uint64_t i = 0; i < quarter; ++i) {
            pool.post([&note, number = first + i] { note(number); });
          }
        });
        const auto rest = [&note, first = begin + 2 * quarter](std::size_t i) { note(first + i); };
        pool.submit_bulk(count - 2 * quarter, rest).get();
        begin += count;
      }
    };
    std::thread other([&] { produce(0, wanted / 2); });
    produce(wanted / 2, wanted);
    other.join();
    pool.wait_idle();
  }
  std::uint64_t tasks = 0;
  std::uint64_t sum = 0;
  for (const account& a : accounts) {
    tasks += a.tasks.load();
    sum += a.sum.load();
  }
  for (std::uint64_t i = 0; i < wanted; ++i) expected += account::mixed(i);
  EXPECT_EQ(tasks, wanted);
  EXPECT_EQ(sum, expected);
}

INSTANTIATE_TEST_SUITE_P(pools, many_tasks_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
