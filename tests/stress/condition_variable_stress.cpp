#include <heddle/sync/condition_variable.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;

class condition_variable_stress : public testing::TestWithParam<unsigned> {};

// A store of limited room: a lost notification on either side stops everything.
TEST_P(condition_variable_stress, producers_and_consumers_lose_nothing) {
  const heddle_test::watchdog dog;
  constexpr std::uint64_t items = 3'000;
  heddle::mutex m;
  heddle::condition_variable room;
  heddle::condition_variable item;
  std::uint64_t stored = 0;
  std::atomic<std::uint64_t> taken{0};
  heddle_test::run_together(2 * GetParam(), [&](unsigned index) {
    for (std::uint64_t i = 0; i < items; ++i) {
      std::unique_lock lock(m);
      if (index % 2 == 0) {
        room.wait(lock, [&] { return stored < 3; });
        ++stored;
        if (i % 2 == 0) lock.unlock();
        item.notify_one();
      } else {
        item.wait(lock, [&] { return stored > 0; });
        --stored;
        if (i % 3 == 0) lock.unlock();
        room.notify_one();
        taken.fetch_add(1, std::memory_order_relaxed);
      }
    }
  });
  EXPECT_EQ(taken, items * GetParam());
}

// Everybody waits for everybody, again and again.
TEST_P(condition_variable_stress, all_are_woken_each_time) {
  const heddle_test::watchdog dog;
  constexpr int phases = 1'000;
  heddle::mutex m;
  heddle::condition_variable next;
  unsigned arrived = 0;
  int phase = 0;
  heddle_test::run_together(GetParam(), [&](unsigned) {
    for (int i = 0; i < phases; ++i) {
      std::unique_lock lock(m);
      if (++arrived == GetParam()) {
        arrived = 0;
        ++phase;
        next.notify_all();
      } else {
        next.wait(lock, [&] { return phase > i; });
      }
    }
  });
  EXPECT_EQ(phase, phases);
}

// Deadlines and stops at any moment beside waiters that are patient: those get what they wait for.
TEST_P(condition_variable_stress, those_who_give_up_take_nothing_from_the_patient) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 1'000;
  heddle::mutex m;
  heddle::condition_variable changed;
  std::uint64_t permits = 0;
  std::uint64_t given = 0;
  std::uint64_t had = 0;
  heddle_test::run_together(2 * GetParam(), [&](unsigned index) {
    heddle::prim::random dice(heddle::prim::next_seed());
    const auto free = [&] { return permits > 0; };
    for (int i = 0; i < rounds; ++i) {
      std::unique_lock lock(m);
      if (index % 2 == 0) {
        ++permits;
        ++given;
        changed.notify_one();
        continue;
      }
      bool got = true;
      switch (dice.below(3)) {
        case 0:
          got = changed.wait_for(lock, std::chrono::microseconds(dice.below(40)), free);
          break;
        case 1: {
          std::stop_source stop;
          lock.unlock();
          std::jthread stopper;
          if (i % 16 == 0) stopper = std::jthread([&stop] { stop.request_stop(); });
          lock.lock();
          got = changed.wait_for(lock, stop.get_token(), 100us, free);
          lock.unlock();
          if (stopper.joinable()) stopper.join();
          lock.lock();
          break;
        }
        default:
          changed.wait(lock, free);
      }
      if (!got) {
        --i;  // the permits are as many as the rounds
        continue;
      }
      --permits;
      ++had;
      if (permits > 0) changed.notify_one();
    }
  });
  EXPECT_EQ(had, given);
  EXPECT_EQ(permits, 0u);
}

INSTANTIATE_TEST_SUITE_P(threads, condition_variable_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
