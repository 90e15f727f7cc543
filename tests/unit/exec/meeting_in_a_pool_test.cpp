// Tasks that wait for each other with the primitives of sync/, on a pool with fewer workers than
// waiters: spare threads stand in.

#include <atomic>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/sync/barrier.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/lazy.hpp>
#include <heddle/sync/semaphore.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

#include "support/pools.hpp"

namespace {

using heddle_test::pool_watchdog;

TEST(meeting_in_a_pool, tasks_meet_on_one_worker) {
  heddle::thread_pool pool(1);
  const pool_watchdog dog(pool);
  heddle::barrier meeting(4);
  heddle::latch gone(4);
  for (int i = 0; i < 4; ++i) {
    pool.post([&] {
      meeting.arrive_and_wait();
      meeting.arrive_and_wait();
      gone.count_down();
    });
  }
  pool.submit([&] { gone.wait(); }).get();
  EXPECT_GE(pool.statistics().blocked, 3U);
  pool.wait_idle();
}

TEST(meeting_in_a_pool, waiters_come_before_those_who_wake_them) {
  heddle::thread_pool pool(1);
  const pool_watchdog dog(pool);
  heddle::manual_reset_event start;
  heddle::auto_reset_event turn;
  heddle::counting_semaphore<> permits(0);
  heddle::weighted_semaphore units(2);
  units.acquire(2);
  std::vector<heddle::future<void>> waiters;
  waiters.push_back(pool.submit([&] { start.wait(); }));
  waiters.push_back(pool.submit([&] { turn.wait(); }));
  waiters.push_back(pool.submit([&] { permits.acquire(); }));
  waiters.push_back(pool.submit([&] { units.acquire(2); }));
  pool.submit([&] {
        start.set();
        turn.set();
        permits.release();
        units.release(2);
      })
      .get();
  for (auto& w : waiters) w.get();
}

TEST(meeting_in_a_pool, an_initializer_may_wait_for_a_task_that_is_behind_those_who_wait_for_it) {
  heddle::thread_pool pool(1);
  const pool_watchdog dog(pool);
  heddle::manual_reset_event ingredient;
  heddle::lazy value([&] {
    ingredient.wait();
    return 7;
  });
  std::vector<heddle::future<int>> readers;
  for (int i = 0; i < 3; ++i) readers.push_back(pool.submit([&] { return value.get(); }));
  pool.post([&] { ingredient.set(); });
  for (auto& r : readers) EXPECT_EQ(r.get(), 7);
  pool.wait_idle();
}

}  // namespace
