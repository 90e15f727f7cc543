#include <heddle/asio/use_await.hpp>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/buffer.hpp>
#include <boost/asio/execution.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/require.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <heddle/asio/adapted_executor.hpp>
#include <heddle/asio/context.hpp>
#include <heddle/base/context_slot.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/coro/with_timeout.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using heddle::asio::use_await;
using heddle::asio::use_await_tuple;
using heddle_test::watchdog;
using namespace std::chrono_literals;

// A coroutine of nobody's: begins when it is called, and ends by itself. The closure that it
// belongs to has to live as long.
struct detached {
  struct promise_type {
    detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const { std::terminate(); }
  };
};

// An operation that completes, or does not, in whatever way the test likes.
template <class Signature, class Begin, class Token>
auto async_custom(Begin begin, Token&& token) {
  return asio::async_initiate<Token, Signature>(std::move(begin), token);
}

struct counted_context : heddle::context_node {
  counted_context()
      : context_node{[](context_node* n) noexcept { ++static_cast<counted_context*>(n)->count; },
                     [](context_node* n) noexcept { --static_cast<counted_context*>(n)->count; }} {}
  std::atomic<int> count = 0;
};

TEST(asio_use_await, waits_for_a_timer_on_its_loop) {
  asio::io_context io;
  asio::steady_timer timer(io, 1ms);
  bool begun = false;
  bool ended = false;
  const auto coroutine = [&]() -> detached {
    begun = true;
    co_await timer.async_wait(use_await);
    ended = true;
  };
  coroutine();
  EXPECT_TRUE(begun);
  EXPECT_FALSE(ended);
  io.run();
  EXPECT_TRUE(ended);
}

TEST(asio_use_await, begins_nothing_before_it_is_awaited) {
  asio::io_context io;
  asio::steady_timer timer(io, 1h);
  {
    [[maybe_unused]] auto operation = timer.async_wait(use_await);
  }
  EXPECT_EQ(timer.cancel(), 0U);

  bool cancelled = false;
  const auto coroutine = [&]() -> detached {
    auto operation = timer.async_wait(use_await_tuple);
    cancelled = co_await std::move(operation) == asio::error::operation_aborted;
  };
  coroutine();
  EXPECT_EQ(timer.cancel(), 1U);
  io.run();
  EXPECT_TRUE(cancelled);
}

