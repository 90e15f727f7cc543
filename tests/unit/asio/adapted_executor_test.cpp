#include <heddle/asio/adapted_executor.hpp>

#include <memory>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>

#include "support/threads.hpp"

namespace {

namespace asio = boost::asio;
using heddle::asio::adapted_executor;

static_assert(heddle::executor<adapted_executor<asio::io_context::executor_type>>);
static_assert(heddle::takes_jobs<adapted_executor<asio::any_io_executor>&>);

TEST(asio_adapted_executor, runs_tasks_where_the_loop_runs_and_in_their_order) {
  asio::io_context io;
  adapted_executor loop(io.get_executor());
  std::vector<int> order;
  auto a = heddle::submit(loop, [&] {
    order.push_back(1);
    return 42;
  });
  heddle::post(loop, [&] { order.push_back(2); });
  EXPECT_FALSE(a.ready());
  EXPECT_EQ(io.run(), 2U);
  EXPECT_EQ(a.get(), 42);
  EXPECT_THAT(order, testing::ElementsAre(1, 2));
}

TEST(asio_adapted_executor, continues_futures) {
  asio::io_context io;
  adapted_executor loop(io.get_executor());
  heddle::thread_pool pool(1U);
  const heddle_test::watchdog dog;
  const auto work = asio::make_work_guard(io);
  std::thread::id where;
  auto end = pool.submit([] { return 6; }).then(loop, [&](int n) {
    where = std::this_thread::get_id();
    io.stop();
    return 7 * n;
  });
  io.run();
  EXPECT_EQ(end.get(), 42);
  EXPECT_EQ(where, std::this_thread::get_id());
}

TEST(asio_adapted_executor, never_runs_a_job_where_it_is_posted) {
  asio::io_context io;
  adapted_executor loop(io.get_executor());
  bool inside = false;
  bool nested = false;
  heddle::post(loop, [&] {
    inside = true;
    heddle::post(loop, [&] { nested = inside; });
    inside = false;
  });
  EXPECT_EQ(io.run(), 2U);
  EXPECT_FALSE(nested);
}

TEST(asio_adapted_executor, cancels_what_asio_does_not_run) {
  heddle::future<int> left;
  {
    asio::io_context io;
    adapted_executor loop(io.get_executor());
    left = heddle::submit(loop, [] { return 1; });
  }
  EXPECT_THROW(left.get(), heddle::cancelled);
}

TEST(asio_adapted_executor, adapts_executors_of_any_kind) {
  const heddle_test::watchdog dog;
  asio::thread_pool threads(2);
  adapted_executor of_threads(threads.get_executor());
  adapted_executor of_any{asio::any_io_executor(threads.get_executor())};
  adapted_executor of_strand(asio::make_strand(threads.get_executor()));
  heddle::strand one_by_one(of_any);
  int unguarded = 0;
  std::vector<heddle::future<void>> all;
  for (int i = 0; i != 100; ++i) {
    all.push_back(heddle::submit(of_threads, [] {}));
    all.push_back(one_by_one.submit([&] { ++unguarded; }));
  }
  for (auto& f : all) f.get();
  EXPECT_EQ(unguarded, 100);

  all.clear();
  for (int i = 0; i != 100; ++i) all.push_back(heddle::submit(of_strand, [&] { ++unguarded; }));
  for (auto& f : all) f.get();
  EXPECT_EQ(unguarded, 200);
  threads.join();
}

}  // namespace
