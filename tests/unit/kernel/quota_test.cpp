#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/quota.hpp>
#include <limits>
#include <stdexcept>
#include <string>

#include "fake_tree.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;

constexpr const char* v2_mount =
    "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* v1_mount =
    "24 18 0:20 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n"
    "32 24 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:4 - cgroup cgroup rw,cpu,cpuacct\n"
    "33 24 0:30 / /sys/fs/cgroup/cpuset rw shared:5 - cgroup cgroup rw,cpuset\n";
constexpr const char* v1_own = "5:cpuset:/\n4:cpu,cpuacct:/a/b/c\n1:name=systemd:/x\n";

// A machine with v2 only, the process being in `own`.
class limited_v2_machine : public fake_tree {
 public:
  explicit limited_v2_machine(const std::string& own, const std::string& mountinfo = v2_mount) {
    write("proc/self/cgroup", "0::" + own + "\n");
    write("proc/self/mountinfo", mountinfo);
  }
  void limit(const std::string& group, const std::string& cpu_max) {
    write("sys/fs/cgroup" + group + "/cpu.max", cpu_max);
  }
};

class limited_v1_machine : public fake_tree {
 public:
  explicit limited_v1_machine(const std::string& own = v1_own,
                              const std::string& mountinfo = v1_mount) {
    write("proc/self/cgroup", own);
    write("proc/self/mountinfo", mountinfo);
  }
  void limit(const std::string& group, const std::string& quota, const std::string& period) {
    write("sys/fs/cgroup/cpu,cpuacct" + group + "/cpu.cfs_quota_us", quota);
    write("sys/fs/cgroup/cpu,cpuacct" + group + "/cpu.cfs_period_us", period);
  }
};

double quota_cores(const fake_tree& fake) {
  const auto quota = read_cpu_quota(fake.files());
  return quota ? quota->cores() : -1;
}

std::string quota_cgroup(const fake_tree& fake) {
  const auto quota = read_cpu_quota(fake.files());
  return quota ? quota->cgroup : "none";
}

TEST(quota_v2, of_the_own_group) {
  limited_v2_machine fake("/a");
  fake.limit("/a", "150000 100000\n");
  const auto quota = read_cpu_quota(fake.files());
  ASSERT_TRUE(quota.has_value());
  EXPECT_EQ(quota->quota.count(), 150000);
  EXPECT_EQ(quota->period.count(), 100000);
  EXPECT_EQ(quota->cores(), 1.5);
  EXPECT_EQ(quota->version, cgroup_version::v2);
  EXPECT_EQ(quota->cgroup, "/a");
  EXPECT_EQ(quota->file, "/sys/fs/cgroup/a/cpu.max");
}

