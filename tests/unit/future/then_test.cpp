#include <heddle/future/future.hpp>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>

#include "support/job_queue_executor.hpp"
#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::make_ready_future;
using heddle::promise;
using heddle_test::counted;
using heddle_test::job_queue_executor;
using heddle_test::unhandled_log;

future<int> failed_with(const char* what) {
  promise<int> p;
  future<int> f = p.get_future();
  p.set_exception(std::make_exception_ptr(std::runtime_error(what)));
  return f;
}

TEST(then, takes_the_value_and_gives_the_next) {
  job_queue_executor e;
  promise<int> p;
  future<int> f = p.get_future();
  future<std::string> g = f.then(e.executor(), [](int v) { return std::to_string(v); });
  EXPECT_FALSE(f.valid());
  EXPECT_EQ(e.size(), 0U);
  p.set_value(12);
  EXPECT_EQ(e.size(), 1U);
  EXPECT_FALSE(g.ready());
  e.run_all();
  EXPECT_TRUE(g.ready());
  EXPECT_EQ(g.get(), "12");
}

TEST(then, on_a_ready_future_posts_at_once) {
  job_queue_executor e;
  future<int> g = make_ready_future(1).then(e.executor(), [](int v) { return v + 1; });
  EXPECT_EQ(e.size(), 1U);
  EXPECT_FALSE(g.ready());
  e.run_all();
  EXPECT_EQ(g.get(), 2);
}

TEST(then, takes_nothing_of_void_and_returns_void) {
  int calls = 0;
  future<void> g = make_ready_future().then_inline([&calls] { ++calls; });
  g.get();
  make_ready_future(1).then_inline([&calls](int) { ++calls; }).get();
  EXPECT_EQ(calls, 2);
}

TEST(then, takes_what_can_only_move_and_gives_references) {
  int target = 3;
  future<int&> g = make_ready_future(std::make_unique<int>(4))
                       .then_inline([&target](std::unique_ptr<int> v) -> int& {
                         target += *v;
                         return target;
                       });
  EXPECT_EQ(&g.get(), &target);
  EXPECT_EQ(target, 7);

  promise<int&> p;
  future<int&> f = p.get_future();
  future<int> h = f.then_inline([](int& v) { return ++v; });
  p.set_value(target);
  EXPECT_EQ(h.get(), 8);
  EXPECT_EQ(target, 8);
}

TEST(then, takes_the_future_itself_whatever_it_holds) {
  const unhandled_log log;
  future<std::string> good =
      make_ready_future(1).then_inline([](future<int> f) { return std::to_string(f.get()); });
  EXPECT_EQ(good.get(), "1");

  future<std::string> bad = failed_with("bad").then_inline([](future<int> f) -> std::string {
    EXPECT_TRUE(f.ready());
    EXPECT_TRUE(f.failed());
    try {
      static_cast<void>(f.get());
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "nothing";
  });
  EXPECT_EQ(bad.get(), "bad");
  EXPECT_EQ(log.count(), 0U);
}

TEST(then, given_a_future_that_it_does_not_read_tells_the_handler) {
  const unhandled_log log;
  failed_with("unread").then_inline([](const future<int>&) {}).get();
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"unread"});
}

TEST(then, is_skipped_by_an_error_which_goes_on) {
  const unhandled_log log;
  int calls = 0;
  future<int> g = failed_with("first")
                      .then_inline([&calls](int v) {
                        ++calls;
                        return v;
                      })
                      .then_inline([&calls](int v) {
                        ++calls;
                        return v;
                      });
  try {
    static_cast<void>(g.get());
    ADD_FAILURE() << "no exception";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "first");
  }
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(log.count(), 0U);
}

TEST(then, is_skipped_by_cancellation_and_by_a_broken_promise) {
  promise<int> p;
  future<int> f = p.get_future();
  future<int> g;
  {
    promise<int> q;
    g = q.get_future().then_inline([](int v) { return v; });
  }
  EXPECT_THROW(g.get(), heddle::broken_promise);
  f.cancel();
  future<int> h = f.then_inline([](int v) { return v; });
  EXPECT_THROW(h.get(), heddle::cancelled);
}

TEST(then, exception_of_the_continuation_is_its_result) {
  future<int> g =
      make_ready_future(1).then_inline([](int) -> int { throw std::runtime_error("c"); });
  EXPECT_TRUE(g.failed());
  EXPECT_THROW(g.get(), std::runtime_error);
}

TEST(then, error_that_nobody_reads_at_the_end_of_a_chain_is_unhandled_once) {
  const unhandled_log log;
  {
    auto g = failed_with("lost").then_inline([](int v) { return v; }).then_inline([](int v) {
      return v;
    });
  }
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"lost"});
}

TEST(then, whose_callable_cannot_be_moved_in_leaves_the_future_as_before) {
  job_queue_executor e;
  promise<int> p;
  future<int> f = p.get_future();
  counted c;
  const auto callable = [c](int v) { return v; };
  {
    const heddle_test::throwing t(counted::copy_throws);
    EXPECT_THROW(static_cast<void>(f.then(e.executor(), callable)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(f.then_inline(callable)), std::runtime_error);
  }
  EXPECT_EQ(counted::alive, 2);
  EXPECT_TRUE(f.valid());
  p.set_value(1);
  EXPECT_EQ(f.get(), 1);
}

TEST(then, needs_an_executor) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_THROW(static_cast<void>(f.then(heddle::executor_ref{}, [](int) {})),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(f.then([](int) {})), std::invalid_argument);
  EXPECT_TRUE(f.valid());
}

