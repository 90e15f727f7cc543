// Events, latches, barriers and lazy values: those who meet at them are neither lost nor early.

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/sync/barrier.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/lazy.hpp>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;

namespace prim = heddle::prim;

class meeting_stress : public testing::TestWithParam<unsigned> {};

void dawdle(prim::random& dice) {
  for (auto n = dice.below(100); n > 0; --n) prim::pause();
}

// Each pair hands a turn to and fro.
TEST_P(meeting_stress, auto_reset_events_lose_no_turn) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 2'000;
  struct table {
    heddle::auto_reset_event to_ping;
    heddle::auto_reset_event to_pong;
    int ball = 0;  // plain: the events guard it
  };
  std::vector<table> tables(GetParam());
  heddle_test::run_together(2 * GetParam(), [&](unsigned i) {
    table& t = tables[i / 2];
    prim::random dice(prim::next_seed());
    for (int r = 0; r < rounds; ++r) {
      if (i % 2 == 0) {
        ++t.ball;
        t.to_pong.set();
        t.to_ping.wait();
      } else {
        t.to_pong.wait();
        dawdle(dice);
        ++t.ball;
        t.to_ping.set();
      }
    }
  });
  for (const table& t : tables) EXPECT_EQ(t.ball, 2 * rounds);
}

// Workers wait, reset, and look for work: none of it is forgotten.
TEST_P(meeting_stress, manual_reset_events_forget_no_work) {
  const heddle_test::watchdog dog;
  constexpr int each = 2'000;
  const int all = each * static_cast<int>(GetParam());
  heddle::manual_reset_event event;
  std::atomic<int> work{0};
  heddle_test::run_together(GetParam() + 1, [&](unsigned i) {
    prim::random dice(prim::next_seed());
    if (i == 0) {
      for (int done = 0; done < all;) {
        if (!event.wait_for(std::chrono::microseconds(dice.below(100)))) continue;
        event.reset();
        done += work.exchange(0, std::memory_order_relaxed);
      }
    } else {
      for (int n = 0; n < each; ++n) {
        work.fetch_add(1, std::memory_order_relaxed);
        event.set();
        dawdle(dice);
      }
    }
  });
  EXPECT_EQ(work, 0);
}

TEST_P(meeting_stress, latches_open_for_all_at_once) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 150;
  const unsigned threads = GetParam() + 1;
  for (int r = 0; r < rounds; ++r) {
    heddle::latch l(threads);
    std::vector<int> parts(threads);  // plain: the latch hands them over
    heddle_test::run_together(threads, [&](unsigned i) {
      parts[i] = 1;
      if (i % 2 == 0) {
        l.arrive_and_wait();
      } else {
        l.count_down();
        while (!l.wait_for(2us)) {
        }
      }
      for (const int p : parts) EXPECT_EQ(p, 1);
    });
  }
}

TEST_P(meeting_stress, barriers_keep_everybody_in_step) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 1'000;
  const unsigned threads = GetParam();
  std::vector<int> parts(threads);  // plain: the barrier hands them over
  int phases = 0;
  const auto step = [&]() noexcept { ++phases; };
  heddle::barrier b(threads, step);
  heddle_test::run_together(threads, [&](unsigned i) {
    prim::random dice(prim::next_seed());
    for (int r = 1; r <= rounds; ++r) {
      parts[i] = r;
      if (dice.below(2) == 0) {
        b.arrive_and_wait();
      } else {
        auto token = b.arrive();
        while (!b.wait_for(token, std::chrono::microseconds(dice.below(20)))) {
        }
      }
      EXPECT_EQ(phases, 2 * r - 1);
      for (const int p : parts) EXPECT_EQ(p, r);
      b.arrive_and_wait();  // nobody writes until all have read
    }
  });
  EXPECT_EQ(phases, 2 * rounds);
}

// Some give up; then all hear of it, meet at another barrier, and one resets the first.
TEST_P(meeting_stress, broken_barriers_agree) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 300;
  const unsigned threads = GetParam() + 1;
  heddle::barrier b(threads);
  heddle::barrier sure(threads);
  std::atomic<unsigned> passed{0};
  heddle_test::run_together(threads, [&](unsigned i) {
    prim::random dice(prim::next_seed());
    for (int r = 0; r < rounds; ++r) {
      try {
        if (b.arrive_and_wait_for(std::chrono::microseconds(dice.below(200)))) ++passed;
      } catch (const heddle::broken_barrier&) {
      }
      sure.arrive_and_wait();
      if (i == 0) {
        const unsigned n = passed.exchange(0);
        EXPECT_TRUE(n == 0 || n == threads) << n;
        EXPECT_EQ(b.broken(), n == 0);
        b.reset();
      }
      sure.arrive_and_wait();
    }
  });
}

TEST_P(meeting_stress, lazy_values_are_made_once_after_any_failures) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 200;
  const unsigned threads = GetParam() + 1;
  for (int r = 0; r < rounds; ++r) {
    std::atomic<int> tries{0};
    std::atomic<int> failures{0};
    heddle::lazy value([&] {
      const int mine = ++tries;
      if (mine % 3 != 0) throw std::runtime_error("again");
      return std::make_unique<int>(mine);
    });
    heddle_test::run_together(threads, [&](unsigned) {
      for (;;) {
        try {
          EXPECT_EQ(**value, 3);
          return;
        } catch (const std::runtime_error&) {
          ++failures;
        }
      }
    });
    EXPECT_EQ(failures, 2);
    EXPECT_EQ(tries, 3);
  }
}

INSTANTIATE_TEST_SUITE_P(threads, meeting_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
