#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <heddle/kernel/schedstat.hpp>
#include <heddle/kernel/thread_sampler.hpp>
#include <thread>

#include "child.hpp"
#include "fake_tree.hpp"
#include "few_descriptors.hpp"
#include "support/threads.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;
using heddle_test::few_descriptors;
using heddle_test::watchdog;
using std::chrono::nanoseconds;

nanoseconds own_cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

// A thread that computes until the end of its scope.
class busy_thread {
 public:
  busy_thread() {
    while (id_ == 0) std::this_thread::yield();
  }
  ~busy_thread() { end(); }
  void end() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
  }
  pid_t id() const { return id_; }

 private:
  std::atomic<pid_t> id_{0};
  std::atomic<bool> over_{false};
  std::thread thread_{[this] {
    id_ = ::gettid();
    while (!over_) {
    }
  }};
};

TEST(thread_sampler, of_a_recorded_thread) {
  fake_tree fake;
  fake.write("proc/self/task/71/schedstat", "300 20 1\n");
  const thread_sampler sampler(71, fake.files());
  EXPECT_TRUE(sampler.knows_waiting());
  EXPECT_EQ(sampler.sample(), (schedstat{nanoseconds(300), nanoseconds(20), 1}));
  fake.write("proc/self/task/71/schedstat", "155873757 89883 5\n");
  EXPECT_EQ(sampler.sample(), (schedstat{nanoseconds(155873757), nanoseconds(89883), 5}));
  fake.write("proc/self/task/71/schedstat", "");
  EXPECT_FALSE(sampler.sample().has_value());
}

TEST(thread_sampler, of_a_tree_that_tells_nothing) {
  fake_tree fake;
  fake.write("proc/self/task/72/schedstat", "broken\n");
  for (const pid_t thread : {71, 72}) {
    const thread_sampler sampler(thread, fake.files());
    EXPECT_FALSE(sampler.knows_waiting());
    EXPECT_FALSE(sampler.sample().has_value());
  }
}

TEST(thread_sampler, of_no_thread) {
  EXPECT_FALSE(thread_sampler{}.sample().has_value());
  EXPECT_FALSE(thread_sampler{}.knows_waiting());
  EXPECT_FALSE(thread_sampler(0).sample().has_value()) << "0 would be the caller";
  EXPECT_FALSE(thread_sampler(-5).sample().has_value());
}

TEST(thread_sampler, is_exact_to_the_moment) {
  const thread_sampler sampler(::gettid());
  for (int i = 0; i < 100; ++i) {
    const nanoseconds before = own_cpu_time();
    const auto now = sampler.sample();
    const nanoseconds after = own_cpu_time();
    ASSERT_TRUE(now.has_value());
    EXPECT_LE(before, now->running);
    EXPECT_LE(now->running, after);
  }
}

TEST(thread_sampler, of_another_thread_never_runs_backwards) {
  const watchdog patience;
  busy_thread busy;
  const thread_sampler sampler(busy.id());
  schedstat last;
  for (nanoseconds until{}; last.running < until + std::chrono::milliseconds(5);) {
    const auto now = sampler.sample();
    ASSERT_TRUE(now.has_value());
    EXPECT_GE(now->running, last.running);
    EXPECT_GE(now->waiting, last.waiting);
    EXPECT_GE(now->slices, last.slices);
    if (until == nanoseconds{}) until = now->running;
    last = *now;
  }
}

TEST(thread_sampler, sees_threads_wait_for_the_cpu_they_share) {
  if (!read_own_schedstat()) GTEST_SKIP() << "this kernel keeps no such books";
  const watchdog patience;
  busy_thread one;
  busy_thread other;
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(static_cast<unsigned>(::sched_getcpu()), &here);
  for (const pid_t thread : {one.id(), other.id()})
    ASSERT_EQ(::sched_setaffinity(thread, sizeof here, &here), 0);
  const thread_sampler sampler(one.id());
  ASSERT_TRUE(sampler.knows_waiting());
  const nanoseconds before = sampler.sample()->waiting;
  while (sampler.sample()->waiting <= before + std::chrono::milliseconds(1))
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST(thread_sampler, of_a_thread_that_ends_gives_nothing_afterwards) {
  const watchdog patience;
  busy_thread busy;
  const thread_sampler sampler(busy.id());
  EXPECT_TRUE(sampler.sample().has_value());
  busy.end();
  // The kernel lets go of a thread a moment after it can be joined.
  while (sampler.sample()) std::this_thread::yield();
}

TEST(thread_sampler, without_descriptors_knows_the_cpu_time) {
  busy_thread busy;
  const few_descriptors none(0);
  const thread_sampler sampler(busy.id());
  EXPECT_FALSE(sampler.knows_waiting());
  const auto first = sampler.sample();
  const auto second = sampler.sample();
  ASSERT_TRUE(first && second);
  EXPECT_GE(second->running, first->running);
  EXPECT_EQ(second->waiting, nanoseconds{});
  EXPECT_EQ(second->slices, 0u);
}

TEST(thread_sampler, of_another_process_gives_nothing) {
  const heddle_test::child sleeper([] { heddle_test::sleep_forever(); });
  EXPECT_FALSE(thread_sampler(sleeper.id()).sample().has_value());
}

TEST(thread_sampler, of_the_parents_thread_gives_nothing_in_a_child) {
  const thread_sampler sampler(::gettid());
  ASSERT_TRUE(sampler.sample().has_value());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(sampler.sample().has_value() ? 1 : 0);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(own_usage, counts_sleeps) {
  const thread_usage before = own_usage();
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const thread_usage after = own_usage();
  EXPECT_GT(after.voluntary_switches, before.voluntary_switches);
  EXPECT_GE(after.involuntary_switches, before.involuntary_switches);
  EXPECT_GE(after.user + after.system, before.user + before.system);
  EXPECT_GE(after.major_faults, before.major_faults);
}

}  // namespace
