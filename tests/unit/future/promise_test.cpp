#include <heddle/future/promise.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using heddle::future;
using heddle::make_ready_future;
using heddle::promise;
using heddle_test::counted;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

TEST(promise, gives_its_value_to_its_future) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_TRUE(f.valid());
  EXPECT_FALSE(f.ready());
  EXPECT_TRUE(p.set_value(7));
  EXPECT_TRUE(f.ready());
  EXPECT_FALSE(f.failed());
  EXPECT_EQ(f.get(), 7);
  EXPECT_FALSE(f.valid());
}

TEST(promise, takes_its_value_also_before_the_future_is_taken) {
  promise<std::string> p;
  EXPECT_TRUE(p.set_value(3, 'x'));
  future<std::string> f = p.get_future();
  EXPECT_TRUE(f.ready());
  EXPECT_EQ(f.get(), "xxx");
}

TEST(promise, of_void_of_a_reference_and_of_what_can_only_move) {
  promise<void> nothing;
  future<void> no_value = nothing.get_future();
  nothing.set_value();
  no_value.get();

  int target = 1;
  promise<int&> reference;
  future<int&> referred = reference.get_future();
  reference.set_value(target);
  int& got = referred.get();
  EXPECT_EQ(&got, &target);

  promise<std::unique_ptr<int>> only_moves;
  future<std::unique_ptr<int>> moved = only_moves.get_future();
  only_moves.set_value(std::make_unique<int>(5));
  EXPECT_EQ(*moved.get(), 5);
}

TEST(promise, gives_its_exception_to_its_future) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_TRUE(p.set_exception(std::make_exception_ptr(std::runtime_error("no"))));
  EXPECT_TRUE(f.failed());
  EXPECT_THROW(f.get(), std::runtime_error);
  EXPECT_FALSE(f.valid());
}

TEST(promise, destroyed_without_a_result_breaks) {
  future<int> f;
  {
    promise<int> p;
    f = p.get_future();
  }
  EXPECT_TRUE(f.ready());
  EXPECT_TRUE(f.failed());
  EXPECT_THROW(f.get(), heddle::broken_promise);
}

TEST(promise, assigned_over_breaks) {
  promise<int> p;
  future<int> f = p.get_future();
  p = promise<int>();
  EXPECT_THROW(f.get(), heddle::broken_promise);
  EXPECT_NO_THROW(static_cast<void>(p.get_future()));
}

TEST(promise, moves_with_what_it_knows) {
  promise<int> p;
  future<int> f = p.get_future();
  promise<int> q(std::move(p));
  EXPECT_THROW(static_cast<void>(q.get_future()), heddle::already_satisfied);
  q.set_value(1);
  promise<int> r;
  r = std::move(q);
  EXPECT_THROW(r.set_value(2), heddle::already_satisfied);
  EXPECT_EQ(f.get(), 1);
  EXPECT_THROW(p.set_value(1), heddle::no_state);  // NOLINT(bugprone-use-after-move)
}

TEST(promise, has_one_result_and_one_future) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_THROW(static_cast<void>(p.get_future()), heddle::already_satisfied);
  p.set_value(1);
  EXPECT_THROW(p.set_value(2), heddle::already_satisfied);
  EXPECT_THROW(p.set_exception(std::make_exception_ptr(1)), heddle::already_satisfied);
  EXPECT_EQ(f.get(), 1);
}

TEST(promise, moved_from_has_no_state) {
  promise<int> p;
  const promise<int> q(std::move(p));
  // NOLINTBEGIN(bugprone-use-after-move)
  EXPECT_THROW(static_cast<void>(p.get_future()), heddle::no_state);
  EXPECT_THROW(p.set_value(1), heddle::no_state);
  EXPECT_THROW(p.set_exception(std::make_exception_ptr(1)), heddle::no_state);
  EXPECT_THROW(static_cast<void>(p.is_cancelled()), heddle::no_state);
  // NOLINTEND(bugprone-use-after-move)
}

TEST(promise, takes_no_null_exception) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_THROW(p.set_exception(nullptr), std::invalid_argument);
  p.set_value(1);
  EXPECT_EQ(f.get(), 1);
}

