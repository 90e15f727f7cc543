#include <heddle/lockfree/ws_deque.hpp>

#include <atomic>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

using deque = heddle::ws_deque<int*>;

class ws_deque_stress : public testing::TestWithParam<unsigned> {};

// One owner, `GetParam()` thieves. Every value is taken exactly once, and its taker sees the plain
// memory that was written before the push.
TEST_P(ws_deque_stress, every_value_is_taken_exactly_once) {
  const heddle_test::watchdog dog;
  for (const std::size_t capacity : {1U, 2U, 64U}) {
    constexpr int values = 12'000;
    deque d(capacity);
    std::vector<int> written(values, 0);
    std::vector<std::atomic<int>> taken(values);
    std::atomic<bool> pushing{true};

    const auto take = [&](int* p) {
      EXPECT_EQ(*p, 1);
      taken[static_cast<std::size_t>(p - written.data())].fetch_add(1, std::memory_order_relaxed);
    };
    const auto own = [&] {
      heddle::prim::random dice(heddle::prim::next_seed());
      int* p = nullptr;
      for (int next = 0; next < values;) {
        for (auto n = dice.below(24) + 1; n > 0 && next < values; --n, ++next) {
          written[static_cast<std::size_t>(next)] = 1;
          d.push(&written[static_cast<std::size_t>(next)]);
        }
        // Mostly down to the last value, where owner and thieves meet.
        for (auto n = dice.below(32); n > 0 && d.pop(p); --n) take(p);
      }
      while (d.pop(p)) take(p);
      pushing.store(false, std::memory_order_release);
    };
    const auto steal = [&] {
      int* p = nullptr;
      for (;;) {
        const bool over = !pushing.load(std::memory_order_acquire);
        switch (d.steal(p)) {
          case deque::theft::success:
            take(p);
            break;
          case deque::theft::lost:
            break;
          case deque::theft::empty:
            if (over) return;
            std::this_thread::yield();
        }
      }
    };
    heddle_test::run_together(GetParam() + 1, [&](unsigned i) { i == 0 ? own() : steal(); });

    for (std::size_t i = 0; i < taken.size(); ++i) ASSERT_EQ(taken[i], 1) << "value " << i;
    EXPECT_TRUE(d.empty());
  }
}

// The owner and the thieves fight for a single value, again and again.
TEST_P(ws_deque_stress, the_last_value_goes_to_one) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 10'000;
  deque d(1);
  std::atomic<int> taken{0};
  std::atomic<bool> over{false};
  int value = 0;
  heddle_test::run_together(GetParam() + 1, [&](unsigned i) {
    heddle::prim::random dice(heddle::prim::next_seed());
    int* p = nullptr;
    if (i == 0) {
      for (int r = 0; r < rounds; ++r) {
        d.push(&value);
        if (r % 64 == 0) std::this_thread::yield();
        if (d.pop(p)) taken.fetch_add(1, std::memory_order_relaxed);
        // Nothing is left: either pop got it or a thief did.
        ASSERT_FALSE(d.pop(p));
      }
      over = true;
    } else {
      while (!over) {
        switch (d.steal(p)) {
          case deque::theft::success:
            taken.fetch_add(1, std::memory_order_relaxed);
            break;
          case deque::theft::lost:
            break;
          case deque::theft::empty:
            if (dice.below(8) == 0) std::this_thread::yield();
        }
      }
    }
  });
  EXPECT_EQ(taken, rounds);
}

INSTANTIATE_TEST_SUITE_P(threads, ws_deque_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
