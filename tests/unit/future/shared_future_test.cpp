#include <heddle/future/shared_future.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>

#include "support/job_queue_executor.hpp"
#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::shared_future;
using heddle_test::counted;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

TEST(shared_future, is_read_by_many_as_often_as_they_like) {
  promise<std::string> p;
  future<std::string> f = p.get_future();
  const shared_future<std::string> a = std::move(f).share();
  EXPECT_FALSE(f.valid());  // NOLINT(bugprone-use-after-move)
  const shared_future<std::string> b = a;
  EXPECT_FALSE(b.ready());
  p.set_value("one");
  EXPECT_TRUE(a.ready());
  EXPECT_EQ(a.get(), "one");
  EXPECT_EQ(b.get(), "one");
  EXPECT_EQ(a.get(), "one");
  EXPECT_EQ(&a.get(), &b.get());
  static_assert(std::is_same_v<decltype(a.get()), const std::string&>);
}

TEST(shared_future, of_void_and_of_a_reference) {
  promise<void> nothing;
  const auto done = nothing.get_future().share();
  nothing.set_value();
  done.get();
  static_assert(std::is_void_v<decltype(done.get())>);

  int target = 1;
  promise<int&> p;
  const auto reference = p.get_future().share();
  p.set_value(target);
  EXPECT_EQ(&reference.get(), &target);
  static_assert(std::is_same_v<decltype(reference.get()), int&>);
}

TEST(shared_future, without_state_refuses_everything_but_valid) {
  const shared_future<int> f;
  EXPECT_FALSE(f.valid());
  EXPECT_THROW(static_cast<void>(f.ready()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.failed()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.get()), heddle::no_state);
  EXPECT_THROW(f.wait(), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.wait_for(1ms)), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.cancel()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.exception()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.then_inline([](int) {})), heddle::no_state);
  EXPECT_THROW(f.on_ready([] {}), heddle::no_state);
  EXPECT_THROW(static_cast<void>(future<int>().share()), heddle::no_state);
  EXPECT_FALSE(shared_future<int>(future<int>()).valid());
}

TEST(shared_future, is_copied_moved_and_assigned) {
  promise<counted> p;
  shared_future<counted> a = p.get_future().share();
  shared_future<counted> b = a;
  shared_future<counted> c = std::move(a);
  EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move)
  a = c;
  const shared_future<counted>& itself = a;
  a = itself;
  b = std::move(c);
  p.set_value();
  EXPECT_EQ(counted::alive, 1);
  a = {};
  EXPECT_EQ(counted::alive, 1);
  EXPECT_TRUE(b.ready());
  b = {};
  EXPECT_EQ(counted::alive, 0);
}

TEST(shared_future, exception_is_thrown_to_each_reader_and_read_by_one) {
  const unhandled_log log;
  {
    promise<int> p;
    const auto a = p.get_future().share();
    const auto b = a;
    p.set_exception(std::make_exception_ptr(std::runtime_error("all")));
    EXPECT_TRUE(a.failed());
    EXPECT_THROW(static_cast<void>(a.get()), std::runtime_error);
    EXPECT_THROW(static_cast<void>(a.get()), std::runtime_error);
    EXPECT_NE(b.exception(), nullptr);
  }
  EXPECT_EQ(log.count(), 0U);
  {
    promise<int> p;
    const auto a = p.get_future().share();
    const auto b = a;
    p.set_exception(std::make_exception_ptr(std::runtime_error("nobody")));
  }
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"nobody"});
}

TEST(shared_future, broken_and_cancelled_are_told_to_all) {
  shared_future<int> broken;
  {
    promise<int> p;
    broken = p.get_future().share();
  }
  EXPECT_THROW(static_cast<void>(broken.get()), heddle::broken_promise);
  EXPECT_THROW(static_cast<void>(broken.get()), heddle::broken_promise);
  promise<int> p;
  const auto a = p.get_future().share();
  const auto b = a;
  EXPECT_TRUE(a.cancel());
  EXPECT_FALSE(b.cancel());
  EXPECT_TRUE(p.is_cancelled());
  EXPECT_THROW(static_cast<void>(b.get()), heddle::cancelled);
}

