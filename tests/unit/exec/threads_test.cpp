// The pool's threads: how many there are, their names, indices and hooks, and that they sleep.
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::eventually;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

class threads : public heddle_test::pool_test {};

std::string first_line(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The names of this process's threads that begin so.
std::multiset<std::string> thread_names(const std::string& prefix) {
  std::multiset<std::string> names;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    const std::string name = first_line(task.path() / "comm");
    if (name.starts_with(prefix)) names.insert(name);
  }
  return names;
}

// How often threads of that name have been switched away from, of their own will or not.
std::map<std::string, long> context_switches(const std::string& prefix) {
  std::map<std::string, long> switches;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (!first_line(task.path() / "comm").starts_with(prefix)) continue;
    std::ifstream in(task.path() / "status");
    for (std::string line; std::getline(in, line);) {
      const auto colon = line.find("ctxt_switches:");
      if (colon == std::string::npos) continue;
      switches[task.path().filename()] += std::stol(line.substr(line.find(':') + 1));
    }
  }
  return switches;
}

TEST_P(threads, are_as_many_as_told_and_named) {
  auto o = options();
  o.name = "loom";
  {
    thread_pool pool(std::move(o));
    EXPECT_EQ(pool.name(), "loom");
    EXPECT_EQ(pool.size(), workers());
    EXPECT_GE(pool.worker_index_limit(), workers());
    const occupied_pool busy(pool);
    std::multiset<std::string> expected;
    for (unsigned i = 0; i < workers(); ++i) expected.insert("loom/" + std::to_string(i));
    EXPECT_EQ(thread_names("loom/"), expected);
    EXPECT_EQ(pool.statistics().threads, workers());
    EXPECT_EQ(pool.statistics().workers, workers());
  }
  EXPECT_TRUE(eventually([] { return thread_names("loom/").empty(); }));
}

TEST_P(threads, of_a_long_name_keep_their_number) {
  auto o = options();
  o.name = "a name much longer than the kernel keeps";
  thread_pool pool(std::move(o));
  EXPECT_EQ(pool.name(), "a name much longer than the kernel keeps");
  const occupied_pool busy(pool);
  EXPECT_EQ(thread_names("a name").size(), workers());
}

TEST_P(threads, have_an_index_of_their_own_for_life) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  thread_pool other(1);
  std::mutex mutex;
  std::map<std::thread::id, std::set<unsigned>> indices;
  std::vector<future<void>> futures;
  for (int i = 0; i < 60; ++i) {
    futures.push_back(pool.submit([&] {
      const auto before = pool.worker_index();
      pool.submit([] {}).wait_for(1h);
      const auto after = pool.worker_index();
      EXPECT_EQ(before, after);
      EXPECT_FALSE(other.worker_index().has_value());
      const std::lock_guard lock(mutex);
      indices[std::this_thread::get_id()].insert(before.value());
    }));
  }
  for (auto& f : futures) f.get();
  std::set<unsigned> all;
  for (const auto& [id, seen] : indices) {
    EXPECT_EQ(seen.size(), 1U);
    EXPECT_LT(*seen.begin(), pool.worker_index_limit());
    EXPECT_TRUE(all.insert(*seen.begin()).second) << "two threads with index " << *seen.begin();
  }
}

TEST_P(threads, tell_their_start_and_their_stop_once_each) {
  std::mutex mutex;
  std::map<std::thread::id, unsigned> started;
  std::map<std::thread::id, unsigned> stopped;
  std::set<std::thread::id> worked;
  {
    auto o = options();
    o.on_worker_start = [&](unsigned index) {
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(started.emplace(std::this_thread::get_id(), index).second);
    };
    o.on_worker_stop = [&](unsigned index) {
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(stopped.emplace(std::this_thread::get_id(), index).second);
    };
    thread_pool pool(std::move(o));
    const pool_watchdog dog(pool);
    std::vector<promise<void>> promises(workers() + 3);
    std::vector<future<void>> waiters;
    for (promise<void>& p : promises) {
      waiters.push_back(pool.submit([&, f = p.get_future()]() mutable {
        {
          const std::lock_guard lock(mutex);
          const auto id = std::this_thread::get_id();
          EXPECT_EQ(started.at(id), pool.worker_index());  // before its first task
          EXPECT_FALSE(stopped.contains(id));
          worked.insert(id);
        }
        f.get();
      }));
    }
    ASSERT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex);
      return worked.size() == promises.size();
    }));
    for (promise<void>& p : promises) p.set_value();
    for (auto& f : waiters) f.get();
  }
  EXPECT_GE(started.size(), workers() + 3);
  EXPECT_EQ(started, stopped);
}

