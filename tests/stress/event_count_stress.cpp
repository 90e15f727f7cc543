#include <heddle/sync/event_count.hpp>

#include <atomic>
#include <cstdint>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>

#include "support/threads.hpp"

namespace {

namespace prim = heddle::prim;

class event_count_stress : public testing::TestWithParam<unsigned> {};

// Each pair hands a turn to and fro with relaxed stores: the event count alone makes the waiter see
// it. A single lost wake-up stops the pair for ever.
TEST_P(event_count_stress, ping_pong_loses_no_wakeup) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 6'000;
  struct table {
    heddle::event_count to_ping;
    heddle::event_count to_pong;
    std::atomic<int> turn{0};
  };
  std::vector<table> tables(GetParam());
  heddle_test::run_together(2 * GetParam(), [&](unsigned i) {
    table& t = tables[i / 2];
    const bool ping = i % 2 == 0;
    heddle::event_count& mine = ping ? t.to_ping : t.to_pong;
    heddle::event_count& other = ping ? t.to_pong : t.to_ping;
    prim::random dice(prim::next_seed());
    // So that one's store and the other's decision to sleep meet in every way.
    const auto dawdle = [&dice] {
      for (auto n = dice.below(100); n > 0; --n) prim::pause();
    };
    for (int r = 0; r < rounds; ++r) {
      const int expected = 2 * r + (ping ? 0 : 1);
      dawdle();
      mine.await([&] { return t.turn.load(std::memory_order_relaxed) == expected; });
      dawdle();
      t.turn.store(expected + 1, std::memory_order_relaxed);
      if (r % 2 == 0) {
        other.notify_one();
      } else {
        other.notify_all();
      }
    }
  });
  for (const table& t : tables) EXPECT_EQ(t.turn, 2 * rounds);
}

// Producers of permits notify one each; consumers wait for ever, give up, or cancel. A wake-up that
// falls to somebody who gives up must not be missed by the others.
TEST_P(event_count_stress, permits_all_arrive) {
  const heddle_test::watchdog dog;
  constexpr int each = 6'000;
  heddle::event_count e;
  std::atomic<int> permits{0};
  const auto take = [&permits] {
    int n = permits.load(std::memory_order_relaxed);
    while (n > 0) {
      if (permits.compare_exchange_weak(n, n - 1, std::memory_order_relaxed)) return true;
    }
    return false;
  };
  const unsigned pairs = GetParam();
  heddle_test::run_together(2 * pairs, [&](unsigned i) {
    prim::random dice(prim::next_seed());
    if (i < pairs) {
      for (int k = 0; k < each; ++k) {
        permits.fetch_add(1, std::memory_order_relaxed);
        e.notify_one();
        if (dice.below(256) == 0) std::this_thread::yield();
      }
      return;
    }
    for (int k = 0; k < each; ++k) {
      if (dice.below(2) == 0) {
        e.await(take);
      } else {
        while (
            !e.await_until(prim::clock::now() + std::chrono::microseconds(dice.below(50)), take)) {
        }
      }
    }
  });
  EXPECT_EQ(permits, 0);
}

INSTANTIATE_TEST_SUITE_P(threads, event_count_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
