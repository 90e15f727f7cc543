#include <heddle/sync/event_count.hpp>

#include <atomic>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using heddle::event_count;
using namespace std::chrono_literals;

namespace prim = heddle::prim;

TEST(event_count, notifying_nobody_is_harmless_and_is_not_remembered) {
  event_count e;
  e.notify_one();
  e.notify_all();
  const auto k = e.prepare_wait();
  EXPECT_FALSE(e.wait(k, prim::clock::now() + 5ms));
}

TEST(event_count, a_notification_after_prepare_wait_ends_the_wait) {
  const heddle_test::watchdog dog;
  event_count e;
  const auto one = e.prepare_wait();
  e.notify_one();
  EXPECT_TRUE(e.wait(one));
  const auto all = e.prepare_wait();
  e.notify_all();
  EXPECT_TRUE(e.wait(all));
}

TEST(event_count, a_cancelled_wait_leaves_no_trace) {
  event_count e;
  for (int i = 0; i < 3; ++i) {
    e.prepare_wait();
    e.cancel_wait();
  }
  const auto k = e.prepare_wait();
  EXPECT_FALSE(e.wait(k, prim::clock::now()));
}

TEST(event_count, gives_up_at_the_deadline_and_not_before) {
  event_count e;
  const auto deadline = prim::clock::now() + 10ms;
  EXPECT_FALSE(e.wait(e.prepare_wait(), deadline));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(e.wait(e.prepare_wait(), prim::time_point::min()));
}

TEST(event_count, await_returns_when_the_predicate_holds) {
  const heddle_test::watchdog dog;
  event_count e;
  std::atomic<bool> ready{false};
  std::thread notifier([&] {
    std::this_thread::sleep_for(5ms);
    ready.store(true, std::memory_order_relaxed);
    e.notify_one();
  });
  e.await([&] { return ready.load(std::memory_order_relaxed); });
  EXPECT_TRUE(ready);
  notifier.join();
}

TEST(event_count, await_until_returns_the_predicate_at_the_deadline) {
  event_count e;
  EXPECT_FALSE(e.await_until(prim::clock::now() + 5ms, [] { return false; }));
  EXPECT_TRUE(e.await_until(prim::clock::now(), [] { return true; }));
  int looks = 0;
  EXPECT_TRUE(e.await_until(prim::clock::now() - 1s, [&looks] { return ++looks > 2; }));
}

TEST(event_count, notify_all_wakes_everybody) {
  const heddle_test::watchdog dog;
  event_count e;
  std::atomic<int> waiting{0};
  std::atomic<bool> ready{false};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 8; ++i) {
    waiters.emplace_back([&] {
      ++waiting;
      e.await([&] { return ready.load(std::memory_order_relaxed); });
    });
  }
  while (waiting != 8) std::this_thread::yield();
  std::this_thread::sleep_for(5ms);
  ready.store(true, std::memory_order_relaxed);
  e.notify_all();
  for (std::thread& t : waiters) t.join();
}

// Each notify_one hands one permit on; were one wake-up lost, somebody would sleep for ever.
TEST(event_count, each_notify_one_wakes_at_least_one) {
  const heddle_test::watchdog dog;
  event_count e;
  std::atomic<int> permits{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 8; ++i) {
    waiters.emplace_back([&] {
      e.await([&] {
        int n = permits.load(std::memory_order_relaxed);
        while (n > 0) {
          if (permits.compare_exchange_weak(n, n - 1, std::memory_order_relaxed)) return true;
        }
        return false;
      });
    });
  }
  std::this_thread::sleep_for(5ms);
  for (int i = 0; i < 8; ++i) {
    permits.fetch_add(1, std::memory_order_relaxed);
    e.notify_one();
  }
  for (std::thread& t : waiters) t.join();
  EXPECT_EQ(permits, 0);
}

TEST(event_count, tells_the_delegate_and_is_cancelled_when_it_throws) {
  const heddle_test::watchdog dog;
  event_count e;
  heddle_test::recording_delegate d;
  heddle_test::wait_in_vain(
      [&](auto time) { EXPECT_FALSE(e.wait(e.prepare_wait(), prim::clock::now() + time)); },
      [&] { return !d.log.empty(); });
  EXPECT_EQ(d.log.size(), 2U);
  d.refuse = true;
  EXPECT_THROW(e.wait(e.prepare_wait()), heddle::would_starve);
  EXPECT_THROW(e.await([] { return false; }), heddle::would_starve);
  EXPECT_EQ(d.log.size(), 2U);
  heddle_test::overwrite_dead_stack();
  e.notify_all();  // nobody may still be listed
  d.refuse = false;
  const auto k = e.prepare_wait();
  e.notify_one();
  EXPECT_TRUE(e.wait(k));
}

}  // namespace
