#include <gtest/gtest.h>

#include <heddle/kernel/usage.hpp>
#include <optional>
#include <string>

#include "fake_tree.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;

const cgroup_limit tasks{4096, cgroup_version::v2, "/a", "/cg/a/pids.max"};
const cgroup_limit memory_v1{1000, cgroup_version::v1, "/a", "/cg/a/memory.limit_in_bytes"};
const cgroup_limit memory_v2{1000, cgroup_version::v2, "/a", "/cg/a/memory.max"};

TEST(usage, of_threads) {
  fake_tree fake;
  EXPECT_EQ(read_tasks_in_use(tasks, fake.files()), std::nullopt);
  fake.write("cg/a/pids.current", "37\n");
  EXPECT_EQ(read_tasks_in_use(tasks, fake.files()), 37u);
  fake.write("cg/a/pids.current", "many\n");
  EXPECT_EQ(read_tasks_in_use(tasks, fake.files()), std::nullopt);
}

TEST(usage, of_threads_of_the_machine) {
  fake_tree fake;
  EXPECT_EQ(count_threads(fake.files()), std::nullopt);
  fake.write("proc/loadavg", "0.20 0.18 0.12 1/345 4711\n");
  EXPECT_EQ(count_threads(fake.files()), 345u);
  for (const char* bad : {"", "0.20 0.18 0.12", "0.20 0.18 0.12 345 4711", "a b c d/e f"}) {
    fake.write("proc/loadavg", bad);
    EXPECT_EQ(count_threads(fake.files()), std::nullopt) << bad;
  }
}

TEST(usage, of_threads_of_the_user) {
  fake_tree fake;
  EXPECT_EQ(count_user_threads(fake.files()), std::nullopt);
  const auto write = [&fake](const std::string& process, const std::string& status) {
    fake.write("proc/" + process + "/status", status);
  };
  write("self", "Name:\tx\nUid:\t1000\t0\t0\t0\nThreads:\t2\n");
  write("10", "Name:\tx\nUid:\t1000\t0\t0\t0\nThreads:\t2\n");
  write("11", "Name:\tUid: 1000\nUid:\t1001\t1000\t1000\t1000\nThreads:\t100\n");
  write("12", "Name:\ty\nUid:\t1000\t1001\t1001\t1001\nThreads:\t30\n");
  write("13", "Name:\tz\nUid:\t10000\t1000\t1000\t1000\nThreads:\t100\n");
  write("14", "it has just ended");
  write("15", "Name:\tz\nUid:\t1000\t1000\t1000\t1000\n");
  fake.make_directory("proc/16");
  write("sys", "Uid:\t1000\nThreads:\t100\n");
  EXPECT_EQ(count_user_threads(fake.files()), 2u + 30 + 1);
  write("self", "Name:\tx\n");
  EXPECT_EQ(count_user_threads(fake.files()), std::nullopt);
}

TEST(usage, of_threads_of_this_machine) {
  const auto all = count_threads();
  const auto own = count_user_threads();
  ASSERT_TRUE(all && own);
  EXPECT_GE(*own, 1u);
}

TEST(usage, of_memory_leaves_out_what_can_be_taken_back) {
  fake_tree fake;
  EXPECT_EQ(read_memory_in_use(memory_v2, fake.files()), std::nullopt);
  fake.write("cg/a/memory.current", "900\n");
  EXPECT_EQ(read_memory_in_use(memory_v2, fake.files()), 900u);
  fake.write("cg/a/memory.stat",
             "anon 300\nfile 500\nshmem 50\ninactive_file 200\nactive_file 150\n"
             "slab_reclaimable 40\nslab_unreclaimable 30\n");
  EXPECT_EQ(read_memory_in_use(memory_v2, fake.files()), 510u);
  fake.write("cg/a/memory.current", "100\n");
  EXPECT_EQ(read_memory_in_use(memory_v2, fake.files()), 0u) << "not read at the same time";
}

TEST(usage, of_memory_in_a_v1_hierarchy) {
  fake_tree fake;
  fake.write("cg/a/memory.usage_in_bytes", "900\n");
  fake.write("cg/a/memory.stat",
             "inactive_file 1\nactive_file 2\ntotal_inactive_file 200\ntotal_active_file 300\n");
  EXPECT_EQ(read_memory_in_use(memory_v1, fake.files()), 400u);
}

}  // namespace
