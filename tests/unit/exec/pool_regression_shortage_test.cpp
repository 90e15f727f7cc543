// The pool when memory or threads run out: nothing that it accepted is lost, and nothing is leaked.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>

#include "support/failing_new.hpp"
#include "support/failing_threads.hpp"
#include "support/pools.hpp"

namespace {

using heddle::blocking_scope;
using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::eventually;
using heddle_test::failing_allocations;
using heddle_test::failing_threads;
using heddle_test::gate;
using heddle_test::pool_watchdog;

using namespace std::chrono_literals;

future<void> blocked_in(gate& hold, thread_pool& pool) {
  return pool.submit([&hold] {
    const blocking_scope scope("a gate");
    hold.pass();
  });
}

// Calls f with one allocation more each time until it has enough of them. The pool's threads are
// gone after each call, and with them what they allocated.
template <class F>
void with_ever_more_allocations(F f) {
  f(1000);  // whatever is allocated once and kept
  for (long successes = 0; successes < 100; ++successes) {
    const long before = heddle_test::live_allocations_but_for_cells();
    const bool enough = f(successes);
    EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before)
        << "after " << successes << " allocations";
    if (enough) return;
  }
  FAIL() << "it is never enough";
}

TEST(pool_regression_shortage, of_memory_at_any_point_loses_and_leaks_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const heddle_test::unhandled_log log;
  with_ever_more_allocations([](long successes) {
    thread_pool pool(2U);
    const pool_watchdog dog(pool);
    std::atomic<int> ran = 0;
    int accepted = 0;
    bool enough = false;
    try {
      const failing_allocations fail(successes);
      auto first = pool.submit([&ran] {
        ++ran;
        return 1;
      });
      ++accepted;
      const auto next = first.then([](int i) { return i; });
      std::vector<future<void>> some;
      some.push_back(pool.submit([&ran] { ++ran; }));
      ++accepted;
      pool.post([&ran] { ++ran; });
      ++accepted;
      heddle::wait(some, heddle::wait_condition::first_completed);
      for (const auto& f : heddle::as_completed(some)) EXPECT_TRUE(f.ready());
      pool.wait_idle();
      static_cast<void>(pool.statistics());
      promise<int> p;
      auto cancelled = p.get_future();
      cancelled.cancel();
      static_cast<void>(cancelled.exception());
      enough = true;
    } catch (const std::bad_alloc&) {
    }
    EXPECT_TRUE(pool.wait_idle());
    // A task whose future could not be stored was accepted as well.
    EXPECT_GE(ran, accepted);
    EXPECT_EQ(pool.statistics().completed, pool.statistics().submitted);
    return enough;
  });
}

// The submitter has to start a spare, and cannot.
TEST(pool_regression_shortage, of_memory_for_a_spare_leaves_the_task_to_a_worker) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  with_ever_more_allocations([](long successes) {
    thread_pool pool(1U);
    const pool_watchdog dog(pool);
    gate blocked;
    auto first = blocked_in(blocked, pool);
    blocked.await_arrivals(1);
    std::optional<future<void>> second;
    try {
      const failing_allocations fail(successes);
      second = pool.submit([] {});
    } catch (const std::bad_alloc&) {
    }
    const bool enough = pool.statistics().threads == 2;
    blocked.open();
    first.get();
    if (second) second->get();
    return enough;
  });
}

TEST(pool_regression_shortage, of_threads_does_not_keep_work_from_an_idle_worker) {
  thread_pool pool(3U);
  const pool_watchdog dog(pool);
  ASSERT_TRUE(eventually([&] { return pool.statistics().idle == 3; }));
  const failing_threads fail;
  gate begun, blocked;
  const auto blocks = [&] {
    begun.pass();
    const blocking_scope scope("a gate");
    blocked.pass();
  };
  auto first = pool.submit(blocks);
  auto second = pool.submit(blocks);
  begun.await_arrivals(2);
  // The third worker falls asleep before the others lay their slots down.
  ASSERT_TRUE(eventually([&] { return pool.statistics().idle == 1; }));
  begun.open();
  blocked.await_arrivals(2);
  for (int i = 0; i < 10; ++i) pool.submit([] {}).get();
  blocked.open();
  first.get();
  second.get();
}

TEST(pool_regression_shortage, of_threads_leaves_the_task_to_the_worker_that_comes_back) {
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  gate blocked;
  auto first = blocked_in(blocked, pool);
  blocked.await_arrivals(1);
  const failing_threads fail;
  auto second = pool.submit([] {});
  auto placed = pool.submit_to(0, [] {});
  EXPECT_GE(pool.statistics().starved, 1U);
  blocked.open();
  first.get();
  second.get();
  placed.get();
}

TEST(pool_regression_shortage, of_threads_that_is_over_lets_a_spare_do_what_was_placed) {
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  gate blocked;
  auto first = blocked_in(blocked, pool);
  blocked.await_arrivals(1);
  std::optional<failing_threads> fail(std::in_place);
  auto placed = pool.submit_to(0, [] {});
  fail.reset();
  pool.submit([] {}).get();
  placed.get();
  blocked.open();
  first.get();
}

// Answers the same always.
class eight_workers final : public heddle::sizing::law {
 public:
  heddle::sizing::choice first(double, int, int) override {
    return {1, heddle::sizing::cause::start, "one", 1ms};
  }
  heddle::sizing::choice next(const heddle::sizing::window& now) override {
    return {std::min(8, now.most), heddle::sizing::cause::trial, "as many as can be had", 1ms};
  }
};

TEST(pool_regression_shortage, of_threads_caps_an_adaptive_pool_until_they_can_be_had) {
  heddle_test::gate hold;
  thread_pool pool(heddle::sizing::adaptive{
      .min = 1, .max = 8, .make_law = []() -> std::unique_ptr<heddle::sizing::law> {
        return std::make_unique<eight_workers>();
      }});
  const pool_watchdog watchdog(pool);
  const auto refusals = [&] {
    const auto log = pool.sizing_log();
    return std::ranges::count_if(log, [](const heddle::sizing::logged_choice& c) {
      return c.why == heddle::sizing::cause::bounds && c.reason.find("refused") != c.reason.npos;
    });
  };
  {
    const failing_threads none;
    for (int i = 0; i < 8; ++i) pool.post([&] { hold.pass(); });
    EXPECT_TRUE(eventually([&] { return refusals() != 0; }));
    EXPECT_EQ(pool.size(), 1u);
    EXPECT_EQ(pool.statistics().threads, 1u);
  }
  hold.await_arrivals(8);  // after it has been asked again
  EXPECT_EQ(pool.size(), 8u);
  hold.open();
  pool.wait_idle();
}

}  // namespace
