#include <heddle/future/future.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>

#include "support/job_queue_executor.hpp"
#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using heddle::future;
using heddle::make_ready_future;
using heddle::promise;
using heddle_test::counted;
using heddle_test::job_queue_executor;
using heddle_test::unhandled_log;

TEST(on_ready, is_called_by_the_thread_that_sets_the_value) {
  promise<int> p;
  future<int> f = p.get_future();
  std::thread::id called_on;
  f.on_ready([&called_on] { called_on = std::this_thread::get_id(); });
  std::thread setter([&p] { p.set_value(1); });
  const std::thread::id expected = setter.get_id();
  setter.join();
  EXPECT_EQ(called_on, expected);
  EXPECT_EQ(f.get(), 1);
}

TEST(on_ready, is_called_at_once_when_it_is) {
  int calls = 0;
  future<int> f = make_ready_future(1);
  f.on_ready([&calls, c = counted()] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(f.get(), 1);
}

TEST(on_ready, calls_many_in_their_order_and_sees_the_future_ready) {
  std::vector<int> order;
  promise<int> p;
  future<int> f = p.get_future();
  for (int i = 0; i < 5; ++i) {
    f.on_ready([&order, &f, i] {
      EXPECT_TRUE(f.ready());
      order.push_back(i);
    });
  }
  p.set_value(1);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(on_ready, is_called_for_errors_cancellations_and_broken_promises) {
  int calls = 0;
  const auto count = [&calls] { ++calls; };
  promise<int> failing;
  future<int> failed = failing.get_future();
  failed.on_ready(count);
  failing.set_exception(std::make_exception_ptr(std::runtime_error("x")));
  EXPECT_EQ(calls, 1);
  promise<int> p;
  future<int> given_up = p.get_future();
  given_up.on_ready(count);
  given_up.cancel();
  EXPECT_EQ(calls, 2);
  future<int> broken;
  {
    promise<int> q;
    broken = q.get_future();
    broken.on_ready(count);
  }
  EXPECT_EQ(calls, 3);
  static_cast<void>(failed.exception());
  static_cast<void>(broken.exception());
}

TEST(on_ready, outlives_the_future) {
  int calls = 0;
  promise<int> p;
  {
    const future<int> f = p.get_future();
    f.on_ready([&calls, c = counted()] { ++calls; });
  }
  EXPECT_EQ(calls, 0);
  p.set_value(1);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(counted::alive, 0);
}

TEST(on_ready, exception_goes_to_the_handler_and_not_to_the_producer) {
  const unhandled_log log;
  int calls = 0;
  promise<int> p;
  future<int> f = p.get_future();
  f.on_ready([] { throw std::runtime_error("callback"); });
  f.on_ready([&calls] { ++calls; });
  EXPECT_TRUE(p.set_value(1));
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(f.get(), 1);
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"callback"});
}

TEST(on_ready, on_an_executor_is_posted) {
  int calls = 0;
  job_queue_executor e;
  promise<int> p;
  future<int> f = p.get_future();
  f.on_ready(e.executor(), [&calls] { ++calls; });
  p.set_value(1);
  EXPECT_EQ(calls, 0);
  e.run_all();
  EXPECT_EQ(calls, 1);
  f.on_ready(e.executor(), [&calls, c = counted()] { ++calls; });
  e.discard_all();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(counted::alive, 0);
}

TEST(on_ready, refuses_what_it_cannot_do_and_changes_nothing) {
  EXPECT_THROW(future<int>().on_ready([] {}), heddle::no_state);
  promise<int> p;
  const future<int> f = p.get_future();
  EXPECT_THROW(f.on_ready(heddle::executor_ref{}, [] {}), std::invalid_argument);
  const counted original;
  const auto callable = [original] {};
  {
    const heddle_test::throwing t(counted::copy_throws);
    EXPECT_THROW(f.on_ready(callable), std::runtime_error);
  }
  EXPECT_EQ(counted::alive, 2);
  p.set_value(1);
}

TEST(on_ready, long_chains_need_no_stack) {
  constexpr std::size_t links = 100'000;
  std::vector<promise<void>> promises(links);
  std::vector<future<void>> futures;
  for (auto& p : promises) futures.push_back(p.get_future());
  for (std::size_t i = 0; i + 1 < links; ++i) {
    futures[i].on_ready([&next = promises[i + 1]] { next.set_value(); });
  }
  promises[0].set_value();
  EXPECT_TRUE(futures.back().ready());
}

TEST(on_ready, of_tasks_is_called_once_each) {
  const heddle_test::watchdog dog;
  std::atomic<int> calls = 0;
  {
    heddle::thread_pool pool(2);
    for (int i = 0; i < 5000; ++i) {
      const auto f = pool.submit([] {});
      f.on_ready([&calls] { ++calls; });
      if (i % 2 == 0) f.on_ready(pool.executor(), [&calls] { ++calls; });
    }
    pool.wait_idle();
  }
  EXPECT_EQ(calls, 7500);
}

}  // namespace
