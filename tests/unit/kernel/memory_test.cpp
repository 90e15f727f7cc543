#include <gtest/gtest.h>

#include <heddle/kernel/memory.hpp>
#include <string>

#include "fake_tree.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;

constexpr std::uint64_t mib = 1024 * 1024;
constexpr const char* meminfo =
    "MemTotal:        1048576 kB\nMemFree:          500000 kB\nMemAvailable:     524288 kB\n";

class v1_machine : public fake_tree {
 public:
  v1_machine() {
    write("proc/meminfo", meminfo);
    write("proc/self/cgroup", "4:memory:/a/b/c\n");
    write("proc/self/mountinfo", "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n");
  }
  void limit(const std::string& group, const std::string& bytes, const std::string& hierarchy) {
    write("cg/memory" + group + "/memory.limit_in_bytes", bytes);
    write("cg/memory" + group + "/memory.use_hierarchy", hierarchy);
  }
};

class v2_machine : public fake_tree {
 public:
  v2_machine() {
    write("proc/meminfo", meminfo);
    write("proc/self/cgroup", "0::/a/b/c\n");
    write("proc/self/mountinfo", "31 23 0:28 / /cg rw - cgroup2 cgroup2 rw\n");
  }
};

TEST(memory, of_the_machine) {
  fake_tree fake;
  fake.write("proc/meminfo", meminfo);
  const memory m = read_memory(fake.files());
  EXPECT_EQ(m.total_bytes, 1024 * mib);
  EXPECT_EQ(m.available_bytes, 512 * mib);
  EXPECT_FALSE(m.limit.has_value());
  EXPECT_EQ(m.usable_bytes(), 1024 * mib);
}

TEST(memory, unknown_is_zero) {
  fake_tree fake;
  EXPECT_EQ(read_memory(fake.files()).total_bytes, 0u);
  for (const char* bad : {"", "MemTotal:\n", "MemTotal: x kB\n", "MemTotal: -5 kB\n",
                          "MemTotal: 18446744073709551615 kB\n", "MemTotalX: 5 kB\n"}) {
    fake.write("proc/meminfo", bad);
    EXPECT_EQ(read_memory(fake.files()).usable_bytes(), 0u) << bad;
  }
}

TEST(memory, v2_limit_of_a_middle_group) {
  v2_machine fake;
  fake.write("cg/a/b/c/memory.max", "max\n");
  fake.write("cg/a/b/c/memory.high", "1000\n");
  fake.write("cg/a/b/memory.max", "104857600\n");
  fake.write("cg/a/memory.max", "204857600\n");
  const memory m = read_memory(fake.files());
  ASSERT_TRUE(m.limit.has_value());
  EXPECT_EQ(m.limit->value, 100 * mib);
  EXPECT_EQ(m.limit->cgroup, "/a/b");
  EXPECT_EQ(m.limit->file, "/cg/a/b/memory.max");
  EXPECT_EQ(m.usable_bytes(), 100 * mib);
}

TEST(memory, a_limit_above_what_there_is_does_not_add_any) {
  v2_machine fake;
  fake.write("cg/a/b/c/memory.max", "1099511627776\n");
  EXPECT_EQ(read_memory(fake.files()).usable_bytes(), 1024 * mib);
  fake.remove("proc/meminfo");
  EXPECT_EQ(read_memory(fake.files()).usable_bytes(), 1099511627776u);
}

TEST(memory, v1_limit_of_a_middle_group) {
  v1_machine fake;
  fake.limit("/a/b/c", "9223372036854771712\n", "1\n");
  fake.limit("/a/b", "52428800\n", "1\n");
  fake.limit("/a", "9223372036854771712\n", "1\n");
  const memory m = read_memory(fake.files());
  ASSERT_TRUE(m.limit.has_value());
  EXPECT_EQ(m.limit->value, 50 * mib);
  EXPECT_EQ(m.limit->cgroup, "/a/b");
  EXPECT_EQ(m.limit->version, cgroup_version::v1);
}

TEST(memory, v1_writes_no_limit_as_a_large_number) {
  v1_machine fake;
  fake.limit("/a/b/c", "9223372036854771712\n", "1\n");
  EXPECT_FALSE(read_memory(fake.files()).limit.has_value());
  fake.limit("/a/b/c", "9223372036854710272\n", "1\n");  // 64 KiB pages
  EXPECT_FALSE(read_memory(fake.files()).limit.has_value());
}

TEST(memory, v1_ancestors_without_hierarchy_do_not_limit) {
  v1_machine fake;
  fake.limit("/a/b/c", "104857600\n", "0\n");
  fake.limit("/a/b", "52428800\n", "0\n");
  const memory m = read_memory(fake.files());
  ASSERT_TRUE(m.limit.has_value());
  EXPECT_EQ(m.limit->value, 100 * mib) << "the own limit holds in any case";
  EXPECT_EQ(m.limit->cgroup, "/a/b/c");
}

TEST(memory, malformed_limits_are_none) {
  v2_machine fake;
  for (const char* bad : {"", "max", "-1\n", "x\n", "18446744073709551616\n", "1 2\n"}) {
    fake.write("cg/a/memory.max", bad);
    EXPECT_FALSE(read_memory(fake.files()).limit.has_value()) << bad;
  }
}

TEST(memory, of_this_machine) {
  const memory m = read_memory();
  EXPECT_GT(m.total_bytes, 0u);
  EXPECT_LE(m.available_bytes, m.total_bytes);
  EXPECT_GT(m.usable_bytes(), 0u);
}

}  // namespace
