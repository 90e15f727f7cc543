// What tests of thread pools share: the shapes of pool to try, a gate that holds tasks, a watchdog
// that tells what a hanging pool was doing, and a log of unhandled exceptions.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <gtest/gtest.h>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/threads.hpp"

namespace heddle_test {

struct pool_shape {
  heddle::scheduling schedule;
  unsigned workers;

  friend std::ostream& operator<<(std::ostream& out, const pool_shape& s) {
    return out << (s.schedule == heddle::scheduling::fifo ? "fifo_" : "stealing_") << s.workers;
  }
};

inline std::vector<pool_shape> pool_shapes() {
  std::vector<pool_shape> shapes;
  for (const unsigned workers : thread_counts()) {
    shapes.push_back({heddle::scheduling::work_stealing, workers});
    shapes.push_back({heddle::scheduling::fifo, workers});
  }
  return shapes;
}

// A test that runs on a pool of every shape.
class pool_test : public testing::TestWithParam<pool_shape> {
 protected:
  static unsigned workers() { return GetParam().workers; }
  static heddle::thread_pool_options options() {
    heddle::thread_pool_options o;
    o.workers = GetParam().workers;
    o.schedule = GetParam().schedule;
    return o;
  }
};

// True as soon as the condition holds; false when it does not within any time that a slow machine
// may need.
inline bool eventually(const std::function<bool()>& condition) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > limit) return condition();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// State and number of switches of each thread of the process but this one, as the kernel tells.
inline std::map<std::string, std::string> other_threads() {
  std::map<std::string, std::string> all;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    const std::string id = task.path().filename();
    if (id == std::to_string(::gettid())) continue;
    std::ifstream in(task.path() / "status");
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with("State:")) all[id] = line.substr(7, 1);
      if (line.find("ctxt_switches:") != std::string::npos) all[id] += line;
    }
  }
  return all;
}

// Whether all other threads sleep and none was woken for so long. One that is kept from a CPU, or
// for which it waits, does not sleep.
inline bool others_sleep_for(std::chrono::milliseconds time) {
  const auto before = other_threads();
  for (const auto& [id, state] : before) {
    if (!state.starts_with('S')) return false;
  }
  std::this_thread::sleep_for(time);
  return other_threads() == before;
}

inline void print_statistics(const heddle::thread_pool& pool) {
  const heddle::pool_statistics s = pool.statistics();
  std::fprintf(
      stderr,
      "pool %s: workers %u threads %u idle %u peak %u submitted %llu started %llu "
      "completed %llu discarded %llu helped %llu blocked %llu starved %llu wakeups %llu "
      "injected %zu queues",
      pool.name().c_str(), s.workers, s.threads, s.idle, s.peak_threads,
      static_cast<unsigned long long>(s.submitted), static_cast<unsigned long long>(s.started),
      static_cast<unsigned long long>(s.completed), static_cast<unsigned long long>(s.discarded),
      static_cast<unsigned long long>(s.helped), static_cast<unsigned long long>(s.blocked),
      static_cast<unsigned long long>(s.starved), static_cast<unsigned long long>(s.wakeups),
      s.injected);
  for (const std::size_t n : s.queue_sizes) std::fprintf(stderr, " %zu", n);
  std::fprintf(stderr, "\n");
}

// Ends the program when the pool hangs, and tells in what state it was. Declare it behind the pool.
class pool_watchdog {
 public:
  explicit pool_watchdog(const heddle::thread_pool& pool,
                         std::chrono::seconds patience = std::chrono::seconds(100))
      : dog_(patience, [&pool] { print_statistics(pool); }) {}

 private:
  watchdog dog_;
};

// Closed at first. Tasks that pass it occupy their workers without the pool's knowledge.
class gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void await_arrivals(unsigned n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, n] { return arrived_ >= n; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned arrived_ = 0;
  bool open_ = false;
};

// Occupies every worker of a pool until it is opened or dies. Declare it behind the pool.
class occupied_pool {
 public:
  explicit occupied_pool(heddle::thread_pool& pool) {
    const unsigned workers = pool.size();
    for (unsigned i = 0; i < workers; ++i) {
      pool.post([g = gate_] { g->pass(); });
    }
    gate_->await_arrivals(workers);
  }
  ~occupied_pool() { open(); }
  occupied_pool(const occupied_pool&) = delete;
  occupied_pool& operator=(const occupied_pool&) = delete;

  void open() { gate_->open(); }

 private:
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
};

// Writes down the unhandled exceptions of its scope instead of printing them.
class unhandled_log {
 public:
  unhandled_log() : count_before_(heddle::unhandled_count()) {
    const std::lock_guard lock(mutex());
    messages().clear();
    before_ = heddle::set_unhandled_handler(&take);
  }
  ~unhandled_log() { heddle::set_unhandled_handler(before_); }
  unhandled_log(const unhandled_log&) = delete;
  unhandled_log& operator=(const unhandled_log&) = delete;

  std::uint64_t count() const { return heddle::unhandled_count() - count_before_; }
  static std::vector<std::string> sorted() {
    const std::lock_guard lock(mutex());
    std::vector<std::string> copy = messages();
    std::sort(copy.begin(), copy.end());
    return copy;
  }

 private:
  static std::mutex& mutex() {
    static std::mutex m;
    return m;
  }
  static std::vector<std::string>& messages() {
    static std::vector<std::string> m;
    return m;
  }
  static void take(std::exception_ptr e) noexcept {
    const std::lock_guard lock(mutex());
    try {
      std::rethrow_exception(std::move(e));
    } catch (const std::exception& x) {
      messages().emplace_back(x.what());
    } catch (...) {
      messages().emplace_back("no std::exception");
    }
  }

  const std::uint64_t count_before_;
  heddle::unhandled_handler before_ = nullptr;
};

// Counts its living objects, and throws from copy or move when told to.
class counted {
 public:
  static inline std::atomic<int> alive{0};
  static inline std::atomic<bool> copy_throws{false};
  static inline std::atomic<bool> move_throws{false};

  counted() { ++alive; }
  counted(const counted&) {
    if (copy_throws) throw std::runtime_error("copy");
    ++alive;
  }
  counted(counted&&) {
    if (move_throws) throw std::runtime_error("move");
    ++alive;
  }
  counted& operator=(const counted&) = default;
  ~counted() { --alive; }
};

// Lets copies, or moves, of `counted` throw inside its scope.
class throwing {
 public:
  explicit throwing(std::atomic<bool>& what) : what_(what) { what_ = true; }
  ~throwing() { what_ = false; }
  throwing(const throwing&) = delete;
  throwing& operator=(const throwing&) = delete;

 private:
  std::atomic<bool>& what_;
};

}  // namespace heddle_test