TEST(asio_use_await, gives_values_and_throws_errors) {
  asio::io_context io;
  asio::local::stream_protocol::socket a(io);
  asio::local::stream_protocol::socket b(io);
  asio::local::connect_pair(a, b);
  const std::string sent(300'000, 'x');
  std::string received;
  error_code end;
  const auto writer = [&]() -> detached {
    const std::size_t n = co_await asio::async_write(a, asio::buffer(sent), use_await);
    EXPECT_EQ(n, sent.size());
    a.close();
  };
  writer();
  const auto reader = [&]() -> detached {
    char buffer[5000];
    try {
      for (;;) {
        const std::size_t n = co_await b.async_read_some(asio::buffer(buffer), use_await);
        received.append(buffer, n);
      }
    } catch (const boost::system::system_error& e) {
      end = e.code();
    }
  };
  reader();
  io.run();
  EXPECT_EQ(received, sent);
  EXPECT_EQ(end, asio::error::eof);
}

TEST(asio_use_await, keeps_errors_as_values_if_told_so) {
  asio::io_context io;
  asio::local::stream_protocol::socket a(io);
  asio::local::stream_protocol::socket b(io);
  asio::local::connect_pair(a, b);
  a.close();
  bool seen = false;
  const auto coroutine = [&]() -> detached {
    char buffer[10];
    const auto [code, n] = co_await asio::async_read(b, asio::buffer(buffer), use_await_tuple);
    seen = code == asio::error::eof && n == 0;
  };
  coroutine();
  io.run();
  EXPECT_TRUE(seen);
}

TEST(asio_use_await, goes_on_where_the_handler_runs) {
  heddle::thread_pool pool(2U);
  const watchdog dog;
  heddle::asio::context in(pool);
  asio::steady_timer timer(in.get_executor());
  std::atomic<int> on_worker = 0;
  const auto coroutine = [&]() -> detached {
    for (int i = 0; i != 10; ++i) {
      timer.expires_after(std::chrono::microseconds(i));
      co_await timer.async_wait(use_await);
      on_worker += pool.worker_index().has_value();
    }
  };
  coroutine();
  in.join();
  EXPECT_EQ(on_worker, 10);
}

// Also when another thread completes the operation while this one is about to suspend.
TEST(asio_use_await, goes_on_there_and_loses_no_completion) {
  heddle::thread_pool pool(2U);
  const watchdog dog;
  heddle::asio::context in(pool);
  heddle::thread_pool other(2U);
  heddle::asio::context in_other(other);
  std::atomic<int> rounds = 0;
  const auto coroutine = [&]() -> detached {
    for (int i = 0; i != 1000; ++i) {
      co_await asio::post(in.get_executor(), use_await);
      rounds += pool.worker_index().has_value();
      co_await asio::post(in_other.get_executor(), use_await);
      rounds += other.worker_index().has_value();
    }
  };
  for (int c = 0; c != 4; ++c) coroutine();
  EXPECT_TRUE(heddle_test::eventually([&] { return rounds == 8000; }));
  in.join();
  in_other.join();
}

TEST(asio_use_await, brings_a_task_back_to_its_executor) {
  heddle::thread_pool pool(2U);
  const watchdog dog;
  asio::io_context io;
  auto work = asio::make_work_guard(io);
  std::thread loop([&] { io.run(); });
  asio::steady_timer timer(io);
  const auto child = [&]() -> heddle::coro::task<int> {
    int on_worker = 0;
    for (int i = 0; i != 10; ++i) {
      timer.expires_after(std::chrono::microseconds(i));
      co_await timer.async_wait(use_await);
      on_worker += pool.worker_index().has_value();
    }
    co_return on_worker;
  };
  const auto parent = [&]() -> heddle::coro::task<int> {
    const int on_worker = co_await child();
    co_return on_worker + pool.worker_index().has_value();
  };
  counted_context context;
  heddle::future<int> result;
  {
    const heddle::context_scope inside(&context);
    result = heddle::coro::spawn(pool, parent());
  }
  EXPECT_EQ(result.get(), 11);
  EXPECT_TRUE(heddle_test::eventually([&] { return context.count == 0; }));
  work.reset();
  loop.join();
}

TEST(asio_use_await, fails_a_task_whose_operation_is_dropped) {
  heddle::thread_pool pool(1U);
  const watchdog dog;
  const auto body = []() -> heddle::coro::task<void> {
    co_await async_custom<void()>([](auto) {}, use_await);
  };
  EXPECT_THROW(heddle::coro::spawn(pool, body()).get(), heddle::cancelled);
}

TEST(asio_use_await, is_not_suspended_by_what_has_completed) {
  int rounds = 0;
  const auto coroutine = [&]() -> detached {
    for (int i = 0; i != 100'000; ++i) {  // which would need a deep stack if each resumed the next
      rounds += co_await async_custom<void(int)>([](auto handler) { handler(1); }, use_await);
    }
  };
  coroutine();
  EXPECT_EQ(rounds, 100'000);
}

TEST(asio_use_await, throws_what_beginning_throws) {
  std::string said;
  const auto coroutine = [&]() -> detached {
    try {
      co_await async_custom<void()>(
          [](auto handler) {
            [[maybe_unused]] auto lost = std::move(handler);
            throw std::runtime_error("no");
          },
          use_await);
    } catch (const std::runtime_error& e) {
      said = e.what();
    }
  };
  coroutine();
  EXPECT_EQ(said, "no");
}

TEST(asio_use_await, is_cancelled_when_the_operation_is_dropped) {
  bool at_once = false;
  bool cancelled = false;
  const auto coroutine = [&](asio::io_context& io) -> detached {
    try {
      co_await async_custom<void()>([](auto) {}, use_await);
    } catch (const heddle::cancelled&) {
      at_once = true;
    }
    try {
      co_await asio::post(io, use_await);
    } catch (const heddle::cancelled&) {
      cancelled = true;
    }
  };
  {
    asio::io_context io;
    coroutine(io);
    EXPECT_TRUE(at_once);
    EXPECT_FALSE(cancelled);
  }
  EXPECT_TRUE(cancelled);
}

TEST(asio_use_await, gives_what_the_signature_says) {
  int checks = 0;
  const auto coroutine = [&]() -> detached {
    co_await async_custom<void()>([](auto h) { h(); }, use_await);
    static_assert(std::is_void_v<decltype(async_custom<void(error_code)>([](auto) {}, use_await)
                                              .operator co_await()
                                              .await_resume())>);

    const std::tuple<int, std::string> two =
        co_await async_custom<void(int, std::string)>([](auto h) { h(1, "one"); }, use_await);
    checks += two == std::tuple(1, "one");

    auto only_moves = co_await async_custom<void(error_code, std::unique_ptr<int>)>(
        [](auto h) { h(error_code(), std::make_unique<int>(2)); }, use_await);
    checks += *only_moves == 2;

    const int after_exception = co_await async_custom<void(std::exception_ptr, int)>(
        [](auto h) { h(nullptr, 3); }, use_await);
    checks += after_exception == 3;

    try {
      co_await async_custom<void(std::exception_ptr, int)>(
          [](auto h) { h(std::make_exception_ptr(std::out_of_range("x")), 3); }, use_await);
    } catch (const std::out_of_range&) {
      ++checks;
    }

    const auto [error, value] = co_await async_custom<void(std::exception_ptr, int)>(
        [](auto h) { h(std::make_exception_ptr(std::out_of_range("x")), 3); }, use_await_tuple);
    checks += error != nullptr && value == 3;
  };
  coroutine();
  EXPECT_EQ(checks, 5);
}

struct throws_when_copied {
  throws_when_copied() = default;
  throws_when_copied(const throws_when_copied&) { throw std::out_of_range("copy"); }
};

TEST(asio_use_await, throws_what_keeping_the_values_throws) {
  bool thrown = false;
  const auto coroutine = [&]() -> detached {
    try {
      co_await async_custom<void(throws_when_copied)>(
          [](auto h) {
            const throws_when_copied value;
            h(value);
          },
          use_await);
    } catch (const std::out_of_range&) {
      thrown = true;
    }
  };
  coroutine();
  EXPECT_TRUE(thrown);
}

TEST(asio_use_await, goes_on_with_the_context_that_it_had) {
  asio::io_context io;
  asio::steady_timer timer(io, 1ms);
  counted_context context;
  heddle::context_ref seen = nullptr;
  const auto coroutine = [&]() -> detached {
    co_await timer.async_wait(use_await);
    seen = heddle::current_context();
  };
  {
    const heddle::context_scope inside(&context);
    coroutine();
  }
  EXPECT_EQ(context.count, 1);
  io.run();
  EXPECT_EQ(seen, &context);
  EXPECT_EQ(heddle::current_context(), nullptr);
  EXPECT_EQ(context.count, 0);
}

// A loop and the thread that runs it.
class running_loop {
 public:
  ~running_loop() {
    work_.reset();
    thread_.join();
  }
  asio::io_context io;

 private:
  asio::executor_work_guard<asio::io_context::executor_type> work_{io.get_executor()};
  std::thread thread_{[this] { io.run(); }};
};

// Calls a handler with 3 when a condition holds.
template <class Handler>
void completes_when(asio::steady_timer& timer, std::function<bool()> condition, Handler handler) {
  timer.expires_after(1ms);
  timer.async_wait([&timer, c = std::move(condition), h = std::move(handler)](error_code) mutable {
    if (c()) return h(3);
    completes_when(timer, std::move(c), std::move(h));
  });
}

TEST(asio_stop, of_a_task_that_was_told_before_begins_nothing) {
  std::stop_source source;
  source.request_stop();
  int begun = 0;
  const auto body = [&](auto token) -> heddle::coro::task<> {
    co_await async_custom<void(error_code)>(
        [&](auto handler) {
          ++begun;
          handler(error_code());
        },
        token);
  };
  EXPECT_THROW(heddle::coro::sync_wait(body(use_await), source.get_token()), heddle::cancelled);
  asio::io_context io;
  asio::steady_timer timer(io);
  EXPECT_THROW(heddle::coro::sync_wait(body(use_await.cancel_with(timer)), source.get_token()),
               heddle::cancelled);
  EXPECT_EQ(begun, 0);
}

TEST(asio_stop, cancels_the_object_that_the_token_names) {
  running_loop loop;
  const watchdog dog;
  asio::steady_timer timer(loop.io, 24h);
  bool told = false;
  const auto body = [&]() -> heddle::coro::task<> {
    try {
      co_await timer.async_wait(use_await.cancel_with(timer));
    } catch (const heddle::cancelled&) {
      told = true;
      throw;
    }
  };
  EXPECT_THROW(heddle::coro::sync_wait(heddle::coro::with_timeout(body(), 5ms)), heddle::timed_out);
  EXPECT_TRUE(told);
}

TEST(asio_stop, comes_from_a_failure_beside_it_and_from_a_future) {
  running_loop loop;
  const watchdog dog;
  heddle::thread_pool pool(2U);
  const auto reader = [&]() -> heddle::coro::task<std::size_t> {
    asio::local::stream_protocol::socket here(loop.io);
    asio::local::stream_protocol::socket there(loop.io);
    asio::local::connect_pair(here, there);
    char buffer[10];
    co_return co_await here.async_read_some(asio::buffer(buffer), use_await.cancel_with(here));
  };
  const auto failing = []() -> heddle::coro::task<> {
    throw std::runtime_error("no");
    co_return;
  };
  for (int round = 0; round != 100; ++round) {
    auto all = heddle::coro::spawn(pool, heddle::coro::gather(reader(), failing()));
    EXPECT_THROW(all.get(), std::runtime_error);
  }
  auto alone = heddle::coro::spawn(pool, reader());
  std::this_thread::sleep_for(1ms);
  alone.cancel();
  EXPECT_THROW(alone.get(), heddle::cancelled);
}

TEST(asio_stop, leaves_the_result_to_those_who_want_errors_as_values) {
  running_loop loop;
  const watchdog dog;
  asio::local::stream_protocol::socket here(loop.io);
  asio::local::stream_protocol::socket there(loop.io);
  asio::local::connect_pair(here, there);
  const auto body = [&]() -> heddle::coro::task<std::size_t> {
    char buffer[10];
    const auto [code, n] =
        co_await asio::async_read(here, asio::buffer(buffer), use_await_tuple.cancel_with(here));
    EXPECT_EQ(code, asio::error::operation_aborted);
    co_return n;
  };
  asio::write(there, asio::buffer("abc", 3));
  std::stop_source source;
  std::thread stopper([&] {
    EXPECT_TRUE(heddle_test::eventually([&] { return here.available() == 0; }));
    source.request_stop();
  });
  EXPECT_EQ(heddle::coro::sync_wait(body(), source.get_token()), 3U);
  stopper.join();
}

TEST(asio_stop, that_was_not_requested_is_none) {
  running_loop loop;
  const watchdog dog;
  heddle::asio::adapted_executor in_loop(loop.io.get_executor());
  asio::steady_timer timer(loop.io, 24h);
  const auto body = [&]() -> heddle::coro::task<bool> {
    try {
      co_await timer.async_wait(use_await.cancel_with(timer));
    } catch (const boost::system::system_error& e) {
      co_return e.code() == asio::error::operation_aborted;
    }
    co_return false;
  };
  auto aborted = heddle::coro::spawn(in_loop, body());
  asio::post(loop.io, [&] { timer.cancel(); });
  EXPECT_TRUE(aborted.get());
}

// Which cancel() may find between two of its steps.
TEST(asio_stop, ends_an_operation_of_several_steps) {
  running_loop loop;
  const watchdog dog;
  for (int round = 0; round != 100; ++round) {
    asio::local::stream_protocol::socket here(loop.io);
    asio::local::stream_protocol::socket there(loop.io);
    asio::local::connect_pair(here, there);
    const std::vector<char> sent(1000);
    std::vector<char> received(10'000);
    const auto body = [&]() -> heddle::coro::task<> {
      co_await asio::async_read(here, asio::buffer(received), use_await.cancel_with(here));
    };
    std::stop_source source;
    std::thread writer([&] {
      for (int i = 0; i != round; ++i) asio::write(there, asio::buffer(sent.data(), 3));
      source.request_stop();
    });
    EXPECT_THROW(heddle::coro::sync_wait(body(), source.get_token()), heddle::cancelled);
    writer.join();
  }
}

TEST(asio_stop, ends_one_whose_steps_are_late_on_their_way_to_the_strand) {
  asio::io_context io;
  auto work = asio::make_work_guard(io);
  std::vector<std::thread> loops;
  for (int i = 0; i != 4; ++i) loops.emplace_back([&] { io.run(); });
  const watchdog dog;
  heddle::thread_pool pool(2U);
  for (int round = 0; round != 300; ++round) {
    asio::local::stream_protocol::socket here(asio::make_strand(io));
    asio::local::stream_protocol::socket there(io);
    asio::local::connect_pair(here, there);
    std::vector<char> received(10'000);
    const auto body = [&]() -> heddle::coro::task<> {
      co_await asio::async_read(here, asio::buffer(received), use_await.cancel_with(here));
    };
    auto reads = heddle::coro::spawn(pool, body());
    for (int i = 0; i != round % 8; ++i) asio::write(there, asio::buffer("abc", 3));
    reads.cancel();
    EXPECT_THROW(reads.get(), heddle::cancelled);
  }
  work.reset();
  for (std::thread& t : loops) t.join();
}

// However many turns the executor makes meanwhile.
TEST(asio_stop, is_tried_for_as_long_as_the_operation_is_between_two_steps) {
  running_loop loop;
  const watchdog dog;
  heddle::thread_pool pool(1U);
  struct {
    asio::io_context& io;
    std::atomic<bool> between_steps = true;
    std::atomic<int> cancelled = 0;
    std::atomic<bool> over = false;

    auto get_executor() { return io.get_executor(); }
    void cancel() {
      ++cancelled;
      over = over || !between_steps;
    }
  } object{loop.io};
  const auto body = [&]() -> heddle::coro::task<int> {
    asio::steady_timer timer(loop.io);
    co_return co_await async_custom<void(int)>(
        [&](auto handler) {
          completes_when(timer, [&] { return object.over.load(); }, std::move(handler));
        },
        use_await.cancel_with(object));
  };
  auto waits = heddle::coro::spawn(pool, body());
  pool.wait_idle();
  waits.cancel();
  EXPECT_TRUE(heddle_test::eventually([&] { return object.cancelled > 1; }));
  std::this_thread::sleep_for(50ms);
  object.between_steps = false;
  EXPECT_EQ(waits.get(), 3);
  EXPECT_LT(object.cancelled, 1000);
}

TEST(asio_stop, that_comes_while_the_operation_begins_is_told_when_it_has_begun) {
  running_loop loop;
  const watchdog dog;
  std::stop_source source;
  struct {
    asio::io_context& io;
    std::atomic<bool> begun = false;
    std::atomic<int> cancelled = 0;
    std::atomic<bool> too_early = false;

    auto get_executor() { return io.get_executor(); }
    void cancel() {
      ++cancelled;
      too_early = too_early || !begun;
    }
  } object{loop.io};
  const auto body = [&]() -> heddle::coro::task<int> {
    asio::steady_timer timer(loop.io);
    co_return co_await async_custom<void(int)>(
        [&](auto handler) {
          source.request_stop();
          std::this_thread::sleep_for(2ms);
          object.begun = true;
          completes_when(timer, [&] { return object.cancelled != 0; }, std::move(handler));
        },
        use_await.cancel_with(object));
  };
  EXPECT_EQ(heddle::coro::sync_wait(body(), source.get_token()), 3);  // it has ended all the same
  EXPECT_GT(object.cancelled, 0);
  EXPECT_FALSE(object.too_early);
}

TEST(asio_stop, that_comes_when_the_operation_was_over_at_once_cancels_nothing) {
  std::stop_source source;
  asio::io_context io;
  asio::steady_timer timer(io, 24h);
  bool other_aborted = false;
  timer.async_wait([&](error_code e) { other_aborted = e == asio::error::operation_aborted; });
  const auto body = [&]() -> heddle::coro::task<int> {
    co_return co_await async_custom<void(int)>(
        [&](auto handler) {
          source.request_stop();
          handler(3);
        },
        use_await.cancel_with(timer));
  };
  EXPECT_EQ(heddle::coro::sync_wait(body(), source.get_token()), 3);
  io.poll();
  EXPECT_FALSE(other_aborted);
}

// The timer goes with the task's frame, as soon as that has gone on.
TEST(asio_stop, races_with_the_end_of_the_operation) {
  running_loop loop;
  const watchdog dog;
  heddle::thread_pool pool(2U);
  int stopped = 0;
  int ended = 0;
  const auto body = [&](std::chrono::microseconds time) -> heddle::coro::task<> {
    const auto timer = std::make_unique<asio::steady_timer>(loop.io, time);
    co_await timer->async_wait(use_await.cancel_with(*timer));
  };
  for (int round = 0; round != 1000; ++round) {
    auto waits = heddle::coro::spawn(pool, body(std::chrono::microseconds(round % 50)));
    for (int i = 0; i != round % 300; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
    waits.cancel();
    try {
      waits.get();
      ++ended;
    } catch (const heddle::cancelled&) {
      ++stopped;
    }
  }
  EXPECT_EQ(stopped + ended, 1000);
}

// An executor on which the one who cancels is late: a function of the test's is called when it has
// to keep the context running, or when it posts.
template <class Inner>
struct late_executor {
  using blocking_t = asio::execution::blocking_t;
  using work_t = asio::execution::outstanding_work_t;

  Inner inner;
  std::function<void()>* before_work;
  std::function<void()>* before_post;

  template <class F>
  void execute(F&& f) const {
    std::exchange(*before_post, [] {})();
    asio::post(inner, std::forward<F>(f));
  }
  asio::execution_context& query(asio::execution::context_t c) const noexcept {
    return asio::query(inner, c);
  }
  static constexpr blocking_t query(blocking_t) noexcept { return asio::execution::blocking.never; }
  late_executor require(blocking_t::never_t) const { return *this; }
  auto require(work_t::tracked_t tracked) const {
    std::exchange(*before_work, [] {})();
    auto tracks = asio::require(inner, tracked);
    return late_executor<decltype(tracks)>{tracks, before_work, before_post};
  }
  auto prefer(work_t::tracked_t tracked) const { return require(tracked); }
  friend bool operator==(const late_executor& a, const late_executor& b) noexcept {
    return a.inner == b.inner;
  }
};

class asio_late_stop : public testing::Test {
 protected:
  // A task waits for a timer, and is told to stop; then one of the two functions is called.
  void stop_with(std::function<void()> before_work, std::function<void()> before_post) {
    struct {
      asio_late_stop& test;
      std::function<void()>* before_work;
      std::function<void()>* before_post;

      auto get_executor() {
        return late_executor<asio::io_context::executor_type>{test.io_.get_executor(), before_work,
                                                              before_post};
      }
      void cancel() {
        ++test.cancelled_;
        test.timer_.cancel();
      }
    } object{*this, &before_work, &before_post};
    heddle::manual_executor home;
    const auto body = [&]() -> heddle::coro::task<> {
      co_await timer_.async_wait(use_await.cancel_with(object));
    };
    auto waits = heddle::coro::spawn(home, body());
    home.drain();
    waits.cancel();
    io_.run();  // what had to be run before it is out of work
    home.drain();
    EXPECT_TRUE(waits.ready());
    io_.restart();
    io_.run();
    home.drain();
    EXPECT_NO_THROW(waits.get());
    EXPECT_EQ(cancelled_, 0);
  }
  // The timer's end, behind which the loop is out of work unless somebody else keeps it.
  void end() {
    EXPECT_EQ(io_.run_one(), 1U);
    io_.poll();
  }

  asio::io_context io_;
  asio::steady_timer timer_{io_, 1ms};
  int cancelled_ = 0;
};

TEST_F(asio_late_stop, that_has_no_loop_any_more_posts_nothing) {
  stop_with(
      [&] {
        end();
        EXPECT_TRUE(io_.stopped());
      },
      [] { ADD_FAILURE(); });
}

TEST_F(asio_late_stop, keeps_the_loop_for_what_it_posts) {
  stop_with([] {},
            [&] {
              end();
              EXPECT_FALSE(io_.stopped());
            });
}

TEST(asio_stop, may_come_where_the_loop_is_gone_before_it_has_cancelled) {
  const watchdog dog;
  heddle::thread_pool pool(1U);
  heddle::future<void> waits;
  {
    asio::io_context io;
    asio::steady_timer timer(io, 24h);
    const auto body = [](asio::steady_timer& t) -> heddle::coro::task<> {
      co_await t.async_wait(use_await.cancel_with(t));
    };
    waits = heddle::coro::spawn(pool, body(timer));
    pool.wait_idle();
    waits.cancel();  // the function that cancels is in the loop, and goes with it
  }
  EXPECT_THROW(waits.get(), heddle::cancelled);
}

// Also where executors of the context's are more than its address.
TEST(asio_stop, leaves_nothing_that_needs_a_context_that_is_gone) {
  const auto with = [](auto token_for, bool stops) {
    heddle::manual_executor home;
    heddle::future<void> waits;
    {
      asio::io_context io;
      std::optional<asio::steady_timer> timer(std::in_place, asio::make_strand(io), 24h);
      const auto body = [](asio::steady_timer& t, auto of) -> heddle::coro::task<> {
        co_await t.async_wait(of(t));
      };
      waits = heddle::coro::spawn(home, body(*timer, token_for));
      home.drain();
      if (stops) waits.cancel();
    }
    home.drain();
    EXPECT_THROW(waits.get(), heddle::cancelled);
  };
  for (const bool stops : {false, true}) {
    with([](asio::steady_timer& t) { return use_await.cancel_with(t); }, stops);
    with([](asio::steady_timer&) { return use_await; }, stops);
  }
}

TEST(asio_stop, on_the_objects_own_thread) {
  const watchdog dog;
  heddle::thread_pool pool(2U);
  heddle::asio::context in(pool);
  asio::steady_timer timer(asio::make_strand(in.get_executor()), 24h);
  std::stop_source source;
  const auto body = [&]() -> heddle::coro::task<> {
    co_await timer.async_wait(use_await.cancel_with(timer));
  };
  asio::steady_timer stopper(timer.get_executor(), 2ms);
  stopper.async_wait([&](error_code) { source.request_stop(); });
  EXPECT_THROW(heddle::coro::sync_wait(body(), source.get_token()), heddle::cancelled);
  in.join();
}

TEST(asio_stop, does_not_reach_other_coroutines) {
  asio::io_context io;
  asio::steady_timer timer(io, 1ms);
  bool ended = false;
  const auto coroutine = [&]() -> detached {
    co_await timer.async_wait(use_await.cancel_with(timer));
    ended = true;
  };
  coroutine();
  io.run();
  EXPECT_TRUE(ended);
}

#if __has_include(<boost/asio/cancellation_signal.hpp>)
TEST(asio_stop, goes_through_the_slot_of_the_operation) {
  running_loop loop;
  const watchdog dog;
  heddle::thread_pool pool(2U);
  const auto waiting = [&]() -> heddle::coro::task<> {
    asio::steady_timer timer(loop.io, 24h);
    co_await timer.async_wait(use_await);
  };
  const auto reader = [&](asio::local::stream_protocol::socket& from) -> heddle::coro::task<> {
    char buffer[100];
    co_await asio::async_read(from, asio::buffer(buffer), use_await);
  };
  for (int round = 0; round != 100; ++round) {
    asio::local::stream_protocol::socket here(loop.io);
    asio::local::stream_protocol::socket there(loop.io);
    asio::local::connect_pair(here, there);
    std::stop_source source;
    std::thread stopper([&] {
      for (int i = 0; i != round % 30; ++i) asio::write(there, asio::buffer("abc", 3));
      source.request_stop();
    });
    EXPECT_THROW(heddle::coro::sync_wait(reader(here), source.get_token()), heddle::cancelled);
    EXPECT_THROW(heddle::coro::sync_wait(waiting(), source.get_token()), heddle::cancelled);
    stopper.join();
    auto alone = heddle::coro::spawn(pool, waiting());
    alone.cancel();
    EXPECT_THROW(alone.get(), heddle::cancelled);
  }
}
#endif

}  // namespace