TEST(promise, whose_value_cannot_be_made_has_that_exception_as_its_result) {
  promise<counted> p;
  future<counted> f = p.get_future();
  const counted original;
  {
    const heddle_test::throwing t(counted::copy_throws);
    EXPECT_THROW(p.set_value(original), std::runtime_error);
  }
  ASSERT_TRUE(f.ready());
  EXPECT_THROW(static_cast<void>(f.get()), std::runtime_error);
  EXPECT_EQ(counted::alive, 1);
}

TEST(promise, learns_that_its_consumer_has_cancelled) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_FALSE(p.is_cancelled());
  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(p.is_cancelled());
  EXPECT_TRUE(f.ready());
  EXPECT_FALSE(p.set_value(1));
  EXPECT_THROW(f.get(), heddle::cancelled);
}

TEST(promise, with_a_result_is_not_cancelled) {
  promise<int> p;
  future<int> f = p.get_future();
  p.set_value(1);
  EXPECT_FALSE(f.cancel());
  EXPECT_FALSE(p.is_cancelled());
  EXPECT_EQ(f.get(), 1);
}

TEST(promise, cancelled_ignores_an_exception_and_reports_nothing) {
  const unhandled_log log;
  promise<int> p;
  {
    future<int> f = p.get_future();
    EXPECT_TRUE(f.cancel());
    EXPECT_FALSE(p.set_exception(std::make_exception_ptr(std::runtime_error("late"))));
  }
  EXPECT_EQ(log.count(), 0U);
}

TEST(future, without_state_refuses_everything_but_valid) {
  future<int> f;
  EXPECT_FALSE(f.valid());
  EXPECT_THROW(static_cast<void>(f.ready()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.failed()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.get()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.get(heddle::prim::stop_token())), heddle::no_state);
  EXPECT_THROW(f.wait(), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.wait_for(1ms)), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.wait(heddle::prim::stop_token())), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.exception()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.cancel()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.then_inline([](int) {})), heddle::no_state);
}

TEST(future, moves_and_is_assigned) {
  promise<int> p;
  future<int> f = p.get_future();
  future<int> g(std::move(f));
  EXPECT_FALSE(f.valid());  // NOLINT(bugprone-use-after-move)
  f = std::move(g);
  future<int>& itself = f;
  f = std::move(itself);
  EXPECT_TRUE(f.valid());
  p.set_value(4);
  EXPECT_EQ(f.get(), 4);
}

TEST(future, exception_waits_and_counts_as_reading) {
  const unhandled_log log;
  {
    promise<int> p;
    future<int> f = p.get_future();
    std::thread producer([&p] {
      std::this_thread::sleep_for(2ms);
      p.set_exception(std::make_exception_ptr(std::runtime_error("seen")));
    });
    const std::exception_ptr e = f.exception();
    producer.join();
    ASSERT_NE(e, nullptr);
    EXPECT_THROW(std::rethrow_exception(e), std::runtime_error);
  }
  EXPECT_EQ(log.count(), 0U);
}

TEST(future, exception_is_null_for_a_value_and_a_cancellation_is_one) {
  future<int> good = make_ready_future(1);
  EXPECT_EQ(good.exception(), nullptr);
  EXPECT_EQ(good.get(), 1);

  promise<int> p;
  future<int> f = p.get_future();
  f.cancel();
  const std::exception_ptr e = f.exception();
  ASSERT_NE(e, nullptr);
  EXPECT_THROW(std::rethrow_exception(e), heddle::cancelled);
}

TEST(future, dropped_unread_gives_its_exception_to_the_handler_once) {
  const unhandled_log log;
  {
    promise<int> p;
    const future<int> f = p.get_future();
    p.set_exception(std::make_exception_ptr(std::runtime_error("early")));
    EXPECT_TRUE(f.failed());  // tells, but does not read
    EXPECT_EQ(log.count(), 0U);
  }
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"early"});
  {
    promise<int> p;
    {
      const future<int> f = p.get_future();
    }
    p.set_exception(std::make_exception_ptr(std::runtime_error("late")));
  }
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"early", "late"}));
  EXPECT_EQ(log.count(), 2U);
}

TEST(future, never_taken_gives_its_exception_to_the_handler) {
  const unhandled_log log;
  {
    promise<int> p;
    p.set_exception(std::make_exception_ptr(std::runtime_error("nobody asked")));
  }
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"nobody asked"});
}

