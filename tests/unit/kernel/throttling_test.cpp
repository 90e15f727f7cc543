#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/throttling.hpp>
#include <string_view>
#include <vector>

#include "fake_tree.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using testing::ElementsAre;

constexpr const char* v2_text =
    "usage_usec 28713\nuser_usec 20000\nsystem_usec 8713\ncore_sched.force_idle_usec 0\n"
    "nr_periods 12\nnr_throttled 9\nthrottled_usec 740123\nnr_bursts 0\nburst_usec 0\n";
constexpr const char* v1_text =
    "nr_periods 5\nnr_throttled 2\nthrottled_time 160000001\nnr_bursts 0\nburst_time 0\n";

using levels = std::vector<throttling>;

TEST(throttling, parses_both_versions) {
  EXPECT_EQ(parse_throttling(v2_text, cgroup_version::v2),
            (throttling{12, 9, microseconds(740123)}));
  EXPECT_EQ(parse_throttling(v1_text, cgroup_version::v1),
            (throttling{5, 2, nanoseconds(160000001)}));
}

TEST(throttling, is_unknown_without_bandwidth_control) {
  EXPECT_FALSE(parse_throttling("usage_usec 5\nuser_usec 5\nsystem_usec 0\n", cgroup_version::v2));
  EXPECT_FALSE(parse_throttling("", cgroup_version::v1));
  EXPECT_FALSE(parse_throttling(v1_text, cgroup_version::v2));
  EXPECT_FALSE(
      parse_throttling("nr_periods x\nnr_throttled 2\nthrottled_usec 1\n", cgroup_version::v2));
}

TEST(throttling, of_all_levels_of_a_container_with_a_fifth_of_a_core) {
  fake_tree fake;
  fake.write("proc/self/cgroup", "0::/a/b\n");
  fake.write("proc/self/mountinfo", "31 23 0:28 / /cg rw - cgroup2 cgroup2 rw\n");
  fake.write("cg/a/b/cpu.stat", v2_text);
  fake.write("cg/a/cpu.stat", "usage_usec 5\n");
  const auto groups = find_cgroups(fake.files(), "cpu");
  EXPECT_THAT(read_throttling(fake.files(), groups),
              ElementsAre(throttling{12, 9, microseconds(740123)}, throttling{}, throttling{}));
  EXPECT_TRUE(read_throttling(fake.files(), {}).empty());
}

TEST(throttling, of_a_v1_hierarchy) {
  fake_tree fake;
  fake.write("proc/self/cgroup", "4:cpu,cpuacct:/a\n");
  fake.write("proc/self/mountinfo", "35 31 0:32 / /cg rw - cgroup cgroup rw,cpu,cpuacct\n");
  fake.write("cg/a/cpu.stat", v1_text);
  EXPECT_EQ(read_throttling(fake.files(), find_cgroups(fake.files(), "cpu")).front(),
            (throttling{5, 2, nanoseconds(160000001)}));
}

TEST(throttling, share_of_one_cpu_is_its_pauses) {
  const levels before{{10, 5, milliseconds(400)}};
  const levels after{{20, 15, milliseconds(1200)}};
  EXPECT_DOUBLE_EQ(throttled_share(before, after, milliseconds(1000)), 0.8);
}

TEST(throttling, share_of_many_cpus_is_at_most_that_of_the_periods) {
  const levels before{{10, 5, milliseconds(0)}};
  const levels after{{20, 10, milliseconds(4000)}};
  EXPECT_DOUBLE_EQ(throttled_share(before, after, milliseconds(1000)), 0.5);
}

TEST(throttling, share_is_that_of_the_level_that_holds_back_most) {
  const levels before(3);
  const levels after{{10, 1, milliseconds(50)}, {10, 3, milliseconds(200)}, {}};
  EXPECT_DOUBLE_EQ(throttled_share(before, after, milliseconds(1000)), 0.2);
}

TEST(throttling, share_of_nothing) {
  const levels some{{20, 15, milliseconds(1200)}};
  EXPECT_EQ(throttled_share(some, some, milliseconds(10)), 0);
  EXPECT_EQ(throttled_share(some, levels(1), milliseconds(10)), 0) << "a younger group";
  EXPECT_EQ(throttled_share(levels(1), {some.front(), {}}, milliseconds(10)), 0) << "other groups";
  EXPECT_EQ(throttled_share(levels(1), some, milliseconds(0)), 0);
  EXPECT_EQ(throttled_share({}, {}, milliseconds(10)), 0);
}

TEST(throttling, of_this_process_does_not_shrink) {
  const auto groups = find_cgroups(tree{}, "cpu");
  const auto before = read_throttling(tree{}, groups);
  const auto after = read_throttling(tree{}, groups);
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    EXPECT_GE(after[i].periods, before[i].periods);
    EXPECT_GE(after[i].throttled_time, before[i].throttled_time);
  }
}

}  // namespace
