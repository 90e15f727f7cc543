#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/future/promise.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/pools.hpp"
#include "support/recording_delegate.hpp"

namespace {

using heddle::inline_executor;

static_assert(heddle::executor<inline_executor>);
static_assert(heddle::executor<const inline_executor>);

TEST(inline_executor_test, runs_at_once_on_the_posting_thread) {
  const inline_executor here;
  std::thread::id ran_on;
  here.post([&] { ran_on = std::this_thread::get_id(); });
  EXPECT_EQ(ran_on, std::this_thread::get_id());
  auto f = here.submit([] { return 42; });
  ASSERT_TRUE(f.ready());
  EXPECT_EQ(f.get(), 42);
}

TEST(inline_executor_test, work_posted_by_its_work_waits_for_that_to_return) {
  const inline_executor here;
  std::string order;
  here.post([&] {
    here.post([&] {
      here.post([&] { order += 'd'; });
      order += 'b';
    });
    inline_executor().post([&] { order += 'c'; });
    order += 'a';
  });
  EXPECT_EQ(order, "abcd");
}

TEST(inline_executor_test, chains_need_no_stack) {
  const inline_executor here;
  int left = 1'000'000;
  std::function<void()> step = [&] {
    if (--left > 0) here.post(std::ref(step));
  };
  here.post(std::ref(step));
  EXPECT_EQ(left, 0);
}

TEST(inline_executor_test, continuations_run_where_the_result_is_made) {
  heddle::promise<int> p;
  auto doubled = p.get_future().then(inline_executor().executor(), [](int n) { return 2 * n; });
  EXPECT_FALSE(doubled.ready());
  p.set_value(4);
  ASSERT_TRUE(doubled.ready());
  EXPECT_EQ(doubled.get(), 8);
}

TEST(inline_executor_test, waiting_inside_runs_the_awaited_work_and_nothing_else) {
  const inline_executor here;
  std::string order;
  const heddle_test::watchdog dog;
  here.post([&] {
    here.post([&] { order += 'c'; });
    auto f = here.submit([&] {
      order += 'a';
      return here.submit([&] { order += 'b'; }).get();
    });
    f.get();
    order += '|';
  });
  EXPECT_EQ(order, "ab|c");
}

TEST(inline_executor_test, other_waits_inside_are_announced_to_whoever_runs_the_thread) {
  heddle_test::recording_delegate outer;
  inline_executor().post([] {
    heddle::promise<void> p;
    auto f = p.get_future();
    EXPECT_FALSE(f.wait_for(std::chrono::milliseconds(1)));
  });
  EXPECT_EQ(outer.log.size(), 2U);
  EXPECT_EQ(heddle::current_blocking_delegate(), &outer) << "and it is back in its place";
}

TEST(inline_executor_test, exceptions_go_where_they_can_be_seen) {
  const heddle_test::unhandled_log unhandled;
  auto f = inline_executor().submit([] { throw std::runtime_error("read"); });
  EXPECT_THROW(f.get(), std::runtime_error);
  inline_executor().post([] { throw std::runtime_error("lost"); });
  EXPECT_EQ(unhandled.sorted(), std::vector<std::string>{"lost"});
}

TEST(submit_test, bad_arguments_are_refused) {
  const inline_executor here;
  EXPECT_THROW(heddle::post(heddle::executor_ref{}, [] {}), std::invalid_argument);
  EXPECT_THROW((void)heddle::submit(heddle::executor_ref{}, [] {}), std::invalid_argument);
  EXPECT_THROW(here.post(std::function<void()>()), std::invalid_argument);
  EXPECT_THROW((void)here.submit(static_cast<int (*)()>(nullptr)), std::invalid_argument);
}

TEST(submit_test, takes_executors_and_references_to_them) {
  inline_executor here;
  heddle::thread_pool pool(1);
  EXPECT_EQ(heddle::submit(here, [] { return 1; }).get(), 1);
  EXPECT_EQ(heddle::submit(pool, [] { return 2; }).get(), 2);
  EXPECT_EQ(heddle::submit(pool.executor(), [] { return 3; }).get(), 3);
  heddle::post(pool, [] {});
}

TEST(submit_test, work_that_runs_hears_of_cancel) {
  heddle::thread_pool pool(1);
  heddle_test::gate began;
  auto f = heddle::submit(pool, [&](heddle::prim::stop_token stop) {
    began.pass();
    while (!stop.stop_requested()) std::this_thread::yield();
    return 5;
  });
  began.await_arrivals(1);
  EXPECT_FALSE(f.cancel());
  began.open();
  EXPECT_EQ(f.get(), 5);
}

TEST(submit_test, what_cannot_be_copied_in_is_not_given_away) {
  const inline_executor here;
  const heddle_test::counted part;
  const auto uses_it = [part] { (void)part; };
  const int before = heddle_test::counted::alive;
  {
    const heddle_test::throwing copies(heddle_test::counted::copy_throws);
    EXPECT_THROW(here.post(uses_it), std::runtime_error);
    EXPECT_THROW((void)here.submit(uses_it), std::runtime_error);
  }
  EXPECT_EQ(heddle_test::counted::alive, before);
}

}  // namespace
