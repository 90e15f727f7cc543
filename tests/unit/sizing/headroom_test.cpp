#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <heddle/sizing/headroom.hpp>
#include <limits>
#include <stdexcept>
#include <string>

namespace {

using namespace heddle::sizing;
using heddle::kernel::cgroup_limit;
using heddle::kernel::cgroup_version;
using heddle::kernel::resource_limit;
using testing::HasSubstr;

constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::uint64_t gib = 1024 * mib;

headroom find(const resources& known, const worker_needs& needs = {}, int cap = 1024) {
  memory_brake brake;
  return find_headroom(known, needs, cap, brake);
}

resources with_memory(std::uint64_t total, std::uint64_t available, int workers = 10) {
  resources known;
  known.workers = workers;
  known.memory = {total, available, {}};
  return known;
}

TEST(headroom, of_a_machine_that_tells_nothing_is_the_cap) {
  const headroom h = find({}, {}, 77);
  EXPECT_EQ(h.most, 77);
  EXPECT_EQ(h.reason, "");
}

TEST(headroom, descriptors) {
  resources known;
  known.workers = 10;
  known.limits.open_files = resource_limit{1000, 4000};
  known.open_descriptors = 300;
  EXPECT_EQ(find(known).most, 10 + 600) << "a tenth is left to the program";
  EXPECT_EQ(find(known, {.descriptors = 3}).most, 10 + 200);
  EXPECT_EQ(find(known, {.descriptors = 0}).most, 1024) << "workers that take none";
  EXPECT_EQ(find(known).reason, "the limit of open files allows 1000, of which 300 are in use");

  known.open_descriptors = 950;
  EXPECT_EQ(find(known).most, 10) << "those that there are may stay";
  known.open_descriptors.reset();
  EXPECT_EQ(find(known).most, 500);
  EXPECT_THAT(find(known).reason, HasSubstr("1000, half of which may go to workers"));

  known.limits.open_files = resource_limit{40, 4000};
  known.open_descriptors = 10;
  EXPECT_EQ(find(known).most, 10 + 14) << "at least 16 are left to the program";
  known.limits.open_files = resource_limit{};
  EXPECT_EQ(find(known).most, 1024);
}

TEST(headroom, threads_of_the_group) {
  resources known;
  known.workers = 10;
  known.limits.tasks = cgroup_limit{160, cgroup_version::v2, "/a", "/cg/a/pids.max"};
  EXPECT_EQ(find(known).most, 80);
  known.group_tasks = 50;
  EXPECT_EQ(find(known).most, 10 + 100);
  EXPECT_EQ(find(known, {.threads = 4}).most, 10 + 25);
  EXPECT_EQ(find(known).reason, "pids.max of control group /a allows 160, of which 50 are in use");
}

TEST(headroom, threads_of_the_user) {
  resources known;
  known.workers = 10;
  known.limits.processes = resource_limit{320, 320};
  known.user_threads = 295;
  EXPECT_EQ(find(known).most, 10 + 5);
  EXPECT_THAT(find(known).reason, HasSubstr("the user's limit of threads allows 320"));
  known.limits.ignores_processes = true;
  EXPECT_EQ(find(known).most, 1024);
  known.limits.ignores_processes = false;
  known.limits.processes = resource_limit{};
  EXPECT_EQ(find(known).most, 1024);
}

TEST(headroom, the_tightest_bound_is_the_reason) {
  resources known;
  known.limits.open_files = resource_limit{1000, 1000};
  known.open_descriptors = 800;
  known.limits.tasks = cgroup_limit{160, cgroup_version::v2, "/a", "/cg/a/pids.max"};
  known.group_tasks = 100;
  EXPECT_EQ(find(known).most, 50);
  EXPECT_THAT(find(known).reason, HasSubstr("pids.max"));
  known.group_tasks = 10;
  EXPECT_EQ(find(known).most, 100);
  EXPECT_THAT(find(known).reason, HasSubstr("open files"));
  EXPECT_EQ(find(known, {}, 100).reason, "") << "the cap is as tight";
}

TEST(headroom, memory_that_was_measured) {
  const headroom h = find(with_memory(1000 * mib, 500 * mib), {.memory_bytes = 8 * mib});
  EXPECT_EQ(h.most, 10 + 25) << "half of 400 MiB";
  EXPECT_EQ(h.reason, "500 MiB of 1000 MiB of memory are available, and a worker needs 8192 KiB");
}

TEST(headroom, memory_that_was_not_measured) {
  const resources known = with_memory(1000 * mib, 200 * mib);
  EXPECT_EQ(find(known).most, 10 + 200) << "a quarter MiB each";
  EXPECT_EQ(find(known, {.stack_bytes = mib / 8}).most, 10 + 400);
  EXPECT_EQ(find(known, {.stack_bytes = 0}).most, 1024);
}

TEST(headroom, a_large_machine_keeps_no_more_than_a_gibibyte_back) {
  const resources known = with_memory(256 * gib, 3 * gib);
  EXPECT_EQ(find(known, {.memory_bytes = gib / 4}).most, 10 + 4);
  memory_brake brake;
  find_headroom(known, {}, 1024, brake);
  EXPECT_FALSE(brake.is_on) << "though it is little more than 1 %";
}

TEST(headroom, memory_of_the_group) {
  resources known = with_memory(64 * gib, 60 * gib);
  known.memory.limit = cgroup_limit{1000 * mib, cgroup_version::v2, "/a", "/cg/a/memory.max"};
  EXPECT_EQ(find(known, {.memory_bytes = 8 * mib}).most, 1024) << "its use is not known";
  known.group_memory = 500 * mib;
  EXPECT_EQ(find(known, {.memory_bytes = 8 * mib}).most, 10 + 25);
  known.group_memory = 2000 * mib;
  EXPECT_EQ(find(known, {.memory_bytes = 8 * mib}).most, 10);

  known.group_memory = 0;
  known.memory.available_bytes = 900 * mib;
  EXPECT_EQ(find(known, {.memory_bytes = 8 * mib}).most, 10) << "the machine has even less";
  known.memory.total_bytes = known.memory.available_bytes = 0;
  EXPECT_EQ(find(known, {.memory_bytes = 9 * mib}).most, 10 + 50) << "the machine tells nothing";
}

class braking : public testing::Test {
 protected:
  // At `second`, with `available` % of the memory and `workers` workers.
  headroom at(int second, unsigned available, int workers, double stall = 0) {
    resources known = with_memory(100 * mib, available * mib, workers);
    known.now = std::chrono::seconds(second);
    known.memory_stall = stall;
    return find_headroom(known, {.memory_bytes = mib / 100}, 1000, brake_);
  }

