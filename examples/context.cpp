// A request's id that follows its work, and shows in each line of the log.

#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <heddle/coro/delay.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/data/context.hpp>
#include <heddle/exec/thread_pool.hpp>

using namespace std::chrono_literals;

// [keys]
inline const heddle::context_key<std::string> request_id("request", "-");
inline const heddle::context_key<int> attempt("attempt", 1);
// [keys end]

namespace {

std::vector<std::string> lines;
std::mutex lines_mutex;

// [log]
void log(std::string_view message) {
  const std::string line = heddle::context::current().text() + ": " + std::string(message);
  const std::lock_guard lock(lines_mutex);
  std::puts(line.c_str());
  lines.push_back(line);
}
// [log end]

// [coroutine]
heddle::coro::task<int> query(heddle::thread_pool& pool) {
  log("asking");
  co_await heddle::coro::delay(2ms);
  co_await heddle::coro::schedule_on(pool);
  log("answered");  // on another thread: with the same request
  co_return 42;
}
// [coroutine end]

// [request]
void handle(heddle::thread_pool& pool, const std::string& id) {
  const heddle::scoped_context here(request_id, id);
  log("begun");
  auto answer = pool.submit([] {
                      log("in a task");
                      return 1;
                    })
                    .then([](int n) {
                      const heddle::scoped_context again(attempt, 2);
                      log("and then");
                      return n + attempt.get();
                    });
  const int sum = answer.get() + heddle::coro::spawn(pool, query(pool)).get();
  log("done: " + std::to_string(sum));
}
// [request end]

}  // namespace

int main() {
  heddle::thread_pool pool(2);
  {
    const std::jthread other([&] { handle(pool, "a17"); });
    handle(pool, "b18");
  }

  // [by_hand]
  std::jthread hand_made;
  {
    const heddle::scoped_context here(request_id, "c19");
    hand_made = std::jthread(heddle::in_current_context([] { log("on a thread of my own"); }));
  }
  hand_made.join();
  // [by_hand end]

  log("nobody's");
  int with_a = 0;
  for (const std::string& line : lines) with_a += line.starts_with("request=a17") ? 1 : 0;
  return with_a == 6 && lines.size() == 14 ? 0 : 1;
}
