// What an adaptive pool makes of the machine as the kernel describes it.
#include "exec/pool_signals.hpp"

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/kernel/fake_tree.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::detail::pool_signals;
using heddle_test::fake_tree;
using testing::HasSubstr;

struct recorded_signals : testing::Test {
  recorded_signals() {
    tree.write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n");
    tree.write("proc/self/status", "Uid:\t1000\t1000\t1000\t1000\n");
    stalled(0ms);
  }
  void stalled(std::chrono::microseconds total) {
    const std::string line = " avg10=0.00 avg60=0.00 avg300=0.00 total=";
    tree.write("proc/pressure/memory", "some" + line + std::to_string(total.count()) + "\nfull" +
                                           line + std::to_string(total.count()) + "\n");
  }
  void threads_of_the_user(int count) {
    tree.write("proc/77/status",
               "Uid:\t1000\t1000\t1000\t1000\nThreads:\t" + std::to_string(count) + "\n");
  }
  heddle::sizing::headroom room(int workers, int cap, heddle::prim::clock::duration at) {
    return signals.headroom(workers, cap, start + at);
  }

  fake_tree tree;
  pool_signals signals{tree.files()};
  const heddle::prim::time_point start = heddle::prim::clock::now();
};

TEST_F(recorded_signals, half_a_second_of_stalls_is_a_brake_and_less_is_none) {
  EXPECT_EQ(room(1, 100, 0s).most, 100);
  stalled(40ms);
  EXPECT_EQ(room(2, 100, 100ms).most, 100) << "not 40 ms of 100";
  stalled(2040ms);
  const auto braked = room(4, 100, 10s);
  EXPECT_EQ(braked.most, 4);
  EXPECT_THAT(braked.reason, HasSubstr("memory is short"));
}

TEST_F(recorded_signals, the_users_threads_are_counted_where_their_limit_is_near) {
  tree.write("proc/self/limits", "Max processes  160  160  processes\n");
  tree.write("proc/loadavg", "0 0 0 1/49 1\n");
  threads_of_the_user(120);
  EXPECT_EQ(room(10, 100, 0s).most, 100) << "49 threads of all users leave room";
  const auto counted = room(10, 1000, 1s);
  EXPECT_EQ(counted.most, 10 + 30);
  EXPECT_THAT(counted.reason, HasSubstr("limit of threads allows 160, of which 120 are in use"));
  EXPECT_EQ(room(25, 1000, 1100ms).most, 25 + 15) << "what the pool has started since counts";
  threads_of_the_user(20);
  EXPECT_EQ(room(10, 1000, 30s).most, 10 + 130);
}

TEST_F(recorded_signals, who_ignores_the_limit_needs_no_count) {
  tree.write("proc/self/limits", "Max processes  160  160  processes\n");
  tree.write("proc/self/status", "Uid:\t0\t0\t0\t0\n");
  threads_of_the_user(1000);
  EXPECT_EQ(room(10, 1000, 0s).most, 1000);
}

TEST_F(recorded_signals, threads_that_come_and_go_are_told_apart_by_their_numbers) {
  const auto ran = [this](int id, int slices) {
    tree.write("proc/self/task/" + std::to_string(id) + "/schedstat",
               "0 0 " + std::to_string(slices) + "\n");
  };
  ran(501, 10);
  ran(502, 100);
  const pool_signals::thread both[] = {{0, 501}, {1, 502}};
  signals.look_at_threads(both);
  ran(501, 13);
  ran(502, 104);
  EXPECT_EQ(signals.look_at_threads(both).slices, 7u);
  ran(503, 5);
  const pool_signals::thread another_second[] = {{1, 503}};
  EXPECT_EQ(signals.look_at_threads(another_second).slices, 5u) << "all of its life";
}

}  // namespace
