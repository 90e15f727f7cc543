// What is urgent goes first, and nothing waits for ever: priorities, inheritance, aging, and a
// batch that has a deadline.

#include <chrono>
#include <cstdio>
#include <functional>
#include <latch>
#include <numeric>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <heddle/exec/thread_pool.hpp>

using heddle::priority;
using namespace std::chrono_literals;

namespace {

// Keeps a pool's only worker busy, so that tasks queue up behind it. A std::latch is a wait that
// Heddle does not see, so no spare stands in.
class busy_worker {
 public:
  explicit busy_worker(heddle::thread_pool& pool) {
    pool.post([this] {
      begun_.count_down();
      free_.wait();
    });
    begun_.wait();
  }
  void set_free() { free_.count_down(); }

 private:
  std::latch begun_{1};
  std::latch free_{1};
};

double mean_place(const std::string& order, char kind) {
  std::vector<double> places;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] == kind) places.push_back(static_cast<double>(i));
  }
  return std::accumulate(places.begin(), places.end(), 0.0) / static_cast<double>(places.size());
}

bool urgent_first() {
  heddle::thread_pool pool(1);
  busy_worker worker(pool);

  // [levels]
  std::string order;  // one worker, so it needs no lock
  for (int i = 0; i < 20; ++i) {
    pool.post(priority::low, [&] { order += '.'; });
    pool.post([&] { order += 'o'; });  // normal
    pool.post(priority::high, [&] { order += 'H'; });
  }
  // [levels end]
  worker.set_free();
  pool.wait_idle();
  std::printf("%s\n", order.c_str());
  return mean_place(order, 'H') < mean_place(order, 'o') &&
         mean_place(order, 'o') < mean_place(order, '.');
}

bool children_inherit() {
  heddle::thread_pool pool(1);
  // [inheritance]
  auto parent = pool.submit(priority::low, [&pool] {
    auto child = pool.submit([] { return 1; });                    // low, too
    auto other = pool.submit(priority::normal, [] { return 2; });  // unless told
    return child.get() + other.get();
  });
  // [inheritance end]
  const bool right = parent.get() == 3;
  const auto low = pool.statistics().levels[static_cast<std::size_t>(priority::low)];
  std::printf("%llu tasks of low priority\n", static_cast<unsigned long long>(low.submitted));
  return right && low.submitted == 2;
}

bool nothing_starves() {
  // [aging]
  heddle::thread_pool_options options;
  options.workers = 1;
  options.aging = 10ms;
  heddle::thread_pool pool(std::move(options));

  bool low_has_run = false;
  std::function<void()> urgent = [&] {
    if (!low_has_run) pool.post(priority::high, urgent);  // there is always one more
  };
  pool.post(priority::high, urgent);
  auto low = pool.submit(priority::low, [&] { low_has_run = true; });
  low.wait();
  // [aging end]
  pool.wait_idle();
  std::puts("the task of low priority had its turn");
  return low_has_run;
}

bool batch_with_a_deadline() {
  heddle::thread_pool pool(1);
  // [batch]
  std::vector<std::function<int(std::stop_token)>> work;
  work.push_back([](auto) { return 1; });
  work.push_back([](auto) -> int { throw std::runtime_error("no such table"); });
  work.push_back([](std::stop_token stop) {
    while (!stop.stop_requested()) std::this_thread::sleep_for(1ms);  // longer than anybody waits
    return 3;
  });
  work.push_back([](auto) { return 4; });  // its turn does not come

  auto report = pool.run_all(work, 100ms, {.level = priority::high});
  std::printf("%zu done, %zu failed, %zu cancelled, %zu still running\n", report.done,
              report.failed, report.cancelled, report.running);
  for (auto& result : report.results) {
    if (!result.ready()) continue;  // asked to stop; its future is still there to wait for
    try {
      std::printf("a result: %d\n", result.get());
    } catch (const std::exception& e) {
      std::printf("no result: %s\n", e.what());
    }
  }
  // [batch end]
  return report.done + report.failed + report.cancelled + report.running == report.size();
}

}  // namespace

int main() {
  const bool right[] = {urgent_first(), children_inherit(), nothing_starves(),
                        batch_with_a_deadline()};
  for (const bool each : right) {
    if (!each) return 1;
  }
}