TEST_P(threads, exceptions_of_their_hooks_are_unhandled_and_they_work_all_the_same) {
  const unhandled_log log;
  {
    auto o = options();
    o.on_worker_start = [](unsigned) { throw std::runtime_error("start"); };
    o.on_worker_stop = [](unsigned) { throw std::runtime_error("stop"); };
    thread_pool pool(std::move(o));
    const occupied_pool busy(pool);
    pool.post([] {});
  }
  std::vector<std::string> expected(workers(), "start");
  expected.insert(expected.end(), workers(), "stop");
  EXPECT_EQ(log.sorted(), expected);
}

// No timer, no poll: asleep means asleep. Repeated because threads may still be on their way to bed
// when the first second begins; a pool that polls never has a quiet one.
TEST_P(threads, sleep_when_there_is_nothing_to_do) {
  auto o = options();
  o.name = "idle";
  o.spare_keep_alive = 1ms;
  thread_pool pool(std::move(o));
  std::vector<future<int>> futures;
  for (int i = 0; i < 100; ++i) {
    futures.push_back(pool.submit([&pool] {
      auto f = pool.submit([] { return 1; });
      f.wait_for(1h);
      return f.get();
    }));
  }
  for (auto& f : futures) f.get();
  EXPECT_TRUE(eventually([&] {
    const auto s = pool.statistics();
    return s.threads == workers() && s.idle == workers();
  }));
  bool quiet = false;
  for (int attempt = 0; attempt < 20 && !quiet; ++attempt) {
    const auto before = context_switches("idle/");
    std::this_thread::sleep_for(attempt == 0 ? 300ms : 1100ms);
    // A spare that has been counted out may still be there for the kernel.
    quiet = before.size() == workers() && before == context_switches("idle/");
  }
  EXPECT_TRUE(quiet);
}

TEST_P(threads, idle_ones_are_counted) {
  thread_pool pool(options());
  EXPECT_TRUE(eventually([&] { return pool.statistics().idle == workers(); }));
  {
    const occupied_pool busy(pool);
    EXPECT_EQ(pool.statistics().idle, 0U);
  }
  EXPECT_TRUE(eventually([&] { return pool.statistics().idle == workers(); }));
}

INSTANTIATE_TEST_SUITE_P(pools, threads, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

TEST(pool_options, absurd_ones_are_refused) {
  thread_pool_options many;
  many.workers = std::numeric_limits<unsigned>::max();
  EXPECT_THROW(thread_pool{std::move(many)}, std::invalid_argument);
  EXPECT_THROW(thread_pool(1'000'000), std::invalid_argument);
  EXPECT_THROW(thread_pool(static_cast<unsigned>(-1)), std::invalid_argument);

  thread_pool_options spares;
  spares.workers = 1;
  spares.max_spares = std::numeric_limits<unsigned>::max();
  EXPECT_THROW(thread_pool{std::move(spares)}, std::invalid_argument);

  thread_pool_options keep_alive;
  keep_alive.workers = 1;
  keep_alive.spare_keep_alive = -1ns;
  EXPECT_THROW(thread_pool{std::move(keep_alive)}, std::invalid_argument);

  thread_pool_options stuck;
  stuck.workers = 1;
  stuck.stuck_after = -1s;
  EXPECT_THROW(thread_pool{std::move(stuck)}, std::invalid_argument);
}

TEST(pool_options, message_names_the_bad_value) {
  try {
    const thread_pool pool(1'000'000);
    ADD_FAILURE() << "accepted";
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("1000000"), std::string::npos) << e.what();
  }
}

TEST(pool_options, longest_durations_are_no_overflow) {
  thread_pool_options o;
  o.workers = 1;
  o.spare_keep_alive = std::chrono::nanoseconds::max();
  o.stuck_after = std::chrono::nanoseconds::max();
  thread_pool pool(std::move(o));
  auto f = pool.submit([&pool] {
    auto inner = pool.submit([] { return 3; });
    inner.wait_for(1h);
    return inner.get();
  });
  EXPECT_EQ(f.get(), 3);
}

TEST(pool_options, by_default_there_is_a_worker_for_each_core) {
  thread_pool pool;
  EXPECT_GE(pool.size(), 1U);
  EXPECT_EQ(pool.name(), "heddle");
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
  EXPECT_EQ(thread_pool(0).size(), pool.size());
}

TEST(pool_options, a_keep_alive_of_nothing_and_an_empty_name) {
  thread_pool_options o;
  o.workers = 2;
  o.spare_keep_alive = 0ns;
  o.name = "";
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  for (int i = 0; i < 20; ++i) {
    auto f = pool.submit([&pool] {
      auto inner = pool.submit([] { return 3; });
      inner.wait_for(1h);
      return inner.get();
    });
    EXPECT_EQ(f.get(), 3);
  }
}

// What workers = 0 follows; set by the tests.
std::atomic<unsigned> cores{1};
unsigned fake_core_count() noexcept { return cores; }

