#include <heddle/kernel/user_threads.hpp>

#include <chrono>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "fake_tree.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::kernel::user_thread_counter;
using heddle_test::fake_tree;

struct user_threads : testing::Test {
  user_threads() {
    fake.write("proc/self/status", "Uid:\t1000\t1000\t1000\t1000\n");
    fake.write("proc/loadavg", "0 0 0 1/900 1\n");
    of_the_user(100);
  }
  void of_the_user(int threads) {
    fake.write("proc/77/status",
               "Uid:\t1000\t1000\t1000\t1000\nThreads:\t" + std::to_string(threads) + "\n");
  }
  std::optional<std::uint64_t> count(heddle::prim::clock::duration at, std::uint64_t own,
                                     std::uint64_t wanted) {
    return counter.count(start + at, 1600, own, wanted, fake.files());
  }

  fake_tree fake;
  user_thread_counter counter;
  const heddle::prim::time_point start = heddle::prim::clock::now();
};

TEST_F(user_threads, are_those_of_all_users_while_they_leave_room) {
  EXPECT_EQ(count(0s, 1, 600), 900u);
  EXPECT_EQ(counter.cost_of_last(), 0ns);
  EXPECT_EQ(count(0s, 1, 601), 100u);
  EXPECT_GT(counter.cost_of_last(), 0ns);
}

TEST_F(user_threads, are_counted_at_most_once_a_second) {
  EXPECT_EQ(count(0s, 10, 1000), 100u);
  of_the_user(200);
  EXPECT_EQ(count(999ms, 30, 1000), 120u) << "20 more of our own since";
  EXPECT_EQ(count(999ms, 0, 1000), 90u);
  EXPECT_EQ(counter.cost_of_last(), 0ns);
  EXPECT_EQ(count(10s, 30, 1000), 200u);
}

TEST_F(user_threads, are_never_fewer_than_none) {
  of_the_user(5);
  EXPECT_EQ(count(0s, 10, 1000), 5u);
  EXPECT_EQ(count(0s, 1, 1000), 0u);
}

TEST_F(user_threads, are_at_most_those_of_all_users_where_nothing_else_is_known) {
  fake.remove("proc/self/status");
  EXPECT_EQ(count(0s, 1, 1000), 900u);
  fake.remove("proc/loadavg");
  EXPECT_EQ(count(0s, 1, 1000), std::nullopt);
}

}  // namespace
