#include <gtest/gtest.h>

#include <chrono>
#include <heddle/kernel/machine_load.hpp>
#include <heddle/kernel/quota.hpp>

#include "fake_tree.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;
using std::chrono::milliseconds;

constexpr const char* recorded =
    "cpu  700 15 112 5000 90 3 4 30 9 0\n"
    "cpu0 400 10 100 2000 50 1 2 20 9 0\n"
    "cpu1 300 5 12 3000 40 2 2 10 0 0\n"
    "cpu12 1 0 0 0 0 0 0 0 0 0\n"
    "intr 12345 0 1 2\n"
    "cpufake 5\n";

machine_load load_of(const char* list) {
  return parse_machine_load(recorded, *cpu_set::parse(list), 100).value_or(machine_load{});
}

TEST(machine_load, of_some_cpus) {
  const machine_load one = load_of("0");
  EXPECT_EQ(one.cpus, 1);
  EXPECT_EQ(one.busy, milliseconds(5130)) << "user, nice, system, irq, softirq; not guest again";
  EXPECT_EQ(one.idle, milliseconds(20500)) << "iowait included";
  EXPECT_EQ(one.stolen, milliseconds(200));
  const machine_load both = load_of("0-1");
  EXPECT_EQ(both.cpus, 2);
  EXPECT_EQ(both.busy, milliseconds(5130 + 3210));
  EXPECT_EQ(load_of("12").busy, milliseconds(10));
  EXPECT_EQ(load_of("0-200").cpus, 3);
  EXPECT_EQ(load_of("2-11").cpus, 0);
}

TEST(machine_load, of_kernels_with_fewer_columns) {
  const auto load = parse_machine_load("cpu0 1 2 3 4\n", cpu_set::first(1), 1000);
  ASSERT_TRUE(load.has_value());
  EXPECT_EQ(load->busy, milliseconds(6));
  EXPECT_EQ(load->idle, milliseconds(4));
  EXPECT_EQ(load->stolen, milliseconds(0));
}

TEST(machine_load, is_unknown_without_its_lines) {
  EXPECT_FALSE(parse_machine_load("", cpu_set::first(1), 100).has_value());
  EXPECT_FALSE(parse_machine_load("cpu  1 2 3 4\n", cpu_set::first(1), 100).has_value());
  EXPECT_FALSE(parse_machine_load("intr 5\ncpu0 1 2 3 4\n", cpu_set::first(1), 100).has_value());
  EXPECT_FALSE(read_machine_load(cpu_set::first(1), fake_tree{}.files()).has_value());
}

TEST(machine_load, of_a_recorded_machine) {
  fake_tree fake;
  fake.write("proc/stat", recorded);
  const auto load = read_machine_load(cpu_set::first(2), fake.files());
  ASSERT_TRUE(load.has_value());
  EXPECT_EQ(load->cpus, 2);
}

TEST(machine_load, between_two_looks) {
  const machine_load before{4, milliseconds(1000), milliseconds(5000), milliseconds(70)};
  const machine_load after{4, milliseconds(1300), milliseconds(5050), milliseconds(120)};
  const auto use = use_between(before, after);
  ASSERT_TRUE(use.has_value());
  EXPECT_DOUBLE_EQ(use->busy, 3);
  EXPECT_DOUBLE_EQ(use->stolen, 0.5);
}

TEST(machine_load, idle_time_may_be_corrected_backwards) {
  const machine_load before{2, milliseconds(1000), milliseconds(5000), milliseconds(0)};
  const machine_load after{2, milliseconds(1100), milliseconds(4990), milliseconds(0)};
  EXPECT_DOUBLE_EQ(use_between(before, after)->busy, 2);
}

TEST(machine_load, between_looks_that_tell_nothing) {
  const machine_load some{2, milliseconds(1000), milliseconds(5000), milliseconds(0)};
  machine_load other = some;
  EXPECT_FALSE(use_between(some, other).has_value()) << "no tick";
  other.busy += milliseconds(10);
  EXPECT_TRUE(use_between(some, other).has_value());
  other.cpus = 1;
  EXPECT_FALSE(use_between(some, other).has_value()) << "a CPU went away";
}

TEST(machine_load, of_this_machine) {
  const auto before = read_machine_load(read_affinity());
  if (!before) GTEST_SKIP() << "there is no /proc";
  const auto after = read_machine_load(read_affinity());
  ASSERT_TRUE(after.has_value());
  EXPECT_GE(before->cpus, 1);
  EXPECT_GE(after->busy, before->busy);
  if (const auto use = use_between(*before, *after)) {
    EXPECT_GE(use->busy, 0);
    EXPECT_LE(use->busy + use->stolen, after->cpus + 1e-9);
  }
}

}  // namespace