TEST(shared_future, is_waited_for_by_several_threads_with_and_without_limits) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 50; ++round) {
    promise<int> p;
    const auto shared = p.get_future().share();
    std::stop_source stop;
    std::vector<std::thread> readers;
    for (int i = 0; i < 4; ++i) {
      readers.emplace_back([i, mine = shared, token = stop.get_token()] {
        if (i == 1) {
          while (!mine.wait_for(1us)) {
          }
        } else if (i == 2) {
          EXPECT_TRUE(mine.wait(token));
        } else if (i == 3) {
          EXPECT_EQ(mine.get(token), 5);
        }
        EXPECT_EQ(mine.get(), 5);
      });
    }
    p.set_value(5);
    for (auto& t : readers) t.join();
  }
}

TEST(shared_future, stop_ends_a_wait) {
  promise<int> p;
  const auto shared = p.get_future().share();
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(shared.wait(stop.get_token()));
  EXPECT_THROW(static_cast<void>(shared.get(stop.get_token())), heddle::cancelled);
  EXPECT_FALSE(shared.wait_until(heddle::prim::clock::now()));
  EXPECT_FALSE(shared.ready());
}

TEST(shared_future, has_many_continuations) {
  heddle_test::job_queue_executor e;
  promise<std::string> p;
  auto shared = p.get_future().share();
  auto length = shared.then(e.executor(), [](const std::string& s) { return s.size(); });
  auto same = shared.then_inline([](shared_future<std::string> f) { return f.get() + "!"; });
  auto third = shared.then(e.executor(), [](const std::string&) {}).then([] { return 3; });
  EXPECT_TRUE(shared.valid());
  p.set_value("abc");
  shared = {};
  e.run_all();
  EXPECT_EQ(length.get(), 3U);
  EXPECT_EQ(same.get(), "abc!");
  EXPECT_EQ(third.get(), 3);
  EXPECT_THROW(static_cast<void>(promise<int>().get_future().share().then([](int) {})),
               std::invalid_argument);
}

TEST(shared_future, error_goes_on_to_each_continuation) {
  const unhandled_log log;
  int calls = 0;
  promise<int> p;
  auto shared = p.get_future().share();
  auto a = shared.then_inline([&calls](const int&) { ++calls; });
  auto b = shared.then_inline([&calls](int) { ++calls; });
  p.set_exception(std::make_exception_ptr(std::runtime_error("both")));
  EXPECT_THROW(a.get(), std::runtime_error);
  EXPECT_THROW(b.get(), std::runtime_error);
  EXPECT_EQ(calls, 0);
  shared = {};
  EXPECT_EQ(log.count(), 0U);
}

TEST(shared_future, stands_in_ranges) {
  std::vector<promise<int>> promises(3);
  std::vector<shared_future<int>> futures;
  for (auto& p : promises) futures.push_back(p.get_future().share());
  promises[1].set_value(1);
  EXPECT_EQ(heddle::wait(futures, heddle::wait_condition::first_completed).done,
            std::vector<std::size_t>{1});
  promises[0].set_value(0);
  promises[2].set_value(2);
  const auto& constant = futures;
  EXPECT_EQ(heddle::wait(constant).done.size(), 3U);
  int sum = 0;
  for (const auto& f : heddle::as_completed(constant)) sum += f.get();
  EXPECT_EQ(sum, 3);
}

TEST(shared_future, of_a_task_is_read_by_other_tasks) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(2);
  for (int round = 0; round < 200; ++round) {
    const auto shared = pool.submit([] { return std::make_unique<int>(7); }).share();
    std::vector<future<int>> readers;
    for (int i = 0; i < 4; ++i) {
      readers.push_back(pool.submit([shared] { return *shared.get(); }));
    }
    for (auto& f : readers) ASSERT_EQ(f.get(), 7);
  }
}

}  // namespace
