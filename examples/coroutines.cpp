// Functions that wait without a thread.

#include <chrono>
#include <cstdio>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include <heddle/base/errors.hpp>
#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/fork.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/coro/this_task.hpp>
#include <heddle/coro/with_timeout.hpp>
#include <heddle/data/context.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>

using namespace std::chrono_literals;
namespace coro = heddle::coro;

// [task]
coro::task<std::string> fetch(int page) {
  co_await coro::delay(2ms);  // stands for the network; no thread waits
  co_return "page " + std::to_string(page);
}

coro::task<std::size_t> length(int page) {
  const std::string text = co_await fetch(page);
  co_return text.size();
}
// [task end]

// [schedule]
coro::task<int> checksum(heddle::thread_pool& pool, int page) {
  const std::string text = co_await fetch(page);
  co_await coro::schedule_on(pool);  // what is heavy goes to the pool
  int sum = 0;
  for (const char c : text) sum += c;
  co_return sum;  // who awaits this goes on where it was
}
// [schedule end]

// [gather]
coro::task<std::size_t> all_lengths() {
  const auto [first, second] = co_await coro::gather(length(1), fetch(20));

  auto rest = std::views::iota(100, 200) | std::views::transform(&length);
  std::size_t sum = first + second.size();
  for (const std::size_t n : co_await coro::gather(rest, 10)) sum += n;  // ten at a time
  co_return sum;
}
// [gather end]

// [fork]
coro::task<long> paths(int right, int down) {  // through a grid
  if (right == 0 || down == 0) co_return 1;
  const auto [first, second] =
      co_await coro::fork_join(paths(right - 1, down), paths(right, down - 1));
  co_return first + second;
}
// [fork end]

// [own_fork]
coro::task<long> fib(int n) {
  if (n < 2) co_return n;
  auto first = co_await coro::fork(fib(n - 1));  // the rest of fib may go on on another worker
  const long second = co_await fib(n - 2);
  co_await coro::join();
  co_return first.get() + second;
}
// [own_fork end]

// [events]
coro::task<> visitor(heddle::manual_reset_event& open, heddle::counting_semaphore<>& tables,
                     int& served) {
  co_await open;
  co_await coro::acquire(tables);
  co_await coro::delay(100us);
  ++served;
  tables.release();
}
// [events end]

// [waits]
coro::task<int> runner(heddle::thread_pool& pool, heddle::latch& ready,
                       heddle::auto_reset_event& baton) {
  heddle::future<int> time = pool.submit([] { return 10; });
  ready.count_down();
  co_await ready;                     // until all have come
  co_await baton;                     // one at a time has it
  const int seconds = co_await time;  // the value, or the exception
  baton.set();                        // to the next
  co_return seconds;
}
// [waits end]

// [context]
inline const heddle::context_key<std::string> customer("customer", "nobody");

coro::task<std::string> who() {
  co_await coro::delay(1ms);
  co_return customer.get();  // of whoever has awaited or spawned this, on whatever thread
}
// [context end]

// [cancel]
coro::task<int> patient() {
  try {
    co_await coro::delay(24h);
  } catch (const heddle::cancelled&) {
    std::puts("told to stop");  // tidy up, and let it pass
    throw;
  }
  co_return 1;
}

coro::task<int> busy() {
  const auto stop = co_await coro::get_stop_token();
  int turns = 0;
  while (!stop.stop_requested()) ++turns;
  co_return turns;
}
// [cancel end]

int main() {
  // [sync_wait]
  const std::size_t n = coro::sync_wait(length(7));
  std::printf("%zu characters\n", n);
  // [sync_wait end]

  // [spawn]
  heddle::thread_pool pool(2);
  heddle::future<int> sum = coro::spawn(pool, checksum(pool, 7));
  std::printf("checksum %d\n", sum.get());
  // [spawn end]

  std::printf("%zu characters in all\n", coro::sync_wait(all_lengths()));

  const long ways = coro::spawn(pool, paths(8, 8)).get();
  std::printf("%ld paths\n", ways);
  std::printf("fib(20) is %ld\n", coro::spawn(pool, fib(20)).get());

  heddle::manual_reset_event open;
  heddle::counting_semaphore<> tables(3);
  int served = 0;
  const auto evening = [&]() -> coro::task<> {
    std::vector<coro::task<>> visitors;
    for (int i = 0; i < 20; ++i) visitors.push_back(visitor(open, tables, served));
    open.set();
    co_await coro::gather(std::move(visitors));
  };
  coro::sync_wait(evening());
  std::printf("%d served\n", served);

  heddle::latch ready(3);
  heddle::auto_reset_event baton;
  baton.set();
  const auto relay = [&]() -> coro::task<int> {
    const auto [a, b, c] = co_await coro::gather(
        runner(pool, ready, baton), runner(pool, ready, baton), runner(pool, ready, baton));
    co_return a + b + c;
  };
  const int relay_time = coro::sync_wait(relay());
  std::printf("the relay took %d s\n", relay_time);

  heddle::future<std::string> name;
  {
    const heddle::scoped_context here(customer, "Ada");
    name = coro::spawn(pool, who());
  }
  const bool is_ada = name.get() == "Ada";

  // [token]
  std::stop_source closing;
  const heddle::future<void> button = pool.submit([&] { closing.request_stop(); });
  bool was_stopped = false;
  try {
    coro::sync_wait(patient(), closing.get_token());
  } catch (const heddle::cancelled&) {
    was_stopped = true;
  }
  // [token end]

  // [timeout]
  try {
    coro::sync_wait(coro::with_timeout(patient(), 5ms));
  } catch (const heddle::timed_out&) {
    std::puts("it took too long");  // and it has ended
  }
  // [timeout end]
  try {
    coro::spawn(pool, coro::with_timeout(busy(), 5ms)).get();
  } catch (const heddle::timed_out&) {
    std::puts("so did this");
  }
  return served == 20 && n == 6 && relay_time == 30 && is_ada && was_stopped && ways == 12'870 ? 0
                                                                                               : 1;
}
