#include <atomic>
#include <barrier>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/deques.hpp"
#include "support/threads.hpp"

namespace {

using heddle_test::ask_for_more;
using heddle_test::share_more;

// One owner, and thieves. Every value is taken exactly once, and its taker sees the plain memory
// that was written before the push.
template <class Deque>
void take_every_value_exactly_once(unsigned thieves) {
  const heddle_test::watchdog dog;
  for (const std::size_t capacity : {1U, 2U, 64U}) {
    constexpr int values = 50'000;
    Deque d(capacity);
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
        if (d.steal(p) == Deque::theft::success) {
          take(p);
          continue;
        }
        ask_for_more(d);
        if (dice.below(8) == 0) share_more(d);
        if (dice.below(16) == 0) std::this_thread::yield();
      }
    };
    heddle_test::run_together(thieves + 1, [&](unsigned i) { i == 0 ? own() : rob(); });

    for (std::size_t i = 0; i < taken.size(); ++i) ASSERT_EQ(taken[i], 1) << "value " << i;
    EXPECT_TRUE(d.empty());
  }
}

// Owner and thieves fight for one to three values, again and again.
template <class Deque>
void fight_for_the_last_values(unsigned thieves, int rounds) {
  const heddle_test::watchdog dog;
  Deque d(4);
  std::atomic<int> stolen{0};
  std::atomic<bool> over{false};
  int pushed = 0;
  int popped = 0;
  int value = 0;
  heddle_test::run_together(thieves + 1, [&](unsigned i) {
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
      if (d.steal(p) == Deque::theft::success) {
        ++mine;
      } else if (!share_more(d) && dice.below(64) == 0) {
        std::this_thread::yield();
      }
    }
    stolen += mine;
  });
  EXPECT_EQ(popped + stolen, pushed);
}

// Many deques grow from nothing under the thieves' eyes, who may hold a buffer that is outgrown.
template <class Deque>
void grow_beneath_thieves(unsigned thieves) {
  const heddle_test::watchdog dog;
  constexpr int values = 64;
  const int rounds = 600 / static_cast<int>(thieves + 1);
  int value = 7;
  std::unique_ptr<Deque> d;
  std::atomic<int> taken{0};
  std::barrier turn(static_cast<std::ptrdiff_t>(thieves + 1));
  heddle_test::run_together(thieves + 1, [&](unsigned i) {
    for (int r = 0; r < rounds; ++r) {
      if (i == 0) {
        taken = 0;
        d = std::make_unique<Deque>(1);
      }
      turn.arrive_and_wait();
      heddle::prim::random dice(heddle::prim::next_seed());
      int* p = nullptr;
      if (i == 0) {
        for (int k = 0; k < values; ++k) d->push(&value);
      }
      while (taken.load(std::memory_order_relaxed) < values) {
        if (d->steal(p) == Deque::theft::success) {
          EXPECT_EQ(p, &value);
          taken.fetch_add(1, std::memory_order_relaxed);
        } else if (!share_more(*d) && dice.below(64) == 0) {
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

// The parameter: how many thieves.
class ws_deque_stress : public testing::TestWithParam<unsigned> {};
using ws_deque = heddle::ws_deque<int*>;

TEST_P(ws_deque_stress, every_value_is_taken_exactly_once) {
  take_every_value_exactly_once<ws_deque>(GetParam());
}
// With two left, the owner takes the last without a contest, and only its fence keeps a thief who
// takes both from taking it too.
TEST_P(ws_deque_stress, the_last_values_go_to_one_taker_each) {
  fight_for_the_last_values<ws_deque>(GetParam(), 300'000);
}
TEST_P(ws_deque_stress, thieves_may_read_an_outgrown_buffer) {
  grow_beneath_thieves<ws_deque>(GetParam());
}
INSTANTIATE_TEST_SUITE_P(threads, ws_deque_stress, testing::ValuesIn(heddle_test::thread_counts()));

class split_deque_stress : public testing::TestWithParam<unsigned> {};
using split_deque = heddle::split_deque<int*>;

TEST_P(split_deque_stress, every_value_is_taken_exactly_once) {
  take_every_value_exactly_once<split_deque>(GetParam());
}
// Over the boundary that the thieves move: only the pair of fences keeps one value from going to
// two.
TEST_P(split_deque_stress, the_last_values_go_to_one_taker_each) {
  fight_for_the_last_values<split_deque>(GetParam(), 200'000);
}
TEST_P(split_deque_stress, thieves_may_read_an_outgrown_buffer) {
  grow_beneath_thieves<split_deque>(GetParam());
}
INSTANTIATE_TEST_SUITE_P(threads, split_deque_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
