#include <heddle/lockfree/split_deque.hpp>

#include <atomic>
#include <barrier>
#include <memory>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

using deque = heddle::split_deque<int*>;
using theft = deque::theft;

class split_deque_stress : public testing::TestWithParam<unsigned> {};

// As a worker that finds nothing: asks, and moves the boundary when that does not help.
bool steal_somehow(deque& d, int*& p, heddle::prim::random& dice) {
  if (d.steal(p) == theft::success) return true;
  d.ask();
  if (dice.below(8) == 0) d.raise();
  return false;
}

// One owner, `GetParam()` thieves. Every value is taken exactly once, and its taker sees the plain
// memory that was written before the push.
TEST_P(split_deque_stress, every_value_is_taken_exactly_once) {
  const heddle_test::watchdog dog;
  for (const std::size_t capacity : {1U, 2U, 64U}) {
    constexpr int values = 50'000;
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
    const auto rob = [&] {
      heddle::prim::random dice(heddle::prim::next_seed());
      int* p = nullptr;
      while (pushing.load(std::memory_order_acquire)) {
        if (steal_somehow(d, p, dice)) {
          take(p);
        } else if (dice.below(16) == 0) {
          std::this_thread::yield();
        }
      }
    };
    heddle_test::run_together(GetParam() + 1, [&](unsigned i) { i == 0 ? own() : rob(); });

    for (std::size_t i = 0; i < taken.size(); ++i) ASSERT_EQ(taken[i], 1) << "value " << i;
    EXPECT_TRUE(d.empty());
  }
}

// Owner and thieves fight for one to three values, again and again, over the boundary that the
// thieves move: only the pair of fences keeps one value from going to two.
TEST_P(split_deque_stress, the_last_values_go_to_one_taker_each) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 200'000;
  deque d(4);
  std::atomic<int> stolen{0};
  std::atomic<bool> over{false};
  int pushed = 0;
  int popped = 0;
  int value = 0;
  heddle_test::run_together(GetParam() + 1, [&](unsigned i) {
    heddle::prim::random dice(heddle::prim::next_seed());
    int* p = nullptr;
    if (i == 0) {
      for (int r = 0; r < rounds; ++r) {
        for (int n = 1 + r % 3; n > 0; --n, ++pushed) d.push(&value);
        if (r % 256 == 0) std::this_thread::yield();
        while (d.pop(p)) ++popped;
        ASSERT_FALSE(d.pop(p)) << "nothing is left: either pop got it or a thief did";
      }
      over = true;
      return;
    }
    int mine = 0;
    while (!over) {
      if (d.steal(p) == theft::success) {
        ++mine;
      } else if (d.raise() != theft::success && dice.below(64) == 0) {
        std::this_thread::yield();
      }
    }
    stolen += mine;
  });
  EXPECT_EQ(popped + stolen, pushed);
}

// Many deques grow from nothing under the thieves' eyes, who may hold a buffer that is outgrown.
TEST_P(split_deque_stress, thieves_may_read_an_outgrown_buffer) {
  const heddle_test::watchdog dog;
  constexpr int values = 64;
  const unsigned thieves = GetParam();
  const int rounds = 600 / static_cast<int>(thieves + 1);
  int value = 7;
  std::unique_ptr<deque> d;
  std::atomic<int> taken{0};
  std::barrier turn(static_cast<std::ptrdiff_t>(thieves + 1));
  heddle_test::run_together(thieves + 1, [&](unsigned i) {
    for (int r = 0; r < rounds; ++r) {
      if (i == 0) {
        taken = 0;
        d = std::make_unique<deque>(1);
      }
      turn.arrive_and_wait();
      heddle::prim::random dice(heddle::prim::next_seed());
      int* p = nullptr;
      if (i == 0) {
        for (int k = 0; k < values; ++k) d->push(&value);
      }
      while (taken.load(std::memory_order_relaxed) < values) {
        if (d->steal(p) == theft::success) {
          EXPECT_EQ(p, &value);
          taken.fetch_add(1, std::memory_order_relaxed);
        } else if (d->raise() != theft::success && dice.below(64) == 0) {
          std::this_thread::yield();
        }
      }
      turn.arrive_and_wait();
      if (i == 0) {
        EXPECT_EQ(taken, values);
        EXPECT_TRUE(d->empty());
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(threads, split_deque_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
