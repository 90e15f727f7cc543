#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <heddle/sizing/measurement.hpp>
#include <stdexcept>
#include <vector>

namespace {

using namespace heddle::sizing;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(summarize, puts_the_measurements_of_a_size_together) {
  const std::vector<measurement> all{
      {.size = 4,
       .tasks = 100,
       .elapsed = 1s,
       .in_tasks = 4s,
       .cpu = 1s,
       .runnable = 500ms,
       .voluntary_switches = 200},
      {.size = 1, .tasks = 30, .elapsed = 1s},
      {.size = 4,
       .tasks = 300,
       .elapsed = 2s,
       .in_tasks = 8s,
       .cpu = 3s,
       .runnable = 1500ms,
       .voluntary_switches = 600},
  };
  const auto sizes = summarize(all);
  ASSERT_EQ(sizes.size(), 2U);
  EXPECT_EQ(sizes[0].size, 1);
  EXPECT_EQ(sizes[0].repetitions, 1);
  EXPECT_EQ(sizes[0].throughput.value, 30);
  EXPECT_EQ(sizes[0].throughput.low, 0) << "of one measurement nothing more is known";
  EXPECT_FALSE(sizes[0].residence || sizes[0].cpu || sizes[0].switches || sizes[0].runnable);
  EXPECT_FALSE(sizes[0].busy() || sizes[0].cpus() || sizes[0].asleep());

  const size_summary& four = sizes[1];
  EXPECT_EQ(four.repetitions, 2);
  EXPECT_EQ(four.tasks, 400U);
  EXPECT_DOUBLE_EQ(four.elapsed, 1.5);
  EXPECT_DOUBLE_EQ(four.throughput.value, 125);
  EXPECT_DOUBLE_EQ(four.residence.value(), 0.03);
  EXPECT_DOUBLE_EQ(four.cpu.value(), 0.01);
  EXPECT_DOUBLE_EQ(four.runnable.value(), 0.005);
  EXPECT_DOUBLE_EQ(four.switches.value(), 2);
  EXPECT_DOUBLE_EQ(four.busy().value(), 4) << "12 s in tasks within 3 s";
  EXPECT_DOUBLE_EQ(four.cpus().value(), 4.0 / 3);
  EXPECT_DOUBLE_EQ(four.asleep().value(), 0.015);
}

TEST(summarize, knows_nothing_that_one_measurement_of_the_size_lacks) {
  const std::vector<measurement> all{
      {.size = 2, .tasks = 1, .elapsed = 1s, .in_tasks = 1s, .cpu = 2s},
      {.size = 2, .tasks = 1, .elapsed = 1s, .cpu = 2s}};
  const auto sizes = summarize(all);
  EXPECT_FALSE(sizes.front().residence);
  EXPECT_TRUE(sizes.front().cpu);
}

TEST(summarize, more_cpu_time_than_time_is_no_sleep) {
  const std::vector<measurement> all{
      {.size = 2, .tasks = 1, .elapsed = 1s, .in_tasks = 1s, .cpu = 2s}};
  EXPECT_EQ(summarize(all).front().asleep(), 0);
}

TEST(summarize, waits_that_do_not_fit_into_the_tasks_leave_their_sleep_unknown) {
  measurement m{
      .size = 2, .tasks = 1, .elapsed = 1s, .in_tasks = 1s, .cpu = 500ms, .runnable = 510ms};
  EXPECT_EQ(summarize({&m, 1}).front().asleep(), 0) << "as good as all of it";
  m.runnable = 2s;
  EXPECT_FALSE(summarize({&m, 1}).front().asleep());
}

TEST(summarize, of_nothing_is_nothing) { EXPECT_TRUE(summarize({}).empty()); }

TEST(summarize, refuses_nonsense_and_names_it) {
  const auto refused = [](const measurement& m, const char* text) {
    EXPECT_THAT([&] { summarize({&m, 1}); }, ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
  };
  refused({.size = 0, .tasks = 1, .elapsed = 1s}, "size is 0");
  refused({.size = 3, .tasks = 0, .elapsed = 1s}, "of size 3: tasks is 0");
  refused({.size = 3, .tasks = 1, .elapsed = 0s}, "elapsed is 0");
  refused({.size = 3, .tasks = 1, .elapsed = -5ns}, "elapsed is -5");
  refused({.size = 3, .tasks = 1, .elapsed = 1s, .in_tasks = -1ns}, "in_tasks is -1");
  refused({.size = 3, .tasks = 1, .elapsed = 1s, .cpu = -7ns}, "cpu is -7");
  refused({.size = 3, .tasks = 1, .elapsed = 1s, .runnable = -8ns}, "runnable is -8");
}

}  // namespace
