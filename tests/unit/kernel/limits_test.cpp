#include <gtest/gtest.h>
#include <sys/resource.h>

#include <heddle/kernel/limits.hpp>
#include <string>

#include "fake_tree.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;

TEST(limits, of_a_recorded_process) {
  fake_tree fake;
  fake.write("proc/self/limits",
             "Limit                     Soft Limit           Hard Limit           Units     \n"
             "Max processes             1000                 unlimited            processes \n"
             "Max open files            1024                 524288               files     \n");
  fake.write("proc/self/cgroup", "0::/a/b\n");
  fake.write("proc/self/mountinfo", "31 23 0:28 / /cg rw - cgroup2 cgroup2 rw\n");
  fake.write("cg/a/b/pids.max", "max\n");
  fake.write("cg/a/pids.max", "4096\n");
  const process_limits l = read_process_limits(fake.files());
  ASSERT_TRUE(l.open_files && l.processes && l.tasks);
  EXPECT_EQ(l.open_files->soft, 1024u);
  EXPECT_EQ(l.open_files->hard, 524288u);
  EXPECT_EQ(l.processes->soft, 1000u);
  EXPECT_EQ(l.processes->hard, resource_limit::unlimited);
  EXPECT_EQ(l.tasks->value, 4096u);
  EXPECT_EQ(l.tasks->cgroup, "/a");
}

TEST(limits, malformed_is_unknown) {
  fake_tree fake;
  for (const char* bad : {"", "Max open files\n", "Max open files 5\n",
                          "Max open files x y files\n", "Max open filesystems 1 2 files\n"}) {
    fake.write("proc/self/limits", bad);
    EXPECT_FALSE(read_process_limits(fake.files()).open_files.has_value()) << bad;
  }
}

TEST(limits, of_processes_hold_for_all_but_administrators_of_the_machine) {
  fake_tree fake;
  const auto ignores = [&fake](const char* map, const std::string& user, const char* capabilities) {
    fake.write("proc/self/uid_map", map);
    fake.write("proc/self/status",
               "Name:\tx\nUid:\t" + user + "\t0\t0\t0\nCapEff:\t" + capabilities + "\n");
    return read_process_limits(fake.files()).ignores_processes;
  };
  const char* const machine = "         0          0 4294967295\n";
  const char* const container = "         0       1000          1\n";
  const char* const none = "0000000000000000";
  EXPECT_FALSE(read_process_limits(fake.files()).ignores_processes);
  EXPECT_TRUE(ignores(machine, "0", none));
  EXPECT_FALSE(ignores(machine, "1000", none));
  EXPECT_TRUE(ignores(machine, "1000", "0000000000200000")) << "CAP_SYS_ADMIN";
  EXPECT_TRUE(ignores(machine, "1000", "0000000001000000")) << "CAP_SYS_RESOURCE";
  EXPECT_FALSE(ignores(machine, "1000", "000001fffedfffff")) << "all the others";
  EXPECT_FALSE(ignores(container, "0", "000001ffffffffff"));
  fake.remove("proc/self/uid_map");
  EXPECT_TRUE(read_process_limits(fake.files()).ignores_processes)
      << "a kernel without user namespaces has none but this one";
}

TEST(limits, of_this_process) {
  rlimit expected{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &expected), 0);
  const process_limits l = read_process_limits();
  ASSERT_TRUE(l.open_files.has_value());
  EXPECT_EQ(l.open_files->soft, expected.rlim_cur);
  EXPECT_EQ(l.open_files->hard, expected.rlim_max);
}

}  // namespace
