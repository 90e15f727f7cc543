#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <heddle/kernel/features.hpp>
#include <heddle/kernel/schedstat.hpp>
#include <string_view>
#include <vector>

#include "fake_tree.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::fake_tree;
using std::chrono::nanoseconds;

TEST(schedstat, parses_three_numbers) {
  const auto s = parse_schedstat("155873757 89883 5\n");
  ASSERT_TRUE(s.has_value());
  EXPECT_EQ(s->running, nanoseconds(155873757));
  EXPECT_EQ(s->waiting, nanoseconds(89883));
  EXPECT_EQ(s->slices, 5u);
}

TEST(schedstat, refuses_everything_else) {
  for (const std::string_view bad : {"", "\n", "1", "1 2", "1 2 3 4", "1 2 x", "-1 2 3", "1 -2 3",
                                     "99999999999999999999 2 3", "1.5 2 3"})
    EXPECT_FALSE(parse_schedstat(bad).has_value()) << bad;
}

TEST(schedstat, of_a_thread_in_a_recorded_tree) {
  fake_tree fake;
  fake.write("proc/70/task/71/schedstat", "3 2 1\n");
  fake.write("proc/70/task/70/schedstat", "broken\n");
  fake.write("proc/70/task/1000/schedstat", "9 9 9\n");
  fake.write("proc/thread-self/schedstat", "6 5 4\n");
  const schedstat expected{nanoseconds(3), nanoseconds(2), 1};
  EXPECT_EQ(read_schedstat(70, 71, fake.files()), expected);
  EXPECT_FALSE(read_schedstat(70, 70, fake.files()).has_value());
  EXPECT_FALSE(read_schedstat(70, 99, fake.files()).has_value());
  EXPECT_EQ(read_own_schedstat(fake.files())->slices, 4u);
  EXPECT_EQ(list_threads(70, fake.files()), (std::vector<pid_t>{70, 71, 1000}));
  EXPECT_TRUE(list_threads(71, fake.files()).empty());
}

TEST(schedstat, of_this_thread_does_not_run_backwards) {
  const auto before = read_own_schedstat();
  if (!before) GTEST_SKIP() << "this kernel keeps no such books";
  const auto after = read_schedstat(::getpid(), ::gettid());
  ASSERT_TRUE(after.has_value());
  EXPECT_GE(after->running, before->running);
  EXPECT_GE(after->waiting, before->waiting);
  EXPECT_GE(after->slices, before->slices);
  EXPECT_GE(after->slices, 1u);
}

TEST(schedstat, this_thread_is_listed) {
  const std::vector<pid_t> threads = list_threads(::getpid());
  EXPECT_NE(std::find(threads.begin(), threads.end(), ::gettid()), threads.end());
}

TEST(features, agree_with_the_files) {
  const features f = read_features();
  EXPECT_EQ(f.schedstat, read_own_schedstat().has_value());
  EXPECT_EQ(f.psi, tree{}.read("proc/pressure/cpu").has_value());
}

}  // namespace