TEST(future, read_cancelled_or_with_a_value_tells_the_handler_nothing) {
  const unhandled_log log;
  {
    promise<int> p;
    future<int> f = p.get_future();
    p.set_exception(std::make_exception_ptr(std::runtime_error("read")));
    EXPECT_THROW(f.get(), std::runtime_error);
  }
  {
    promise<int> p;
    future<int> f = p.get_future();
    f.cancel();
  }
  {
    const future<int> f = make_ready_future(1);
  }
  EXPECT_EQ(log.count(), 0U);
}

// Nobody can say whether a broken promise matters: it is an exception like another.
TEST(future, broken_and_unread_goes_to_the_handler) {
  const unhandled_log log;
  {
    future<int> f;
    {
      promise<int> p;
      f = p.get_future();
    }
  }
  EXPECT_EQ(log.count(), 1U);
  {
    const promise<int> never_asked;
  }
  EXPECT_EQ(log.count(), 1U);
}

TEST(future, timed_waits_end_without_a_result) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_FALSE(f.wait_for(1ms));
  EXPECT_FALSE(f.wait_for(0ms));
  EXPECT_FALSE(f.wait_for(-1h));
  EXPECT_FALSE(f.wait_until(heddle::prim::clock::now() - 1h));
  EXPECT_FALSE(f.wait_until(heddle::prim::time_point::min()));
  p.set_value(1);
  EXPECT_TRUE(f.wait_for(-1h));
  EXPECT_TRUE(f.wait_until(heddle::prim::time_point::min()));
  EXPECT_EQ(f.get(), 1);
}

TEST(future, longest_wait_does_not_overflow) {
  const heddle_test::watchdog dog;
  promise<int> p;
  future<int> f = p.get_future();
  std::thread producer([&p] {
    std::this_thread::sleep_for(5ms);
    p.set_value(1);
  });
  EXPECT_TRUE(f.wait_for(std::chrono::hours::max()));
  producer.join();
  EXPECT_TRUE(f.wait_for(std::chrono::nanoseconds::max()));
}

TEST(future, stop_ends_a_wait_and_leaves_the_future_as_it_was) {
  const heddle_test::watchdog dog;
  promise<int> p;
  future<int> f = p.get_future();
  heddle::prim::stop_source stop;
  std::thread stopper([&stop] {
    std::this_thread::sleep_for(2ms);
    stop.request_stop();
  });
  EXPECT_FALSE(f.wait(stop.get_token()));
  stopper.join();
  EXPECT_THROW(static_cast<void>(f.get(stop.get_token())), heddle::cancelled);
  EXPECT_TRUE(f.valid());
  EXPECT_FALSE(f.ready());
  EXPECT_FALSE(p.is_cancelled());
  p.set_value(8);
  EXPECT_TRUE(f.wait(stop.get_token()));
  EXPECT_EQ(f.get(stop.get_token()), 8);
}

TEST(future, token_that_never_stops_waits_for_the_result) {
  const heddle_test::watchdog dog;
  for (const heddle::prim::stop_token& token :
       {heddle::prim::stop_token(), heddle::prim::stop_source().get_token()}) {
    promise<int> p;
    future<int> f = p.get_future();
    std::thread producer([&p] {
      std::this_thread::sleep_for(2ms);
      p.set_value(3);
    });
    EXPECT_EQ(f.get(token), 3);
    producer.join();
  }
}

TEST(future, value_is_moved_out_and_dies_with_the_reader) {
  {
    promise<counted> p;
    future<counted> f = p.get_future();
    p.set_value();
    EXPECT_EQ(counted::alive, 1);
    {
      const counted c = f.get();
    }
    EXPECT_EQ(counted::alive, 0);  // the promise has let go of the cell
  }
  EXPECT_EQ(counted::alive, 0);
  {
    promise<counted> p;
    p.set_value();
    const future<counted> f = p.get_future();
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(future, made_ready) {
  EXPECT_EQ(make_ready_future(std::string("x")).get(), "x");
  const std::string lvalue = "y";
  EXPECT_EQ(make_ready_future(lvalue).get(), "y");
  make_ready_future().get();
}

}  // namespace