TEST(quota_v2, the_tightest_of_all_ancestors_wins) {
  limited_v2_machine fake("/a/b/c");
  fake.limit("/a/b/c", "max 100000\n");
  fake.limit("/a/b", "20000 10000\n");
  fake.limit("/a", "400000 100000\n");
  EXPECT_EQ(quota_cores(fake), 2);
  EXPECT_EQ(quota_cgroup(fake), "/a/b");

  fake.limit("/a", "50000 100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
  EXPECT_EQ(quota_cgroup(fake), "/a");

  fake.limit("/a/b/c", "10000 100000\n");
  EXPECT_EQ(quota_cores(fake), 0.1);
  EXPECT_EQ(quota_cgroup(fake), "/a/b/c");
}

TEST(quota_v2, siblings_and_children_do_not_matter) {
  limited_v2_machine fake("/a/b");
  fake.limit("/a/b", "max 100000\n");
  fake.limit("/a/b/child", "1000 100000\n");
  fake.limit("/a/sibling", "1000 100000\n");
  EXPECT_EQ(quota_cores(fake), -1);
}

TEST(quota_v2, of_equal_ones_the_nearest_is_named) {
  limited_v2_machine fake("/a/b");
  fake.limit("/a/b", "100000 100000\n");
  fake.limit("/a", "50000 50000\n");
  EXPECT_EQ(quota_cgroup(fake), "/a/b");
}

TEST(quota_v2, what_is_no_limit) {
  limited_v2_machine fake("/a");
  fake.make_directory("sys/fs/cgroup/a");
  EXPECT_EQ(quota_cores(fake), -1) << "no file";
  for (const char* text :
       {"", "\n", "max 100000\n", "max\n", "50000\n", "50000 0\n", "0 100000\n", "-1 100000\n",
        "50000 -100000\n", "x 100000\n", "50000 y\n", "50000 100000 7\n", "5e4 100000\n",
        "99999999999999999999 100000\n", "50000 99999999999999999999\n"}) {
    fake.limit("/a", text);
    EXPECT_EQ(quota_cores(fake), -1) << text;
  }
}

TEST(quota_v2, a_malformed_level_hides_no_other) {
  limited_v2_machine fake("/a/b/c");
  fake.limit("/a/b/c", "garbage");
  fake.limit("/a", "300000 100000\n");
  EXPECT_EQ(quota_cores(fake), 3);
}

TEST(quota_v2, extreme_numbers) {
  limited_v2_machine fake("/a");
  fake.limit("/a", "9223372036854775807 1\n");
  EXPECT_GT(quota_cores(fake), 9e18);
  fake.limit("/a", "1 9223372036854775807\n");
  EXPECT_GT(quota_cores(fake), 0);
  EXPECT_LT(quota_cores(fake), 1e-18);
}

TEST(quota_v2, a_changed_limit_is_seen_in_groups_found_before) {
  limited_v2_machine fake("/a/b");
  fake.limit("/a/b", "max 100000\n");
  const auto groups = find_cgroups(fake.files(), "cpu");
  EXPECT_FALSE(read_cpu_quota(fake.files(), groups).has_value());
  fake.limit("/a", "30000 10000\n");
  const auto quota = read_cpu_quota(fake.files(), groups);
  ASSERT_TRUE(quota.has_value());
  EXPECT_EQ(quota->cores(), 3);
  EXPECT_FALSE(read_cpu_quota(fake.files(), {}).has_value());
}

TEST(quota_v1, of_the_own_group) {
  limited_v1_machine fake;
  fake.limit("/a/b/c", "250000\n", "100000\n");
  const auto quota = read_cpu_quota(fake.files());
  ASSERT_TRUE(quota.has_value());
  EXPECT_EQ(quota->cores(), 2.5);
  EXPECT_EQ(quota->version, cgroup_version::v1);
  EXPECT_EQ(quota->cgroup, "/a/b/c");
  EXPECT_EQ(quota->file, "/sys/fs/cgroup/cpu,cpuacct/a/b/c/cpu.cfs_quota_us");
}

TEST(quota_v1, the_tightest_of_all_ancestors_wins) {
  limited_v1_machine fake;
  fake.limit("/a/b/c", "-1\n", "100000\n");
  fake.limit("/a/b", "50000\n", "100000\n");
  fake.limit("/a", "70000\n", "100000\n");
  fake.limit("", "-1\n", "100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
  EXPECT_EQ(quota_cgroup(fake), "/a/b");
  fake.limit("", "10000\n", "100000\n");
  EXPECT_EQ(quota_cgroup(fake), "/");
}

TEST(quota_v1, what_is_no_limit) {
  limited_v1_machine fake;
  const std::pair<const char*, const char*> table[] = {
      {"-1\n", "100000\n"}, {"50000\n", "0\n"}, {"50000\n", ""},     {"", "100000\n"},
      {"0\n", "100000\n"},  {"x\n", "1\n"},     {"50000\n", "-5\n"}, {"50000 1\n", "100000\n"}};
  for (const auto& [quota, period] : table) {
    fake.limit("/a/b/c", quota, period);
    EXPECT_EQ(quota_cores(fake), -1) << quota << " of " << period;
  }
  fake.limit("/a/b/c", "50000\n", "100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
  fake.remove("sys/fs/cgroup/cpu,cpuacct/a/b/c/cpu.cfs_period_us");
  EXPECT_EQ(quota_cores(fake), -1) << "period missing";
}

TEST(quota_v1, the_controller_is_not_mistaken_for_another) {
  // "cpuset" and "cpuacct" begin like "cpu".
  limited_v1_machine fake("3:cpuset:/s\n2:cpuacct:/t\n",
                          "33 24 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                          "34 24 0:31 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n");
  fake.write("sys/fs/cgroup/cpuset/s/cpu.cfs_quota_us", "1000\n");
  fake.write("sys/fs/cgroup/cpuset/s/cpu.cfs_period_us", "100000\n");
  EXPECT_TRUE(find_cgroups(fake.files(), "cpu").empty());
  EXPECT_EQ(quota_cores(fake), -1);
}

TEST(quota_hybrid, both_hierarchies_are_looked_at) {
  limited_v1_machine fake(
      "4:cpu,cpuacct:/a\n0::/u\n",
      std::string(v1_mount) + "41 24 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  fake.limit("/a", "200000\n", "100000\n");
  fake.make_directory("sys/fs/cgroup/unified/u");
  EXPECT_EQ(quota_cores(fake), 2);
  EXPECT_EQ(find_cgroups(fake.files(), "cpu").size(), 2u);

  // The controller is bound to the other hierarchy on some systems.
  fake.write("sys/fs/cgroup/unified/u/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
  EXPECT_EQ(quota_cgroup(fake), "/u");
}

TEST(cgroups, in_a_container_only_a_part_is_mounted) {
  // Docker on v1 without a cgroup namespace: the mount shows the container's own group as its root.
  limited_v1_machine fake(
      "4:cpu,cpuacct:/docker/f00/inner\n",
      "32 24 0:29 /docker/f00 /sys/fs/cgroup/cpu,cpuacct ro master:4 - cgroup cgroup "
      "rw,cpu,cpuacct\n");
  fake.limit("", "50000\n", "100000\n");
  fake.limit("/inner", "80000\n", "100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
  EXPECT_EQ(quota_cgroup(fake), "/docker/f00");
  const auto chains = find_cgroups(fake.files(), "cpu");
  ASSERT_EQ(chains.size(), 1u);
  ASSERT_EQ(chains[0].levels.size(), 2u);
  EXPECT_EQ(chains[0].levels[0].name, "/docker/f00/inner");
  EXPECT_EQ(chains[0].levels[0].directory, "/sys/fs/cgroup/cpu,cpuacct/inner");
}

TEST(cgroups, a_mount_of_another_group_is_not_ours) {
  // "/docker/f0" is no ancestor of "/docker/f00".
  limited_v2_machine fake("/docker/f00",
                          "31 23 0:28 /docker/f0 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  fake.limit("", "1000 100000\n");
  EXPECT_EQ(quota_cores(fake), -1);
}

TEST(cgroups, the_calling_thread_may_be_in_another_group_than_its_process) {
  limited_v2_machine fake("/process");
  fake.write("proc/thread-self/cgroup", "0::/process/thread\n");
  fake.limit("/process", "300000 100000\n");
  fake.limit("/process/thread", "200000 100000\n");
  EXPECT_EQ(quota_cores(fake), 2);
}

TEST(cgroups, in_a_namespace_of_ones_own) {
  limited_v2_machine fake("/");
  fake.limit("", "50000 100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
  EXPECT_EQ(quota_cgroup(fake), "/");
}

TEST(cgroups, the_process_sits_outside_its_namespace) {
  limited_v2_machine fake("/../other/x", "31 23 0:28 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  fake.limit("", "400000 100000\n");
  fake.limit("/other", "100000 100000\n");
  fake.limit("/other/x", "200000 100000\n");
  fake.limit("/x", "1000 100000\n");
  EXPECT_EQ(quota_cores(fake), 1);
  EXPECT_EQ(quota_cgroup(fake), "/../other");
}

TEST(cgroups, a_mount_below_a_sibling_shows_nothing_of_ours) {
  limited_v2_machine fake("/../other", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  fake.limit("", "1000 100000\n");
  EXPECT_EQ(quota_cores(fake), -1);
}

TEST(cgroups, the_namespace_begins_below_the_mount) {
  // As after `unshare --cgroup` without a new mount: two levels have no names here.
  limited_v2_machine fake("/mine", "31 23 0:28 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  fake.write("proc/self/stat", "77 (name) R 1");
  for (const char* group : {"", "/p", "/p/q", "/p/q/mine", "/p/r", "/p/r/mine", "/o", "/o/q"})
    fake.write(std::string("sys/fs/cgroup") + group + "/cgroup.procs", "5\n6\n");
  fake.write("sys/fs/cgroup/p/r/mine/cgroup.procs", "76\n77\n");
  fake.limit("", "900000 100000\n");
  fake.limit("/p/q", "1000 100000\n");
  fake.limit("/p/r", "300000 100000\n");
  fake.limit("/p", "700000 100000\n");
  EXPECT_EQ(quota_cores(fake), 3);
  EXPECT_EQ(quota_cgroup(fake), "/");
  const auto levels = find_cgroups(fake.files(), "cpu").at(0).levels;
  ASSERT_EQ(levels.size(), 4u);
  EXPECT_EQ(levels[0].name, "/mine");
  EXPECT_EQ(levels[0].directory, "/sys/fs/cgroup/p/r/mine");
  EXPECT_EQ(levels[2].name, "/..");
  EXPECT_EQ(levels[3].name, "/../..");

  // Without a way home the mount's own root still limits us.
  fake.write("sys/fs/cgroup/p/r/mine/cgroup.procs", "76\n");
  EXPECT_EQ(quota_cores(fake), 9);
  EXPECT_EQ(quota_cgroup(fake), "/../..");
}

TEST(cgroups, mount_points_with_odd_characters) {
  limited_v2_machine fake(
      "/a b\\c:d", "31 23 0:28 / /sys/fs/my\\040cgroup\\011x\\134y rw - cgroup2 cgroup2 rw\n");
  fake.write("sys/fs/my cgroup\tx\\y/a b\\c:d/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
  EXPECT_EQ(quota_cgroup(fake), "/a b\\c:d");
}

TEST(cgroups, mount_roots_with_odd_characters) {
  limited_v2_machine fake("/a b/c", "31 23 0:28 /a\\040b /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  fake.limit("/c", "50000 100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
}

TEST(cgroups, a_hidden_mount_is_passed_over) {
  // The first is covered by the second, in the same directory.
  limited_v2_machine fake("/docker/f00",
                          "30 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                          "31 23 0:28 /docker/f00 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  fake.limit("", "50000 100000\n");
  const auto quota = read_cpu_quota(fake.files());
  ASSERT_TRUE(quota.has_value());
  EXPECT_EQ(quota->cgroup, "/docker/f00");
}

TEST(cgroups, a_later_mount_that_leads_nowhere_is_passed_over) {
  // The second shows more levels, but something else lies on top of its directory.
  limited_v2_machine fake("/docker/f00",
                          "30 23 0:28 /docker/f00 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                          "31 23 0:28 / /mnt/covered rw - cgroup2 cgroup2 rw\n");
  fake.limit("", "50000 100000\n");
  EXPECT_EQ(quota_cores(fake), 0.5);
}

TEST(cgroups, of_several_mounts_the_one_that_shows_most) {
  limited_v2_machine fake("/a/b",
                          "30 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                          "31 23 0:28 /a /mnt/part rw - cgroup2 cgroup2 rw\n");
  fake.limit("/a/b", "max 100000\n");
  fake.limit("", "50000 100000\n");
  fake.make_directory("mnt/part/b");
  EXPECT_EQ(quota_cores(fake), 0.5);
}

TEST(cgroups, malformed_files_are_nothing) {
  for (const char* mountinfo :
       {"", "\n\n", "garbage\n", "31 23 0:28 / /sys/fs/cgroup rw cgroup2 cgroup2 rw\n",
        "31 23 0:28 / /sys/fs/cgroup rw -\n", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2\n",
        "31 23 0:28 /\\04 /sys\\ rw - cgroup cgroup rw,cpu\n"}) {
    for (const char* own :
         {"", "\n", "0", "0:", "0::", "0::relative", ":::::", "4:cpu:/a\n0::/a"}) {
      fake_tree fake;
      fake.write("proc/self/mountinfo", mountinfo);
      fake.write("proc/self/cgroup", own);
      EXPECT_EQ(quota_cores(fake), -1) << mountinfo << own;
    }
  }
}

TEST(cgroups, a_line_cut_short_still_counts_when_it_tells_enough) {
  limited_v2_machine fake("/a", "31 23 0:28 / /sys/fs/cgroup rw - cgroup2");
  fake.limit("/a", "50000 100000");
  EXPECT_EQ(quota_cores(fake), 0.5);
}

TEST(cgroups, the_tightest_number) {
  limited_v2_machine fake("/a/b/c");
  const auto tightest = [&fake] {
    return tightest_limit(fake.files(), find_cgroups(fake.files(), "pids"), "pids.max", "pids.max");
  };
  fake.make_directory("sys/fs/cgroup/a/b/c");
  EXPECT_FALSE(tightest().has_value());
  fake.write("sys/fs/cgroup/a/b/c/pids.max", "max\n");
  fake.write("sys/fs/cgroup/a/b/pids.max", "100\n");
  fake.write("sys/fs/cgroup/a/pids.max", "900\n");
  ASSERT_TRUE(tightest().has_value());
  EXPECT_EQ(tightest()->value, 100u);
  EXPECT_EQ(tightest()->cgroup, "/a/b");
  EXPECT_EQ(tightest()->file, "/sys/fs/cgroup/a/b/pids.max");
  fake.write("sys/fs/cgroup/a/pids.max", "100\n");
  EXPECT_EQ(tightest()->cgroup, "/a/b") << "of equal ones the nearest";
}

TEST(affinity, from_a_recorded_status) {
  fake_tree fake;
  fake.write("proc/self/status", "Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-3,5,2000\n");
  EXPECT_EQ(read_affinity(fake.files()).to_string(), "0-3,5,2000");
}

TEST(affinity, falls_back_to_online_then_to_one) {
  fake_tree fake;
  EXPECT_EQ(read_affinity(fake.files()).to_string(), "0");
  fake.write("sys/devices/system/cpu/online", "0-7\n");
  EXPECT_EQ(read_affinity(fake.files()).to_string(), "0-7");
  for (const char* bad : {"", "Name:\tx\n", "Cpus_allowed_list:\t\n", "Cpus_allowed_list:\tx\n"}) {
    fake.write("proc/self/status", bad);
    EXPECT_EQ(read_affinity(fake.files()).to_string(), "0-7") << bad;
  }
}

TEST(usable_cores, the_smaller_of_affinity_and_quota) {
  limited_v2_machine fake("/a");
  fake.write("proc/self/status", "Cpus_allowed_list:\t0-3\n");
  fake.limit("/a", "max 100000\n");
  EXPECT_EQ(usable_cores(fake.files()), 4);
  fake.limit("/a", "250000 100000\n");
  EXPECT_EQ(usable_cores(fake.files()), 2.5);
  EXPECT_EQ(read_core_budget(fake.files()).allowed, 4);
  fake.limit("/a", "900000 100000\n");
  EXPECT_EQ(usable_cores(fake.files()), 4);
}

TEST(usable_cores, of_an_empty_tree_are_one) {
  const fake_tree fake;
  EXPECT_EQ(usable_cores(fake.files()), 1);
}

TEST(usable_cores, of_this_machine_are_within_the_affinity_mask) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0) GTEST_SKIP() << "more than 1024 CPUs";
  EXPECT_GT(usable_cores(), 0);
  EXPECT_LE(usable_cores(), CPU_COUNT(&mask));
  EXPECT_EQ(read_affinity().size(), CPU_COUNT(&mask));
}

TEST(usable_cores, follow_the_affinity_of_the_calling_thread) {
  cpu_set_t before;
  CPU_ZERO(&before);
  if (::sched_getaffinity(0, sizeof before, &before) != 0) GTEST_SKIP() << "more than 1024 CPUs";
  const int first = read_affinity().front();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(first), &one);
  ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
  const cpu_set seen = read_affinity();
  const double usable = usable_cores();
  ASSERT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(seen.to_string(), std::to_string(first));
  EXPECT_LE(usable, 1);
}

TEST(whole_cores, are_rounded_up_and_at_least_one) {
  EXPECT_EQ(whole_cores(4), 4);
  EXPECT_EQ(whole_cores(1.5), 2);
  EXPECT_EQ(whole_cores(0.01), 1);
  EXPECT_EQ(whole_cores(1e300), std::numeric_limits<int>::max());
}

TEST(whole_cores, refuse_nonsense) {
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()})
    EXPECT_THROW(whole_cores(bad), std::invalid_argument) << bad;
}

}  // namespace
