#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <heddle/kernel/switch_counter.hpp>
#include <string>
#include <thread>
#include <utility>

#include "fake_tree.hpp"
#include "few_descriptors.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;
using testing::AllOf;
using testing::HasSubstr;
using testing::Ne;
using testing::Not;

TEST(switch_counter, says_what_stands_in_the_way) {
  fake_tree fake;
  EXPECT_EQ(explain_no_counting(EACCES, fake.files()), "perf_event_open: Permission denied");
  fake.write("proc/sys/kernel/perf_event_paranoid", "3\n");
  for (const int refused : {EACCES, EPERM})
    EXPECT_THAT(explain_no_counting(refused, fake.files()),
                HasSubstr("kernel.perf_event_paranoid is 3:"));
  for (const int absent : {ENOSYS, ENOENT, EOPNOTSUPP})
    EXPECT_EQ(explain_no_counting(absent, fake.files()), "this kernel has no performance events");
  EXPECT_EQ(explain_no_counting(EMFILE, fake.files()), "perf_event_open: Too many open files");
}

TEST(switch_counter, counts_sleeps_or_says_why_not) {
  const switch_counter counter;
  if (!counter.counts()) {
    EXPECT_NE(counter.why_not(), "");
    EXPECT_FALSE(counter.read().has_value());
    return;
  }
  EXPECT_EQ(counter.why_not(), "");
  const auto before = counter.read();
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const auto after = counter.read();
  ASSERT_TRUE(before && after);
  EXPECT_GT(*after, *before);
}

TEST(switch_counter, without_descriptors_says_why_not) {
  const heddle_test::few_descriptors none(0);
  const switch_counter counter;
  EXPECT_FALSE(counter.counts());
  EXPECT_THAT(counter.why_not(), AllOf(Ne(""), Not(HasSubstr("Success"))));
}

TEST(switch_counter, moves) {
  switch_counter one;
  const bool counted = one.counts();
  switch_counter other(std::move(one));
  EXPECT_FALSE(one.counts());
  EXPECT_EQ(other.counts(), counted);
  one = std::move(other);
  EXPECT_EQ(one.counts(), counted);
  EXPECT_EQ(one.read().has_value(), counted);
}

}  // namespace
