#include <heddle/sync/mutex.hpp>

#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/seed.hpp>

#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;

class mutex_stress : public testing::TestWithParam<unsigned> {};

struct protected_counter {
  heddle::mutex mutex;
  std::uint64_t count HEDDLE_GUARDED_BY(mutex) = 0;

  // Holds the lock for a moment, now and then long enough that others go to sleep.
  void add(heddle::prim::random& dice) HEDDLE_REQUIRES(mutex) {
    const std::uint64_t before = count;
    if (dice.below(64) == 0) std::this_thread::yield();
    if (dice.below(512) == 0) std::this_thread::sleep_for(20us);
    count = before + 1;
  }
};

TEST_P(mutex_stress, counts_exactly_under_contention) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 15'000;
  protected_counter c;
  heddle_test::run_together(GetParam(), [&c](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int i = 0; i < rounds; ++i) {
      c.mutex.lock();
      c.add(dice);
      c.mutex.unlock();
    }
  });
  c.mutex.lock();
  EXPECT_EQ(c.count, std::uint64_t{rounds} * GetParam());
  c.mutex.unlock();
}

// Waiters that give up at any moment, those that try once, and those that wait for ever: whoever
// waits for ever is always served.
TEST_P(mutex_stress, no_wakeup_is_lost_to_those_who_give_up) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 10'000;
  protected_counter c;
  std::atomic<std::uint64_t> held{0};
  heddle_test::run_together(GetParam(), [&](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int i = 0; i < rounds; ++i) {
      switch (dice.below(4)) {
        case 0:
          c.mutex.lock();
          break;
        case 1:
          if (!c.mutex.try_lock()) continue;
          break;
        case 2:
          if (!c.mutex.try_lock_for(std::chrono::microseconds(dice.below(60)))) continue;
          break;
        default:
          if (!c.mutex.try_lock_for(std::chrono::nanoseconds(dice.below(3'000)))) continue;
          break;
      }
      c.add(dice);
      held.fetch_add(1, std::memory_order_relaxed);
      c.mutex.unlock();
    }
  });
  c.mutex.lock();
  EXPECT_EQ(c.count, held);
  c.mutex.unlock();
}

// Two turns alternate through one lock that is held while the other arrives, so that nearly every
// lock sleeps; a lost wake-up stops everything.
TEST_P(mutex_stress, every_sleeper_is_woken) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 300;
  protected_counter c;
  heddle_test::run_together(GetParam(), [&c](unsigned) {
    for (int i = 0; i < rounds; ++i) {
      c.mutex.lock();
      ++c.count;
      std::this_thread::sleep_for(1us);
      c.mutex.unlock();
    }
  });
  c.mutex.lock();
  EXPECT_EQ(c.count, std::uint64_t{rounds} * GetParam());
  c.mutex.unlock();
}

// Some are refused by their delegate, at the start of a wait or after a wake-up.
TEST_P(mutex_stress, no_wakeup_is_lost_to_those_who_are_refused) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 5'000;
  protected_counter c;
  std::atomic<std::uint64_t> held{0};
  heddle_test::run_together(GetParam() + 1, [&](unsigned index) {
    heddle::prim::random dice(heddle::prim::next_seed());
    heddle_test::recording_delegate d;
    d.inside_enter = [&] {
      if (dice.below(8) == 0) std::this_thread::yield();
      d.log.clear();
      d.refuse = index % 2 == 0 && dice.below(2) == 0;
    };
    for (int i = 0; i < rounds; ++i) {
      try {
        c.mutex.lock();
      } catch (const heddle::would_starve&) {
        continue;
      }
      c.add(dice);
      held.fetch_add(1, std::memory_order_relaxed);
      c.mutex.unlock();
    }
  });
  c.mutex.lock();
  EXPECT_EQ(c.count, held);
  c.mutex.unlock();
}

// The same with everything recorded: what was counted is what was done.
TEST_P(mutex_stress, statistics_count_exactly) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 3'000;
  protected_counter c;
  c.mutex.record(heddle::lock_recording::all);
  std::atomic<std::uint64_t> given_up{0};
  heddle_test::run_together(GetParam(), [&](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int i = 0; i < rounds; ++i) {
      if (dice.below(4) != 0) {
        c.mutex.lock();
      } else if (!c.mutex.try_lock_for(std::chrono::microseconds(dice.below(30)))) {
        ++given_up;
        continue;
      }
      c.add(dice);
      c.mutex.unlock();
    }
  });
  const heddle::lock_statistics s = c.mutex.statistics();
  EXPECT_EQ(s.acquisitions + s.given_up, std::uint64_t{rounds} * GetParam());
  EXPECT_EQ(s.given_up, given_up);
  EXPECT_EQ(s.hold.count(), s.acquisitions);
  EXPECT_EQ(s.wait.count(), s.contended + s.given_up);
  EXPECT_EQ(c.mutex.owner(), 0u);
}

// An unlock chooses a waiter in the moment in which that one's time is up, while another waits for
// ever behind it and nobody else will come: the wake-up must reach the one who waits. The moment of
// the unlock follows the boundary between too late and in time.
TEST(mutex_timeouts, a_wakeup_that_meets_a_timeout_is_handed_on) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 2'000;
  heddle::mutex m;
  std::atomic<heddle::prim::time_point> deadline{};
  std::atomic<bool> in_time{false};
  std::barrier turn(3);
  heddle_test::run_together(3, [&](unsigned role) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    heddle::prim::random dice(heddle::prim::next_seed());
    auto delay = 0ns;
    for (int r = 0; r < rounds; ++r) {
      if (role == 0) {
        m.lock();
        deadline = heddle::prim::clock::now() + 40us;
      }
      turn.arrive_and_wait();
      if (role == 0) {
        const auto moment = deadline.load() + delay + std::chrono::nanoseconds(dice.below(2'000));
        while (heddle::prim::clock::now() < moment) {
        }
        m.unlock();
      } else if (role == 1) {
        in_time = m.try_lock_until(deadline);
        if (in_time) m.unlock();
      } else {
        m.lock();
        m.unlock();
      }
      turn.arrive_and_wait();
      if (role == 0) delay += in_time ? 1us : -1us;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(threads, mutex_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
