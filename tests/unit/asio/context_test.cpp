#include <heddle/asio/context.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/prefer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"

namespace {

namespace asio = boost::asio;
namespace execution = boost::asio::execution;
using heddle::manual_executor;
using heddle::thread_pool;
using heddle_test::eventually;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;
using namespace std::chrono_literals;

using context = heddle::asio::context;
using executor = context::executor_type;

static_assert(execution::is_executor_v<executor>);
static_assert(std::is_convertible_v<executor, asio::any_io_executor>);
static_assert(std::is_nothrow_copy_constructible_v<executor>);
static_assert(asio::can_require_v<executor, execution::blocking_t::never_t>);
static_assert(!asio::can_require_v<executor, execution::blocking_t::always_t>);
static_assert(asio::can_prefer_v<executor, execution::blocking_t::possibly_t>);
static_assert(asio::can_require_v<executor, execution::outstanding_work_t::tracked_t>);
static_assert(asio::can_require_v<executor, execution::outstanding_work_t::untracked_t>);
static_assert(asio::can_require_v<executor, execution::relationship_t::fork_t>);
static_assert(asio::can_prefer_v<executor, execution::relationship_t::continuation_t>);

TEST(asio_context, tells_its_properties) {
  manual_executor loop;
  context in(loop);
  const executor e = in.get_executor();
  EXPECT_EQ(&asio::query(e, execution::context), &in);
  EXPECT_EQ(asio::query(e, execution::blocking), execution::blocking.never);
  EXPECT_EQ(asio::query(e, execution::relationship), execution::relationship.fork);
  EXPECT_EQ(asio::query(e, execution::outstanding_work), execution::outstanding_work.untracked);
  const auto tracked = asio::require(e, execution::outstanding_work.tracked);
  EXPECT_EQ(asio::query(tracked, execution::outstanding_work), execution::outstanding_work.tracked);
  EXPECT_EQ(tracked, e);
  const asio::any_io_executor any = e;
  EXPECT_EQ(&asio::query(any, execution::context_as<asio::execution_context&>), &in);
  EXPECT_EQ(any, asio::any_io_executor(in.get_executor()));
  context other(loop);
  EXPECT_NE(any, asio::any_io_executor(other.get_executor()));
}

TEST(asio_context, runs_what_is_posted_dispatched_and_deferred) {
  thread_pool pool(2U);
  const pool_watchdog dog(pool);
  context in(pool);
  std::atomic<int> on_worker = 0;
  const auto f = [&] { on_worker += pool.worker_index() ? 1 : -100; };
  asio::post(in.get_executor(), f);
  asio::dispatch(in.get_executor(), f);
  asio::defer(in.get_executor(), f);
  const asio::any_io_executor any = in.get_executor();
  asio::post(any, f);
  asio::dispatch(any, f);
  asio::defer(any, [f, only_moves = std::make_unique<int>()] { f(); });
  in.join();
  EXPECT_EQ(on_worker, 6);
}

TEST(asio_context, runs_the_handlers_of_timers) {
  thread_pool pool(2U);
  const pool_watchdog dog(pool);
  context in(pool);
  asio::steady_timer timer(in.get_executor(), 1ms);
  std::atomic<bool> on_worker = false;
  int turns = 0;
  std::function<void(boost::system::error_code)> tick = [&](boost::system::error_code code) {
    EXPECT_FALSE(code);
    on_worker = pool.worker_index().has_value();
    if (++turns == 3) return;
    timer.expires_after(1ms);
    timer.async_wait(tick);
  };
  timer.async_wait(tick);
  in.join();  // waits for operations, too
  EXPECT_EQ(turns, 3);
  EXPECT_TRUE(on_worker);
}

TEST(asio_context, runs_the_handlers_of_sockets) {
  thread_pool pool(2U);
  const pool_watchdog dog(pool);
  context in(pool);
  asio::local::stream_protocol::socket a(in.get_executor());
  asio::local::stream_protocol::socket b(in.get_executor());
  asio::local::connect_pair(a, b);
  const std::string sent(100'000, 'x');
  std::string received(sent.size(), ' ');
  std::atomic<int> on_worker = 0;
  asio::async_write(a, asio::buffer(sent), [&](boost::system::error_code code, std::size_t n) {
    EXPECT_FALSE(code);
    EXPECT_EQ(n, sent.size());
    on_worker += pool.worker_index().has_value();
  });
  asio::async_read(b, asio::buffer(received), [&](boost::system::error_code code, std::size_t n) {
    EXPECT_FALSE(code);
    EXPECT_EQ(n, sent.size());
    on_worker += pool.worker_index().has_value();
  });
  in.join();
  EXPECT_EQ(received, sent);
  EXPECT_EQ(on_worker, 2);
}

TEST(asio_context, carries_strands_of_asio) {
  thread_pool pool(4U);
  const pool_watchdog dog(pool);
  context in(pool);
  auto one_by_one = asio::make_strand(asio::any_io_executor(in.get_executor()));
  int unguarded = 0;
  for (int i = 0; i != 500; ++i) asio::post(one_by_one, [&] { ++unguarded; });
  in.join();
  EXPECT_EQ(unguarded, 500);
}

TEST(asio_context, join_waits_for_those_who_track_work) {
  thread_pool pool(1U);
  thread_pool other(1U);
  const pool_watchdog dog(other);
  context in(pool);
  std::optional work(asio::require(in.get_executor(), execution::outstanding_work.tracked));
  std::optional copy(*work);
  *copy = *work;
  auto joined = other.submit([&] { in.join(); });
  work.reset();
  EXPECT_FALSE(joined.wait_for(5ms));
  asio::post(*copy, [] {});
  EXPECT_FALSE(joined.wait_for(5ms));
  copy.reset();
  joined.get();
}

TEST(asio_context, destroys_what_waits_when_it_is_stopped) {
  manual_executor loop;
  context in(loop);
  const auto alive = std::make_shared<int>();
  bool called = false;
  asio::post(in.get_executor(), [&, alive] { called = true; });
  EXPECT_EQ(alive.use_count(), 2);
  in.stop();
  EXPECT_TRUE(in.stopped());
  loop.drain();
  EXPECT_FALSE(called);
  EXPECT_EQ(alive.use_count(), 1);
  in.join();
}

TEST(asio_context, drops_operations_when_it_is_destroyed) {
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  const auto alive = std::make_shared<int>();
  std::atomic<int> calls = 0;
  {
    std::optional<asio::steady_timer> timer;
    context in(pool);
    timer.emplace(in.get_executor(), 1h);
    timer->async_wait([&, alive](boost::system::error_code) { ++calls; });
    auto kept = std::make_shared<asio::steady_timer>(in.get_executor(), 2h);
    kept->async_wait([&, alive, kept](boost::system::error_code) { ++calls; });
    EXPECT_EQ(alive.use_count(), 3);
    timer.reset();  // which cancels, and calls the handler
    EXPECT_TRUE(eventually([&] { return calls == 1; }));
  }
  EXPECT_EQ(alive.use_count(), 1);
  EXPECT_EQ(calls, 1);
}

TEST(asio_context, waits_for_handlers_that_run_when_it_is_destroyed) {
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  for (int i = 0; i != 200; ++i) {
    std::atomic<bool> begun = false;
    std::atomic<bool> ended = false;
    {
      context in(pool);
      asio::post(in.get_executor(), [&] {
        begun = true;
        asio::post(in.get_executor(), [] {});
        ended = true;
      });
    }
    EXPECT_EQ(begun.load(), ended.load());
  }
}

TEST(asio_context, loses_no_exception) {
  thread_pool pool(1U);
  const pool_watchdog dog(pool);
  const unhandled_log log;
  context in(pool);
  asio::post(in.get_executor(), [] { throw std::runtime_error("handler"); });
  in.join();
  EXPECT_TRUE(eventually([&] { return log.count() == 1; }));
}

TEST(asio_context, destroys_what_its_executor_discards) {
  manual_executor closed;
  closed.close();
  context in(closed);
  const auto alive = std::make_shared<int>();
  asio::post(in.get_executor(), [alive] {});
  EXPECT_EQ(alive.use_count(), 1);
  in.join();
}

TEST(asio_context, refuses_no_executor) {
  EXPECT_THROW(context(heddle::executor_ref{}), std::invalid_argument);
}

}  // namespace
