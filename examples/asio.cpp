// Boost.Asio and Heddle, in both directions.

#include <chrono>
#include <coroutine>
#include <cstdio>
#include <exception>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <heddle/asio/adapted_executor.hpp>
#include <heddle/asio/context.hpp>
#include <heddle/asio/use_await.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/coro/with_timeout.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace {

using stream = boost::asio::local::stream_protocol::socket;

// Any coroutine will do; this one runs until it ends, and nobody waits for it.
struct coroutine {
  struct promise_type {
    coroutine get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

// [await]
coroutine greet(stream& connection, std::string& answer) {
  using heddle::asio::use_await;
  co_await boost::asio::async_write(connection, boost::asio::buffer("hello\n", 6), use_await);
  co_await boost::asio::async_read_until(connection, boost::asio::dynamic_buffer(answer), '\n',
                                         use_await);
}
// [await end]

// [stop]
heddle::coro::task<std::size_t> receive(stream& connection, std::string& text) {
  co_return co_await boost::asio::async_read_until(connection, boost::asio::dynamic_buffer(text),
                                                   '\n',
                                                   heddle::asio::use_await.cancel_with(connection));
}
// [stop end]

}  // namespace

int main() {
  using namespace std::chrono_literals;

  // [context]
  heddle::thread_pool pool(2U);
  heddle::asio::context on_pool(pool);
  boost::asio::steady_timer timer(on_pool.get_executor(), 1ms);
  bool on_worker = false;
  timer.async_wait([&](auto) { on_worker = pool.worker_index().has_value(); });
  on_pool.join();
  // [context end]

  // [adapted]
  boost::asio::io_context io;
  heddle::asio::adapted_executor main_loop(io.get_executor());
  const auto work = boost::asio::make_work_guard(io);
  auto shown = pool.submit([] { return 6 * 7; }).then(main_loop, [&](int n) {
    std::printf("%d\n", n);  // on the thread that runs the loop
    io.stop();
  });
  io.run();
  // [adapted end]
  shown.get();

  stream here(on_pool.get_executor());
  stream there(on_pool.get_executor());
  boost::asio::local::connect_pair(here, there);
  std::string question;
  std::string answer;
  greet(here, answer);
  greet(there, question);
  on_pool.join();
  std::printf("%s%s", question.c_str(), answer.c_str());

  bool in_time = true;
  std::string more;
  stream silent(boost::asio::make_strand(on_pool.get_executor()));
  stream other_end(on_pool.get_executor());
  boost::asio::local::connect_pair(silent, other_end);
  try {
    heddle::coro::sync_wait(heddle::coro::with_timeout(receive(silent, more), 5ms));
  } catch (const heddle::timed_out&) {
    in_time = false;
  }
  return on_worker && !in_time && question == "hello\n" && answer == "hello\n" ? 0 : 1;
}
