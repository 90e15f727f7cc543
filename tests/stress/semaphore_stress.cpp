#include <heddle/sync/semaphore.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <stop_token>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/seed.hpp>

#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;

namespace prim = heddle::prim;

class semaphore_stress : public testing::TestWithParam<unsigned> {};

// Now and then long enough that others go to sleep.
void linger(prim::random& dice) {
  if (dice.below(64) == 0) std::this_thread::yield();
  if (dice.below(512) == 0) std::this_thread::sleep_for(20us);
}

// Never more inside than there are permits, with all the ways to come in and to give up.
TEST_P(semaphore_stress, lets_no_more_in_than_it_has_permits) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 5'000;
  constexpr int permits = 2;
  heddle::counting_semaphore<permits> s(permits);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  heddle_test::run_together(GetParam() + 1, [&](unsigned) {
    prim::random dice(prim::next_seed());
    for (int i = 0; i < rounds; ++i) {
      switch (dice.below(4)) {
        case 0:
          s.acquire();
          break;
        case 1:
          if (!s.try_acquire()) continue;
          break;
        case 2:
          if (!s.try_acquire_for(std::chrono::microseconds(dice.below(60)))) continue;
          break;
        default: {
          std::stop_source source;
          if (dice.below(2) == 0) source.request_stop();
          if (!s.try_acquire_for(std::chrono::nanoseconds(dice.below(3'000)), source.get_token())) {
            continue;
          }
        }
      }
      const int now = ++inside;
      if (now > most) most = now;
      linger(dice);
      --inside;
      s.release();
    }
  });
  EXPECT_LE(most, permits);
  EXPECT_EQ(s.available(), permits);
}

// Producers give in portions, consumers take one at a time: a lost wake-up stops somebody for ever.
TEST_P(semaphore_stress, every_permit_reaches_a_sleeper) {
  const heddle_test::watchdog dog;
  constexpr int portions = 600;
  const unsigned pairs = GetParam();
  heddle::counting_semaphore<> s(0);
  heddle_test::run_together(2 * pairs, [&](unsigned i) {
    prim::random dice(prim::next_seed());
    if (i < pairs) {
      for (int n = 0; n < 3 * portions; ++n) s.acquire();
    } else {
      for (int n = 0; n < portions; ++n) {
        s.release(3);
        linger(dice);
      }
    }
  });
  EXPECT_EQ(s.available(), 0);
}

// Stops hit sleepers while permits are given: each permit is taken, or still there.
TEST_P(semaphore_stress, stops_lose_no_permit) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 300;
  heddle::counting_semaphore<> s(0);
  for (int r = 0; r < rounds; ++r) {
    std::stop_source source;
    std::atomic<int> taken{0};
    heddle_test::run_together(GetParam() + 2, [&](unsigned i) {
      if (i == 0) {
        source.request_stop();
      } else if (i == 1) {
        s.release(2);
      } else if (s.acquire(source.get_token())) {
        ++taken;
      }
    });
    while (s.try_acquire()) ++taken;
    ASSERT_EQ(taken, 2);
  }
}

// Requests of every size, a capacity that moves, waits that end early or are refused.
TEST_P(semaphore_stress, units_add_up) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 2'500;
  heddle::weighted_semaphore s(8);
  std::atomic<std::uint64_t> inside{0};
  heddle_test::run_together(GetParam() + 1, [&](unsigned index) {
    prim::random dice(prim::next_seed());
    heddle_test::recording_delegate d;
    d.inside_enter = [&] {
      d.log.clear();
      d.refuse = index % 2 == 1 && dice.below(4) == 0;
    };
    for (int i = 0; i < rounds; ++i) {
      const std::uint64_t n = 1 + dice.below(8);
      heddle::weighted_semaphore::holder held;
      try {
        switch (dice.below(4)) {
          case 0:
            held = s.hold(n);
            break;
          case 1:
            held = s.try_hold(n);
            break;
          case 2:
            held = s.try_hold_for(n, std::chrono::microseconds(dice.below(60)));
            break;
          default:
            s.resize(6 + dice.below(4));
        }
      } catch (const heddle::would_starve&) {
        continue;
      } catch (const std::invalid_argument&) {
        continue;  // more than the capacity of the moment
      }
      if (!held) continue;
      EXPECT_LE(inside.fetch_add(n) + n, 9U);
      linger(dice);
      inside.fetch_sub(n);
    }
  });
  EXPECT_EQ(s.held(), 0U);
}

INSTANTIATE_TEST_SUITE_P(threads, semaphore_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
