// What tests with several threads share: starting together, the numbers of threads to try, and a
// watchdog that names the test that hangs.
#pragma once

#include <algorithm>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>

#include <gtest/gtest.h>
#include <heddle/prim/config.hpp>

namespace heddle_test {

// Ends the program, naming the test, when its scope lasts longer than any slow machine needs.
// `tell` says in what state it hangs.
class watchdog {
 public:
  explicit watchdog(std::chrono::seconds patience = std::chrono::seconds(100),
                    std::function<void()> tell = {})
      : thread_([this, patience, tell = std::move(tell), name = current_test()] {
          std::unique_lock lock(mutex_);
          if (ended_.wait_for(lock, patience, [this] { return over_; })) return;
          std::fprintf(stderr, "watchdog: %s hangs\n", name.c_str());
          std::fflush(stderr);
          if (tell) tell();
          std::abort();
        }) {}
  ~watchdog() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    ended_.notify_one();
    thread_.join();
  }
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

 private:
  static std::string current_test() {
    const auto* const info = testing::UnitTest::GetInstance()->current_test_info();
    if (info == nullptr) return "the program";
    return std::string(info->test_suite_name()) + "." + info->name();
  }

  std::mutex mutex_;
  std::condition_variable ended_;
  bool over_ = false;
  std::thread thread_;
};

// What f says, called on a thread of its own.
inline bool on_another_thread(const std::function<bool()>& f) {
  bool result = false;
  std::thread([&] { result = f(); }).join();
  return result;
}

// For waits that are to end at their deadline. One of milliseconds may have passed before the wait
// begins, so it is called again, with more time, until `seen` says that the wait has been there.
template <class Wait, class Seen>
void wait_in_vain(Wait wait, Seen seen) {
  for (std::chrono::milliseconds time(1); time < std::chrono::minutes(1); time *= 2) {
    wait(time);
    if (seen()) return;
  }
}

// One, two, as many as there are cores, and four times as many.
inline std::vector<unsigned> thread_counts() {
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  std::vector<unsigned> counts{1, 2, cores, 4 * cores};
  std::sort(counts.begin(), counts.end());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  return counts;
}

// How many threads a recursion may take, where frames and stacks are as documented: compiled with
// optimization, without a sanitizer, stacks of 8 MiB. Else any number.
inline unsigned documented_threads(unsigned threads) {
#if defined(__OPTIMIZE__) && !HEDDLE_ASAN && !HEDDLE_TSAN
  rlimit stack{};
  constexpr rlim_t usual = rlim_t{8} << 20;
  if (::getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur == usual) return threads;
#endif
  static_cast<void>(threads);
  return ~0U;
}

// Runs f(0) to f(threads - 1), each on a thread of its own, all released at once.
template <class F>
void run_together(unsigned threads, F f) {
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<std::thread> running;
  for (unsigned i = 0; i < threads; ++i) {
    running.emplace_back([&, i] {
      start.arrive_and_wait();
      f(i);
    });
  }
  for (std::thread& t : running) t.join();
}

}  // namespace heddle_test
