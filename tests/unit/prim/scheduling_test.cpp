#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <cerrno>
#include <fstream>
#include <heddle/prim/scheduling.hpp>
#include <heddle/prim/thread.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using namespace heddle::prim;
using testing::HasSubstr;

// What a thread does to itself must not last: each test has one of its own.
template <class F>
void on_a_thread(F f) {
  std::thread(f).join();
}

std::string status_line(const std::string& key) {
  std::ifstream file("/proc/thread-self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":"))
      return line.substr(line.find_first_not_of(" \t", key.size() + 1));
  return "";
}

std::string message_of(const thread_priority& priority) {
  try {
    check_priority(priority);
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "accepted";
}

TEST(scheduling, a_thread_is_bound_to_one_cpu_after_the_other) {
  on_a_thread([] {
    for (const int cpu : this_thread_affinity()) {
      bind_this_thread(cpu);
      EXPECT_EQ(this_thread_affinity(), std::vector{cpu});
      EXPECT_EQ(::sched_getcpu(), cpu);
      EXPECT_EQ(status_line("Cpus_allowed_list"), std::to_string(cpu));
    }
  });
}

TEST(scheduling, binding_is_for_the_calling_thread_alone) {
  const std::vector<int> before = this_thread_affinity();
  on_a_thread([&] { bind_this_thread(before.front()); });
  EXPECT_EQ(this_thread_affinity(), before);
}

TEST(scheduling, a_thread_is_bound_to_several_cpus_in_any_order) {
  const std::vector<int> all = this_thread_affinity();
  const std::vector<int> backwards(all.rbegin(), all.rend());
  on_a_thread([&] {
    bind_this_thread(all.front());
    bind_this_thread(backwards);
    EXPECT_EQ(this_thread_affinity(), all);
  });
}

TEST(scheduling, cpus_that_are_not_there_do_not_count_beside_others) {
  const std::vector<int> all = this_thread_affinity();
  on_a_thread([&] {
    const std::vector<int> one_real = {100000, all.front()};
    bind_this_thread(one_real);
    EXPECT_EQ(this_thread_affinity(), std::vector{all.front()});
  });
}

TEST(scheduling, a_cpu_that_is_not_there_is_the_kernels_error) {
  const std::vector<int> before = this_thread_affinity();
  try {
    bind_this_thread(100000);
    FAIL() << "accepted";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code().value(), EINVAL);
    EXPECT_THAT(e.what(), HasSubstr("sched_setaffinity to CPUs 100000"));
  }
  EXPECT_EQ(this_thread_affinity(), before);
}

TEST(scheduling, a_number_that_no_cpu_can_have_is_refused) {
  EXPECT_THROW(bind_this_thread(-1), std::invalid_argument);
  EXPECT_THROW(bind_this_thread(131072), std::invalid_argument);
  EXPECT_THROW(bind_this_thread(std::span<const int>{}), std::invalid_argument);
  const std::vector<int> one_bad = {0, -7};
  EXPECT_THROW(bind_this_thread(one_bad), std::invalid_argument);
}

TEST(scheduling, a_thread_may_become_nicer) {
  on_a_thread([] {
    const thread_priority before = this_thread_priority();
    ASSERT_EQ(before.policy, thread_policy::normal);
    const thread_priority nicer{.nice = std::min(before.nice + 3, 19)};
    set_this_thread_priority(nicer);
    EXPECT_EQ(this_thread_priority(), nicer);
    EXPECT_EQ(::getpriority(PRIO_PROCESS, static_cast<id_t>(kernel_thread_id())), nicer.nice);
  });
}

TEST(scheduling, a_priority_is_for_the_calling_thread_alone) {
  const thread_priority before = this_thread_priority();
  on_a_thread([] { set_this_thread_priority({.policy = thread_policy::idle}); });
  EXPECT_EQ(this_thread_priority(), before);
}

TEST(scheduling, batch_and_idle_need_no_privilege) {
  on_a_thread([] {
    const thread_priority batch{.policy = thread_policy::batch, .nice = 19};
    set_this_thread_priority(batch);
    EXPECT_EQ(this_thread_priority(), batch);
    EXPECT_EQ(::sched_getscheduler(0), SCHED_BATCH);
    const thread_priority idle{.policy = thread_policy::idle};
    set_this_thread_priority(idle);
    EXPECT_EQ(this_thread_priority(), idle) << "without the nice value of before";
    EXPECT_EQ(::sched_getscheduler(0), SCHED_IDLE);
  });
}

TEST(scheduling, real_time_is_given_or_refused_by_the_kernel) {
  on_a_thread([] {
    const thread_priority before = this_thread_priority();
    for (const thread_policy policy : {thread_policy::fifo, thread_policy::round_robin}) {
      const thread_priority urgent{.policy = policy, .level = 1};
      try {
        set_this_thread_priority(urgent);
        EXPECT_EQ(this_thread_priority(), urgent);
        set_this_thread_priority(before);
      } catch (const std::system_error& e) {
        EXPECT_EQ(e.code().value(), EPERM);
        EXPECT_THAT(e.what(), HasSubstr("sched_setattr to " + urgent.describe()));
        EXPECT_EQ(this_thread_priority(), before);
      }
    }
  });
}

TEST(scheduling, what_a_new_thread_inherits) {
  on_a_thread([] {
    const int cpu = this_thread_affinity().back();
    const thread_priority nice{.policy = thread_policy::batch, .nice = 19};
    bind_this_thread(cpu);
    set_this_thread_priority(nice);
    on_a_thread([&] {
      EXPECT_EQ(this_thread_affinity(), std::vector{cpu});
      EXPECT_EQ(this_thread_priority(), nice);
    });
  });
}

TEST(scheduling, priorities_describe_themselves) {
  EXPECT_EQ(thread_priority{}.describe(), "normal");
  EXPECT_EQ((thread_priority{.nice = -5}.describe()), "normal, nice -5");
  EXPECT_EQ((thread_priority{.policy = thread_policy::batch, .nice = 10}.describe()),
            "batch, nice 10");
  EXPECT_EQ(thread_priority{.policy = thread_policy::idle}.describe(), "idle");
  EXPECT_EQ((thread_priority{.policy = thread_policy::fifo, .level = 20}.describe()),
            "fifo, level 20");
  EXPECT_EQ((thread_priority{.policy = thread_policy::round_robin, .level = 1}.describe()),
            "round robin, level 1");
  EXPECT_EQ(thread_priority{.policy = static_cast<thread_policy>(6)}.describe(), "policy 6");
}

TEST(scheduling, priorities_that_make_no_sense_are_refused_with_a_reason) {
  using enum thread_policy;
  EXPECT_EQ(message_of({}), "accepted");
  EXPECT_EQ(message_of({.policy = batch, .nice = -20}), "accepted");
  EXPECT_EQ(message_of({.policy = fifo, .level = 99}), "accepted");
  EXPECT_EQ(message_of({.nice = 20}),
            "thread priority \"normal, nice 20\": nice goes from -20 to 19");
  EXPECT_THAT(message_of({.nice = -21}), HasSubstr("nice goes from"));
  EXPECT_THAT(message_of({.policy = idle, .nice = 1}), HasSubstr("goes with normal and batch"));
  EXPECT_THAT(message_of({.policy = fifo, .nice = 1, .level = 1}), HasSubstr("goes with normal"));
  EXPECT_THAT(message_of({.policy = fifo}), HasSubstr("the level goes from 1 to 99"));
  EXPECT_THAT(message_of({.policy = round_robin, .level = 100}), HasSubstr("from 1 to 99"));
  EXPECT_THAT(message_of({.level = 1}), HasSubstr("a level goes with fifo"));
  EXPECT_THAT(message_of({.policy = static_cast<thread_policy>(4)}), HasSubstr("no such policy"));
  EXPECT_THROW(set_this_thread_priority({.nice = 20}), std::invalid_argument);
}

}  // namespace
