// What users of other libraries write, in Heddle's words. docs/guide/coming-from.md sets each part
// beside the original.

#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <latch>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/exec/timers.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/future/when.hpp>

using heddle::priority;
using namespace std::chrono_literals;

namespace {

bool all_right = true;
void expect(bool right, const char* part) {
  if (right) return;
  std::printf("wrong: %s\n", part);
  all_right = false;
}

int build(int part) { return part; }
void compact() {}
void urgent() {}
int power(int base, int exponent) {
  return static_cast<int>(std::lround(std::pow(base, exponent)));
}

void tbb() {
  const int n = 100;
  std::vector<int> cells(n);
  const auto step = [&cells](std::size_t i) { cells[i] = 1; };

  // [tbb]
  heddle::thread_pool pool(2);
  auto left = pool.submit([] { return build(1); });
  auto right = pool.submit([] { return build(2); });
  const int both = left.get() + right.get();  // each throws its own exception

  pool.post(priority::low, compact);
  pool.submit_bulk(n, step).get();
  // [tbb end]
  expect(both == 3 && cells[n - 1] == 1, "tbb");

  // [tbb_group]
  std::stop_source group;
  const heddle::task_options in_group{.stop = group.get_token()};
  std::vector<heddle::future<int>> tasks;
  for (int part = 0; part < 3; ++part) tasks.push_back(pool.submit(in_group, build, part));
  heddle::wait(tasks, heddle::wait_condition::first_exception);
  group.request_stop();  // the others need not begin
  // [tbb_group end]
  heddle::wait(tasks);
  expect(tasks[2].get() == 2, "tbb_group");
}

void folly() {
  heddle::thread_pool ui(1);
  // [folly]
  heddle::thread_pool_options options;
  options.workers = 4;
  options.queue_capacity = 1000;  // unbounded unless told
  heddle::thread_pool pool(std::move(options));

  auto doubled = pool.submit([] { return 21; })
                     .then([](int n) { return 2 * n; })
                     .then(ui.executor(), [](int n) { return std::to_string(n); });
  pool.post(priority::high, urgent);
  const std::string text = doubled.get();

  std::vector<heddle::future<int>> parts;
  for (int i = 0; i < 3; ++i) parts.push_back(pool.submit(build, i));
  auto all = heddle::when_all(std::move(parts));
  // [folly end]
  expect(text == "42" && all.get().size() == 3, "folly");
}

void bs() {
  const int n = 100;
  std::vector<int> cells(n);
  const auto step = [&cells](std::size_t i) { cells[i] = 1; };
  // [bs]
  heddle::thread_pool pool(4);
  heddle::future<int> answer = pool.submit(power, 2, 10);
  pool.post(priority::high, urgent);
  pool.submit_bulk(n, step).wait();
  pool.wait_idle();  // also from one of its own tasks
  // [bs end]
  expect(answer.get() == 1024 && cells[n - 1] == 1, "bs");
}

void async() {
  // [async]
  auto f = heddle::default_pool().submit(power, 2, 10);
  heddle::default_pool().post(compact);  // goes on at once
  const bool in_time = f.wait_for(30s);
  heddle::shared_future<int> shared = std::move(f).share();
  const int n = shared.get();
  // [async end]
  expect(in_time && n == 1024, "async");
}

void asio() {
  int steps = 0;
  // [asio]
  heddle::thread_pool pool(4);
  pool.post(compact);
  heddle::future<int> answer = pool.submit([] { return power(2, 10); });

  heddle::strand strand(pool);
  strand.post([&steps] { ++steps; });

  auto timer = heddle::schedule_after(pool, 24h, urgent);
  timer.cancel();  // `urgent` is not called

  pool.wait_idle();
  // [asio end]
  expect(answer.get() == 1024 && steps == 1, "asio");
}

void python() {
  const std::vector<int> items{1, 2, 3};
  const auto work = [](int item) { return 10 * item; };
  int last = 0;
  // [python]
  heddle::thread_pool pool(4);
  heddle::future<int> f = pool.submit(power, 2, 10);
  if (f.wait_for(30s)) std::printf("%d\n", f.get());

  for (const int result : pool.map(work, items)) last = result;

  std::vector<heddle::future<int>> fs;
  for (const int item : items) fs.push_back(pool.submit(work, item));
  const auto [done, not_done] = heddle::wait(fs, heddle::wait_condition::first_exception);
  fs[0].on_ready([] { std::puts("one is done"); });
  for (auto& each : heddle::as_completed(fs)) std::printf("%d\n", each.get());

  pool.shutdown(heddle::shutdown_mode::cancel);
  // [python end]
  expect(last == 30 && done.size() == 3 && not_done.empty(), "python");
}

void taskflow() {
  // [taskflow]
  heddle::thread_pool pool;
  auto f = pool.submit(build, 1);
  pool.post(compact);
  auto a = pool.submit(build, 2);
  auto b = pool.submit(build, 3);
  auto sum = heddle::when_all(std::move(a), std::move(b))
                 .then(pool.executor(), [](auto both) {  // after a and b
                   auto [left, right] = both.get();
                   return left.get() + right.get();
                 });
  pool.wait_idle();
  // [taskflow end]
  expect(f.get() == 1 && sum.get() == 5, "taskflow");
}

}  // namespace

int main() {
  tbb();
  folly();
  bs();
  async();
  asio();
  python();
  taskflow();
  return all_right ? 0 : 1;
}