  memory_brake brake_{};
};

TEST_F(braking, stops_growth_when_memory_runs_short) {
  EXPECT_GT(at(1, 20, 40).most, 40);
  EXPECT_EQ(at(2, 4, 40).most, 40);
  EXPECT_TRUE(brake_.is_on);
  EXPECT_EQ(at(2, 4, 45).most, 40) << "no second has passed";
  EXPECT_EQ(at(2, 4, 40).reason, "memory is short: 4.0 % is available");
}

TEST_F(braking, stops_growth_when_tasks_stand_still) {
  EXPECT_GT(at(1, 50, 40, 0.09).most, 40);
  EXPECT_EQ(at(2, 50, 40, 0.1).most, 40);
  EXPECT_THAT(at(2, 50, 40, 0.25).reason,
              HasSubstr("for want of it all tasks stood still 25 % of"));
}

TEST_F(braking, lowers_the_ceiling_by_a_quarter_a_second) {
  EXPECT_EQ(at(0, 4, 40).most, 40);
  EXPECT_EQ(at(1, 4, 40).most, 30);
  EXPECT_EQ(at(1, 4, 38).most, 30);
  EXPECT_EQ(at(2, 4, 38).most, 22) << "it falls though workers are slow to go";
  EXPECT_EQ(at(60, 4, 8).most, 6) << "once for each look, and from what there is";
}

TEST_F(braking, never_takes_the_last_worker) {
  at(0, 1, 2);
  for (int second = 1; second < 10; ++second) EXPECT_GE(at(second, 1, 2).most, 1);
  EXPECT_EQ(at(10, 1, 1).most, 1);
  brake_ = {};
  EXPECT_EQ(at(0, 1, 0).most, 1) << "there is none yet";
}

TEST_F(braking, does_not_flap) {
  EXPECT_EQ(at(0, 4, 40).most, 40);
  for (int second = 1; second < 20; ++second) {
    EXPECT_EQ(at(second, 7, 40).most, 40) << "neither short nor ample";
    EXPECT_EQ(at(second, 20, 40, 0.05).most, 40);
  }
  EXPECT_TRUE(brake_.is_on);
  EXPECT_GT(at(20, 11, 40).most, 40);
  EXPECT_FALSE(brake_.is_on);
  EXPECT_EQ(at(21, 7, 40).most, 40) << "no room to grow, but no brake either";
  EXPECT_FALSE(brake_.is_on);
}

TEST_F(braking, begins_anew) {
  at(0, 4, 40);
  at(1, 4, 40);
  at(2, 50, 30);
  EXPECT_EQ(at(50, 4, 100).most, 100);
  EXPECT_EQ(at(51, 4, 100).most, 75);
}

TEST(headroom, without_memory_figures_stalls_alone_brake) {
  resources known;
  known.workers = 8;
  known.memory_stall = 0.5;
  memory_brake brake;
  const headroom h = find_headroom(known, {}, 100, brake);
  EXPECT_EQ(h.most, 8);
  EXPECT_EQ(h.reason, "memory is short; for want of it all tasks stood still 50 % of the time");
}

TEST(headroom, is_at_least_one_worker) {
  resources known;
  known.limits.open_files = resource_limit{0, 0};
  known.open_descriptors = 3;
  known.limits.tasks = cgroup_limit{1, cgroup_version::v2, "/a", "/cg/a/pids.max"};
  known.limits.processes = resource_limit{1, 1};
  EXPECT_EQ(find(known).most, 1);
  EXPECT_NE(find(known).reason, "");
}

TEST(headroom, of_limits_beyond_all_numbers) {
  resources known;
  known.workers = 5;
  known.limits.open_files = resource_limit{resource_limit::unlimited - 1, 1};
  known.open_descriptors = 0;
  known.memory = {
      std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max(), {}};
  EXPECT_EQ(find(known, {.memory_bytes = 1}, std::numeric_limits<int>::max()).most,
            std::numeric_limits<int>::max());
}

TEST(headroom, refuses_nonsense) {
  memory_brake brake;
  EXPECT_THROW(find_headroom({}, {}, 0, brake), std::invalid_argument);
  EXPECT_THROW(find_headroom({}, {.threads = 0}, 1, brake), std::invalid_argument);
}

}  // namespace