class core_following : public testing::TestWithParam<heddle::scheduling> {
 protected:
  static thread_pool_options options() {
    thread_pool_options o;
    o.schedule = GetParam();
    o.core_count = &fake_core_count;
    return o;
  }
};

// Keeps a pool busy with short tasks from inside and outside, and measures how many run at once.
class load {
 public:
  explicit load(thread_pool& pool) : pool_(pool), feeder_([this] { feed(); }) {}
  ~load() {
    stop();
    EXPECT_TRUE(pool_.wait_idle());  // its tasks refer to it
  }
  load(const load&) = delete;
  load& operator=(const load&) = delete;

  void stop() {
    stop_ = true;
    if (feeder_.joinable()) feeder_.join();
  }
  // The most that ran at once since the last call.
  unsigned take_most() { return most_.exchange(0); }
  unsigned long submitted() const { return submitted_; }
  unsigned long ran() const { return ran_; }

 private:
  void feed() {
    while (!stop_) {
      for (int i = 0; i < 4; ++i) {
        ++submitted_;
        pool_.post([this] {
          run();
          ++submitted_;
          pool_.post([this] { run(); });
        });
      }
      std::this_thread::sleep_for(2ms);
    }
  }
  void run() {
    const unsigned now = ++running_;
    for (unsigned most = most_; now > most && !most_.compare_exchange_weak(most, now);) {
    }
    std::this_thread::sleep_for(50us);
    --running_;
    ++ran_;
  }

  thread_pool& pool_;
  std::atomic<bool> stop_{false};
  std::atomic<unsigned> running_{0}, most_{0};
  std::atomic<unsigned long> submitted_{0}, ran_{0};
  std::thread feeder_;
};

TEST_P(core_following, size_follows_while_busy_and_nothing_is_lost) {
  cores = 4;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  EXPECT_EQ(pool.size(), 4U);
  load work(pool);
  for (const unsigned now : {1U, 3U}) {
    cores = now;
    ASSERT_TRUE(eventually([&] { return pool.size() == now; })) << now;
    // When the tasks that ran before the change have ended, no more than so many run at once.
    EXPECT_TRUE(eventually([&] {
      static_cast<void>(work.take_most());
      const auto completed = pool.statistics().completed;
      EXPECT_TRUE(eventually([&] { return pool.statistics().completed > completed + 200; }));
      return work.take_most() <= now;
    }));
  }
  work.stop();
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(work.ran(), work.submitted());
}

// An answer above both the first one and the processors of the machine is cut to those.
TEST_P(core_following, grows_to_the_processors_of_the_machine) {
  cores = 1;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unsigned processors = std::thread::hardware_concurrency();
  {
    const load work(pool);
    cores = processors + 3;
    ASSERT_TRUE(eventually([&] { return pool.size() == processors; }));
  }
  const occupied_pool all(pool);  // every one of them works
}

TEST_P(core_following, looks_again_when_it_wakes) {
  cores = 5;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (const unsigned now : {2U, 5U}) {
    EXPECT_TRUE(pool.wait_idle());
    std::this_thread::sleep_for(1100ms);  // asleep, so nobody has looked since
    cores = now;
    EXPECT_TRUE(eventually([&] {
      pool.submit([] {}).get();
      return pool.size() == now;
    }));
  }
  const occupied_pool all(pool);
}

// Tasks placed on a worker that is taken away are not stranded with it.
TEST_P(core_following, tasks_placed_on_a_worker_that_goes_are_done) {
  cores = 4;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  ASSERT_EQ(pool.size(), 4U);
  std::vector<future<void>> placed;
  std::atomic<bool> shrunk = false;
  std::thread placing([&] {
    while (!shrunk) {
      try {
        for (unsigned w = 0; w < 4; ++w) placed.push_back(pool.submit_to(w, [] {}));
      } catch (const std::invalid_argument&) {
        return;  // the pool has shrunk
      }
      std::this_thread::sleep_for(100us);
    }
  });
  cores = 1;
  ASSERT_TRUE(eventually([&] { return pool.size() == 1; }));
  shrunk = true;
  placing.join();
  for (auto& f : placed) f.get();
}

TEST_P(core_following, count_of_nothing_still_leaves_one_worker) {
  cores = 0;
  thread_pool pool(options());
  EXPECT_EQ(pool.size(), 1U);
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
}

TEST_P(core_following, a_fixed_number_of_workers_follows_nothing) {
  cores = 7;
  auto o = options();
  o.workers = 2;
  thread_pool pool(std::move(o));
  EXPECT_EQ(pool.size(), 2U);
  pool.submit([] {}).get();
  EXPECT_EQ(pool.size(), 2U);
}

INSTANTIATE_TEST_SUITE_P(modes, core_following,
                         testing::Values(heddle::scheduling::work_stealing,
                                         heddle::scheduling::fifo),
                         [](const auto& i) {
                           return i.param == heddle::scheduling::fifo ? "fifo" : "stealing";
                         });

}  // namespace
