#include <gtest/gtest.h>

#include <chrono>
#include <heddle/kernel/cgroup.hpp>
#include <heddle/kernel/pressure.hpp>
#include <string_view>

#include "fake_tree.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;
using namespace std::chrono_literals;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr const char* recorded_pressure =
    "some avg10=3.13 avg60=16.74 avg300=21.35 total=9746159810\n"
    "full avg10=0.00 avg60=0.50 avg300=100.00 total=7\n";

TEST(pressure, parses_both_lines) {
  const auto p = parse_pressure(recorded_pressure);
  ASSERT_TRUE(p && p->full);
  EXPECT_DOUBLE_EQ(p->some.avg10, 0.0313);
  EXPECT_DOUBLE_EQ(p->some.avg60, 0.1674);
  EXPECT_DOUBLE_EQ(p->some.avg300, 0.2135);
  EXPECT_EQ(p->some.total, microseconds(9746159810));
  EXPECT_DOUBLE_EQ(p->full->avg60, 0.005);
  EXPECT_DOUBLE_EQ(p->full->avg300, 1);
  EXPECT_EQ(p->full->total, microseconds(7));
}

TEST(pressure, of_the_cpu_had_one_line_once) {
  const auto p = parse_pressure("some avg10=1.00 avg60=0.00 avg300=0.00 total=5\n");
  ASSERT_TRUE(p.has_value());
  EXPECT_FALSE(p->full.has_value());
}

TEST(pressure, refuses_everything_else) {
  for (const std::string_view bad :
       {"", "\n", "some\n", "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        "some avg10=x avg60=0.00 avg300=0.00 total=0\n",
        "some avg10=-1.00 avg60=0.00 avg300=0.00 total=0\n",
        "some avg10=101.00 avg60=0.00 avg300=0.00 total=0\n",
        "some avg10=nan avg60=0.00 avg300=0.00 total=0\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00\n",
        "some avg60=0.00 avg10=0.00 avg300=0.00 total=0\n",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=-1\n"})
    EXPECT_FALSE(parse_pressure(bad).has_value()) << bad;
}

TEST(pressure, of_a_recorded_machine) {
  fake_tree fake;
  fake.write("proc/pressure/memory", recorded_pressure);
  EXPECT_TRUE(read_pressure(resource::memory, fake.files()).has_value());
  EXPECT_FALSE(read_pressure(resource::cpu, fake.files()).has_value());
  EXPECT_FALSE(read_pressure(resource::io, fake.files()).has_value());
}

TEST(pressure, of_the_own_group) {
  fake_tree fake;
  fake.write("proc/self/cgroup", "0::/a/b\n");
  fake.write("proc/self/mountinfo", "31 23 0:28 / /cg rw - cgroup2 cgroup2 rw\n");
  fake.write("cg/a/b/io.pressure", recorded_pressure);
  fake.write("cg/a/io.pressure", "some avg10=9.00 avg60=0.00 avg300=0.00 total=5\n");
  const auto groups = find_cgroups(fake.files(), "cpu");
  const auto p = read_pressure(resource::io, fake.files(), groups);
  ASSERT_TRUE(p.has_value());
  EXPECT_DOUBLE_EQ(p->some.avg10, 0.0313);
  EXPECT_FALSE(read_pressure(resource::cpu, fake.files(), groups).has_value());
}

TEST(pressure, of_a_group_needs_cgroup_v2) {
  fake_tree fake;
  fake.write("proc/self/cgroup", "4:cpu:/a\n");
  fake.write("proc/self/mountinfo", "35 31 0:32 / /cg rw - cgroup cgroup rw,cpu\n");
  fake.write("cg/a/cpu.pressure", recorded_pressure);
  EXPECT_FALSE(
      read_pressure(resource::cpu, fake.files(), find_cgroups(fake.files(), "cpu")).has_value());
  EXPECT_FALSE(read_pressure(resource::cpu, fake.files(), {}).has_value());
}

TEST(pressure, of_this_machine_does_not_run_backwards) {
  const auto before = read_pressure(resource::cpu);
  if (!before) GTEST_SKIP() << "this kernel has none, or has it switched off";
  const auto after = read_pressure(resource::cpu);
  ASSERT_TRUE(after.has_value());
  EXPECT_GE(after->some.total, before->some.total);
}

TEST(pressure, share_of_the_time_between_two_looks) {
  stall before;
  before.total = milliseconds(100);
  stall after;
  after.total = milliseconds(150);
  EXPECT_DOUBLE_EQ(stalled_share(before, after, milliseconds(200)), 0.25);
  EXPECT_EQ(stalled_share(before, after, milliseconds(10)), 1) << "booked late";
  EXPECT_EQ(stalled_share(after, before, milliseconds(200)), 0);
  EXPECT_EQ(stalled_share(before, after, milliseconds(0)), 0);
  EXPECT_EQ(stalled_share(before, after, milliseconds(-1)), 0);
}

TEST(stall_window, a_short_stall_is_not_distress) {
  const auto start = heddle::prim::clock::now();
  const auto stalled = [](auto time) { return stall{.total = time}; };
  stall_window w;
  EXPECT_EQ(w.add(start, stalled(7s)), 0) << "of before nothing is known";
  EXPECT_DOUBLE_EQ(w.add(start + 20ms, stalled(7s + 20ms)), 0.04) << "of half a second";
  EXPECT_DOUBLE_EQ(w.add(start + 500ms, stalled(7s + 40ms)), 0.08);
  EXPECT_DOUBLE_EQ(w.add(start + 520ms, stalled(7s + 40ms)), 0.04) << "the first is forgotten";
  EXPECT_DOUBLE_EQ(w.add(start + 2520ms, stalled(8s + 40ms)), 0.5) << "all since the last look";
}

}  // namespace
