// Where a pool's threads run, and how the kernel ranks them.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/kernel/affinity.hpp>
#include <heddle/kernel/quota.hpp>
#include <heddle/prim/scheduling.hpp>
#include <heddle/prim/thread.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle::kernel::affinity;
using heddle::kernel::placement;
using heddle::prim::thread_policy;
using heddle::prim::thread_priority;
using heddle_test::eventually;
using heddle_test::pool_watchdog;
using testing::ElementsAre;
using testing::HasSubstr;

using namespace std::chrono_literals;

using cpus = std::vector<int>;

// What a thread does to itself must not last.
template <class F>
void on_a_thread(F f) {
  std::thread(f).join();
}

// As the kernel tells everybody else, too: "0-1".
std::string cpus_of_this_thread() {
  std::ifstream status("/proc/self/task/" + std::to_string(heddle::prim::kernel_thread_id()) +
                       "/status");
  const std::string key = "Cpus_allowed_list:";
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(key)) return line.substr(line.find_first_not_of(" \t", key.size()));
  return "";
}

std::size_t threads_of_this_process() {
  const std::filesystem::directory_iterator all("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

thread_pool_options options_for(unsigned workers, affinity where) {
  thread_pool_options options;
  options.workers = workers;
  options.affinity = std::move(where);
  return options;
}

cpus allowed() {
  const auto set = heddle::kernel::read_affinity();
  return {set.begin(), set.end()};
}

std::string text(int cpu) { return std::to_string(cpu); }

TEST(pool_affinity, each_worker_is_on_its_cpu) {
  const auto machine = heddle::kernel::read_topology();
  for (const placement policy : {placement::compact, placement::scatter}) {
    const unsigned workers = static_cast<unsigned>(machine.allowed.size()) + 1;
    const cpus expected = heddle::kernel::assign_cpus(machine, {policy, {}}, workers);
    thread_pool pool(options_for(workers, {policy, {}}));
    const pool_watchdog watchdog(pool);
    for (unsigned w = 0; w < workers; ++w)
      EXPECT_EQ(pool.submit_to(w, cpus_of_this_thread).get(), text(expected[w])) << w;
    EXPECT_EQ(pool.statistics().misplaced, 0u);
  }
}

TEST(pool_affinity, a_list_is_followed_in_its_order) {
  cpus list = allowed();
  std::reverse(list.begin(), list.end());
  list.push_back(list.front());
  const auto workers = static_cast<unsigned>(list.size());
  thread_pool pool(options_for(workers, {placement::listed, list}));
  const pool_watchdog watchdog(pool);
  for (unsigned w = 0; w < workers; ++w)
    EXPECT_EQ(pool.submit_to(w, cpus_of_this_thread).get(), text(list[w])) << w;
}

TEST(pool_affinity, the_hook_runs_in_place) {
  const int last = allowed().back();
  auto options = options_for(1, {placement::listed, {last}});
  std::string seen;
  options.on_worker_start = [&](unsigned) { seen = cpus_of_this_thread(); };
  {
    const thread_pool pool(std::move(options));
  }
  EXPECT_EQ(seen, text(last));
}

TEST(pool_affinity, without_it_workers_have_the_mask_of_who_made_the_pool) {
  on_a_thread([] {
    const int last = allowed().back();
    heddle::prim::bind_this_thread(last);
    thread_pool pool(2);
    const pool_watchdog watchdog(pool);
    for (unsigned w = 0; w < 2; ++w)
      EXPECT_EQ(pool.submit_to(w, cpus_of_this_thread).get(), text(last));
  });
}

TEST(pool_affinity, the_maker_keeps_its_own_mask) {
  const cpus before = allowed();
  const thread_pool pool(options_for(1, {placement::listed, {before.back()}}));
  EXPECT_EQ(allowed(), before);
}

std::string refusal(thread_pool_options options) {
  options.on_worker_start = [](unsigned) { ADD_FAILURE() << "a worker was started"; };
  try {
    const thread_pool pool(std::move(options));
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "accepted";
}

TEST(pool_affinity, a_cpu_outside_the_mask_is_refused_and_leaves_no_thread) {
  on_a_thread([] {});  // a sanitizer begins a thread of its own beside the first one
  const std::size_t before = threads_of_this_process();
  const std::string all = heddle::kernel::read_affinity().to_string();
  EXPECT_EQ(refusal(options_for(2, {placement::listed, {allowed().front(), 100000}})),
            "affinity: cpu 100000 is not among the allowed CPUs " + all);
  on_a_thread([] {
    const cpus mask = allowed();
    heddle::prim::bind_this_thread(mask.front());
    if (mask.size() > 1) {
      EXPECT_EQ(refusal(options_for(2, {placement::listed, {mask.back()}})),
                "affinity: cpu " + text(mask.back()) + " is not among the allowed CPUs " +
                    text(mask.front()));
    }
  });
  EXPECT_TRUE(eventually([&] { return threads_of_this_process() == before; }));
}

TEST(pool_affinity, a_list_that_makes_no_sense_is_refused) {
  EXPECT_THAT(refusal(options_for(1, {placement::listed, {}})), HasSubstr("list of CPUs is empty"));
  EXPECT_THAT(refusal(options_for(1, {placement::compact, {0}})),
              HasSubstr("goes with placement::listed"));
}

// A pool of one worker on the last CPU; a task waits, and another one must stand in.
TEST(pool_affinity, a_spare_runs_where_the_worker_did) {
  const int last = allowed().back();
  thread_pool pool(options_for(1, {placement::listed, {last}}));
  const pool_watchdog watchdog(pool);
  promise<void> go;
  std::thread::id of_worker;
  auto waits = pool.submit([&, f = go.get_future()]() mutable {
    of_worker = std::this_thread::get_id();
    f.get();
  });
  auto stands_in = pool.submit([&] {
    EXPECT_NE(std::this_thread::get_id(), of_worker);
    return cpus_of_this_thread();
  });
  EXPECT_EQ(stands_in.get(), text(last));
  go.set_value();
  waits.get();
}

// The CPUs of two tasks that run at the same time: each stays until the other is there.
cpus cpus_of_two_at_once(thread_pool& pool) {
  std::atomic<int> there{0};
  const auto meet = [&there] {
    ++there;
    while (there < 2) std::this_thread::yield();
    return heddle::prim::this_thread_affinity();
  };
  auto one = pool.submit(meet);
  auto other = pool.submit(meet);
  cpus both = one.get();
  const cpus more = other.get();
  both.insert(both.end(), more.begin(), more.end());
  std::sort(both.begin(), both.end());
  return both;
}

TEST(pool_affinity, whoever_runs_the_cpus_are_all_in_use) {
  const cpus all = allowed();
  if (all.size() < 2) GTEST_SKIP() << "needs two CPUs";
  const cpus two{all.front(), all.back()};
  thread_pool pool(options_for(2, {placement::listed, two}));
  const pool_watchdog watchdog(pool);
  EXPECT_EQ(cpus_of_two_at_once(pool), two);
  // Each worker in turn waits, and the spare is there for one and for the other.
  for (int turn = 0; turn < 6; ++turn) {
    promise<void> go;
    std::atomic<bool> begun{false};
    auto waits =
        pool.submit_to(static_cast<unsigned>(turn % 2), [&, f = go.get_future()]() mutable {
          begun = true;
          f.get();
        });
    EXPECT_TRUE(eventually([&] { return begun.load(); }));
    EXPECT_EQ(cpus_of_two_at_once(pool), two) << "while worker " << turn % 2 << " waits";
    go.set_value();
    waits.get();
    EXPECT_EQ(cpus_of_two_at_once(pool), two) << "after that";
  }
}

// A worker on one CPU that asks for the cores must not take its own mask for the process's.
TEST(pool_affinity, a_bound_pool_that_follows_the_cores_keeps_its_size) {
  for (const placement policy : {placement::none, placement::compact}) {
    thread_pool pool(options_for(0, {policy, {}}));
    const pool_watchdog watchdog(pool);
    const unsigned before = pool.size();
    // Cores are counted again each second, by a worker that wakes.
    const auto end = std::chrono::steady_clock::now() + 1500ms;
    while (std::chrono::steady_clock::now() < end) {
      pool.submit([] {}).get();
      std::this_thread::sleep_for(10ms);
    }
    EXPECT_EQ(pool.size(), before);
  }
}

TEST(pool_affinity, thefts_are_counted_for_each_victim) {
  thread_pool pool(options_for(2, {placement::scatter, {}}));
  const pool_watchdog watchdog(pool);
  std::atomic<bool> stolen{false};
  // One worker fills its deque and stays; the other can only steal.
  pool.submit([&] {
        for (int i = 0; i < 100; ++i)
          pool.post([&, id = std::this_thread::get_id()] {
            if (std::this_thread::get_id() != id) stolen = true;
          });
        while (!stolen) std::this_thread::yield();
      })
      .get();
  pool.wait_idle();  // nobody steals any more
  const heddle::pool_statistics s = pool.statistics();
  ASSERT_EQ(s.robbed.size(), 2u);
  EXPECT_GE(s.robbed[0] + s.robbed[1], 1u);
  EXPECT_EQ(s.robbed[0] + s.robbed[1], s.steals);
  EXPECT_GE(s.steal_attempts, 1u);
}

thread_pool_options ranked(thread_priority rank) {
  thread_pool_options options;
  options.workers = 1;
  options.thread_priority = rank;
  return options;
}

TEST(pool_affinity, threads_have_the_rank_that_was_asked_for) {
  for (const thread_priority& rank :
       {thread_priority{.nice = 19}, thread_priority{.policy = thread_policy::batch, .nice = 19},
        thread_priority{.policy = thread_policy::idle}}) {
    thread_pool pool(ranked(rank));
    const pool_watchdog watchdog(pool);
    EXPECT_EQ(pool.submit(heddle::prim::this_thread_priority).get(), rank) << rank.describe();
    // A spare, too.
    promise<void> go;
    auto waits = pool.submit([f = go.get_future()]() mutable { f.get(); });
    EXPECT_EQ(pool.submit(heddle::prim::this_thread_priority).get(), rank) << rank.describe();
    go.set_value();
    waits.get();
    EXPECT_EQ(pool.statistics().misplaced, 0u);
  }
}

TEST(pool_affinity, without_a_rank_threads_have_that_of_who_made_the_pool) {
  on_a_thread([] {
    const thread_priority nice{.nice = 19};
    heddle::prim::set_this_thread_priority(nice);
    thread_pool pool(1);
    const pool_watchdog watchdog(pool);
    EXPECT_EQ(pool.submit(heddle::prim::this_thread_priority).get(), nice);
  });
}

TEST(pool_affinity, a_rank_that_makes_no_sense_is_refused) {
  const std::size_t before = threads_of_this_process();
  EXPECT_THAT(refusal(ranked({.nice = 20})), HasSubstr("nice goes from -20 to 19"));
  EXPECT_THAT(refusal(ranked({.policy = thread_policy::fifo})),
              HasSubstr("the level goes from 1 to 99"));
  EXPECT_TRUE(eventually([&] { return threads_of_this_process() == before; }));
}

TEST(pool_affinity, a_rank_without_the_privilege_is_refused_at_once) {
  const thread_priority urgent{.policy = thread_policy::fifo, .level = 1};
  try {
    thread_pool pool(ranked(urgent));
    const pool_watchdog watchdog(pool);
    EXPECT_EQ(pool.submit(heddle::prim::this_thread_priority).get(), urgent)
        << "this process has the privilege";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code().value(), EPERM);
    EXPECT_THAT(e.what(), HasSubstr("sched_setattr to fifo, level 1"));
  }
}

}  // namespace
