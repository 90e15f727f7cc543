#include <gtest/gtest.h>

#include <heddle/kernel/usage.hpp>
#include <optional>

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