TEST(then, needs_a_callable_that_is_there) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_THROW(static_cast<void>(f.then_inline(std::function<int(int)>())), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(f.then_inline(static_cast<void (*)(int)>(nullptr))),
               std::invalid_argument);
  EXPECT_THROW(f.on_ready(std::function<void()>()), std::invalid_argument);
  EXPECT_TRUE(f.valid());
  p.set_value(1);
  EXPECT_EQ(f.get(), 1);
}

TEST(then, runs_on_the_executor_of_the_future_before) {
  job_queue_executor e;
  future<int> g =
      make_ready_future(1).then(e.executor(), [](int v) { return v + 1; }).then([](int v) {
        return v * 10;
      });
  e.run_all();
  EXPECT_EQ(g.get(), 20);
}

TEST(then, refused_by_its_executor_is_cancelled_and_frees_its_callable) {
  const unhandled_log log;
  job_queue_executor e;
  {
    future<int> g = make_ready_future(1).then(e.executor(), [c = counted()](int v) { return v; });
    EXPECT_EQ(counted::alive, 1);
    e.discard_all();
    EXPECT_EQ(counted::alive, 0);
    EXPECT_TRUE(g.ready());
    EXPECT_THROW(g.get(), heddle::cancelled);
  }
  EXPECT_EQ(log.count(), 0U);
}

// The value it would have had was an error that nobody will see now.
TEST(then, refused_by_its_executor_does_not_lose_the_error_before) {
  const unhandled_log log;
  job_queue_executor e;
  {
    future<int> g = failed_with("kept").then(e.executor(), [](int v) { return v; });
    e.discard_all();
    EXPECT_THROW(g.get(), heddle::cancelled);
  }
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"kept"});
}

TEST(then, cancelled_before_its_turn_never_runs) {
  job_queue_executor e;
  int calls = 0;
  promise<int> p;
  future<void> g = p.get_future().then(e.executor(), [&calls, c = counted()](int) { ++calls; });
  EXPECT_TRUE(g.cancel());
  EXPECT_EQ(counted::alive, 0);
  EXPECT_THROW(g.get(), heddle::cancelled);
  p.set_value(1);
  e.run_all();
  EXPECT_EQ(calls, 0);
}

TEST(then, callable_and_what_it_holds_die_before_the_result_is_seen) {
  future<int> g = make_ready_future(1).then_inline([c = counted()](int v) { return v; });
  EXPECT_TRUE(g.ready());
  EXPECT_EQ(counted::alive, 0);

  promise<int> p;
  int alive_when_seen = -1;
  auto h = p.get_future()
               .then_inline([c = counted()](int v) { return v; })
               .then_inline([&alive_when_seen](int) { alive_when_seen = counted::alive; });
  p.set_value(1);
  EXPECT_EQ(alive_when_seen, 0);
  h.get();
}

TEST(then, future_may_be_dropped_and_the_continuation_runs_all_the_same) {
  int calls = 0;
  promise<int> p;
  {
    auto dropped = p.get_future().then_inline([&calls](int) { ++calls; });
  }
  p.set_value(1);
  EXPECT_EQ(calls, 1);
}

TEST(then, inline_runs_on_the_thread_that_sets_the_value) {
  promise<int> p;
  std::thread::id ran_on;
  auto g = p.get_future().then_inline([&ran_on](int) { ran_on = std::this_thread::get_id(); });
  std::thread setter([&p] { p.set_value(1); });
  const std::thread::id expected = setter.get_id();
  setter.join();
  g.get();
  EXPECT_EQ(ran_on, expected);
}

// Deep enough to run out of any stack if each link called the next.
TEST(then, long_inline_chains_need_no_stack) {
  promise<int> p;
  future<int> f = p.get_future();
  constexpr int links = 100'000;
  for (int i = 0; i < links; ++i) f = f.then_inline([](int v) { return v + 1; });
  p.set_value(0);
  EXPECT_EQ(f.get(), links);
}

TEST(then, long_inline_chains_pass_an_error_on_without_stack) {
  promise<int> p;
  future<int> f = p.get_future();
  for (int i = 0; i < 100'000; ++i) f = f.then_inline([](int v) { return v + 1; });
  p.set_exception(std::make_exception_ptr(std::runtime_error("x")));
  EXPECT_THROW(f.get(), std::runtime_error);
}

TEST(then, long_chains_are_dropped_without_stack) {
  {
    promise<int> p;
    future<int> f = p.get_future();
    for (int i = 0; i < 100'000; ++i) f = f.then_inline([c = counted()](int v) { return v; });
    EXPECT_EQ(counted::alive, 100'000);
    f.cancel();
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(then, long_chains_are_discarded_without_stack) {
  {
    job_queue_executor e;
    promise<int> p;
    future<int> f = p.get_future();
    for (int i = 0; i < 100'000; ++i)
      f = f.then(e.executor(), [c = counted()](int v) { return v; });
    p.set_value(1);
    e.discard_all();
    EXPECT_THROW(f.get(), heddle::cancelled);
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(then, inline_inside_an_inline_continuation_runs_behind_it) {
  std::vector<int> order;
  promise<int> p;
  auto g = p.get_future().then_inline([&order](int v) {
    order.push_back(1);
    auto inner = make_ready_future(v).then_inline([&order](int) { order.push_back(3); });
    order.push_back(2);
    return inner;
  });
  p.set_value(1);
  g.get().get();
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

}  // namespace
