#include "profile_waiters.hpp"

#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <heddle/coro/delay.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "failure.hpp"

namespace heddle::tool {
namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr int waits = 10;
constexpr auto wait_length = 50ms;

// The number behind `key` in a file of lines "Key:   123 kB", in bytes; 0 where it is not there.
std::uint64_t kilobytes(const char* file, std::string_view key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t begin = line.find_first_of("0123456789");
    if (begin == line.npos) return 0;
    std::uint64_t value = 0;
    std::from_chars(line.data() + begin, line.data() + line.size(), value);
    return value * 1024;
  }
  return 0;
}

struct memory {
  std::uint64_t resident = kilobytes("/proc/self/status", "VmRSS:");
  std::uint64_t kernel_stacks = kilobytes("/proc/meminfo", "KernelStack:");
};

std::uint64_t growth(std::uint64_t from, std::uint64_t to) noexcept {
  return to > from ? to - from : 0;
}

double cpu_seconds() noexcept {
  rusage u{};
  ::getrusage(RUSAGE_SELF, &u);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(u.ru_utime) + seconds(u.ru_stime);
}

// Counts the tasks that have come to their first wait.
class arrivals {
 public:
  void arrive() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  void wait_for(std::size_t count) const {
    while (count_.load(std::memory_order_relaxed) < count) std::this_thread::sleep_for(1ms);
  }

 private:
  std::atomic<std::size_t> count_{0};
};

coro::task<void> wait_some_times(arrivals& here) {
  here.arrive();
  for (int i = 0; i < waits; ++i) co_await coro::delay(wait_length);
}

void on_threads(waiters_figures& figures, arrivals& here, std::size_t tasks, const memory& before) {
  std::vector<std::thread> threads;
  threads.reserve(tasks);
  try {
    while (threads.size() < tasks) {
      threads.emplace_back([&here] {
        here.arrive();
        for (int i = 0; i < waits; ++i) std::this_thread::sleep_for(wait_length);
      });
    }
  } catch (const std::system_error& e) {
    figures.refused = e.code().message();
  }
  figures.tasks = threads.size();
  here.wait_for(figures.tasks);
  const memory now;
  figures.bytes = growth(before.resident, now.resident);
  figures.in_kernel = growth(before.kernel_stacks, now.kernel_stacks);
  for (std::thread& t : threads) t.join();
}

void on_coroutines(waiters_figures& figures, arrivals& here, std::size_t tasks,
                   const memory& before) {
  thread_pool pool;
  std::vector<coro::task<void>> all;
  all.reserve(tasks);
  while (all.size() < tasks) all.push_back(wait_some_times(here));
  auto end = coro::spawn(pool, [](std::vector<coro::task<void>> each) -> coro::task<void> {
    co_await coro::gather(std::move(each));
  }(std::move(all)));
  figures.tasks = tasks;
  here.wait_for(tasks);
  const memory now;
  figures.bytes = growth(before.resident, now.resident);
  figures.in_kernel = growth(before.kernel_stacks, now.kernel_stacks);
  end.get();
}

}  // namespace

std::string_view describe_waiter() noexcept { return "waits 50 ms ten times"; }

waiters_figures run_waiters(waiter_kind kind, std::size_t tasks) {
  waiters_figures figures;
  arrivals here;
  const memory before;
  const double cpu_before = cpu_seconds();
  const auto begin = clock::now();
  if (kind == waiter_kind::threads) {
    on_threads(figures, here, tasks, before);
  } else {
    on_coroutines(figures, here, tasks, before);
  }
  figures.seconds = std::chrono::duration<double>(clock::now() - begin).count();
  figures.cpu_seconds = cpu_seconds() - cpu_before;
  return figures;
}

std::string to_json(const waiters_figures& f) {
  return nlohmann::ordered_json{
             {"tasks", f.tasks}, {"seconds", f.seconds},     {"cpu_seconds", f.cpu_seconds},
             {"bytes", f.bytes}, {"in_kernel", f.in_kernel}, {"refused", f.refused}}
             .dump() +
         '\n';
}

waiters_figures waiters_from_json(std::string_view text) {
  try {
    const auto json = nlohmann::json::parse(text);
    waiters_figures f;
    f.tasks = json.at("tasks").get<std::size_t>();
    f.seconds = json.at("seconds").get<double>();
    f.cpu_seconds = json.at("cpu_seconds").get<double>();
    f.bytes = json.at("bytes").get<std::uint64_t>();
    f.in_kernel = json.at("in_kernel").get<std::uint64_t>();
    f.refused = json.at("refused").get<std::string>();
    return f;
  } catch (const nlohmann::json::exception&) {
    throw run_error(
        fmt::format("the measurement of waiting tasks printed nonsense: {}", text.substr(0, 80)));
  }
}

}  // namespace heddle::tool
