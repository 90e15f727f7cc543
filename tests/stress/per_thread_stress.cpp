#include <heddle/probe/per_thread.hpp>

#include <atomic>
#include <memory>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>
#include <heddle/probe/counters.hpp>
#include <heddle/probe/names.hpp>

#include "support/threads.hpp"

namespace {

using heddle::owned_counter;
using heddle::per_thread;

class per_thread_stress : public testing::TestWithParam<unsigned> {};

std::uint64_t sum_of(const per_thread<owned_counter>& counters) {
  return counters.combine(std::uint64_t{0},
                          [](std::uint64_t sum, const owned_counter& c) { return sum + c.read(); });
}

// Short threads come and go while others visit: nothing counted is ever lost or seen twice.
TEST_P(per_thread_stress, sums_grow_to_the_exact_total) {
  const heddle_test::watchdog dog;
  constexpr int generations = 25;
  constexpr int counts = 200;
  per_thread<owned_counter> counters;
  std::atomic<bool> over{false};
  std::thread visitor([&] {
    std::uint64_t last = 0;
    while (!over) {
      const std::uint64_t now = sum_of(counters);
      EXPECT_GE(now, last);
      last = now;
    }
  });
  heddle_test::run_together(GetParam(), [&](unsigned) {
    for (int g = 0; g < generations; ++g) {
      std::thread([&] {
        for (int k = 0; k < counts; ++k) counters.local().add();
      }).join();
    }
  });
  over = true;
  visitor.join();
  EXPECT_EQ(sum_of(counters), std::uint64_t{generations} * counts * GetParam());
  int values = 0;
  counters.for_each([&values](const owned_counter&) { ++values; });
  EXPECT_LE(values, static_cast<int>(GetParam()));
}

// Instances are made, used and destroyed on one set of threads while other threads, which used
// them, end: an ending thread must not touch what an instance has freed.
TEST_P(per_thread_stress, instances_die_while_their_users_end) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 40;
  heddle_test::run_together(GetParam(), [](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int r = 0; r < rounds; ++r) {
      std::thread user;
      {
        per_thread<owned_counter> a;
        per_thread<std::unique_ptr<int>> b;
        std::atomic<bool> used{false};
        user = std::thread([&] {
          a.local().add(3);
          b.local() = std::make_unique<int>(1);
          used = true;  // the last use; then the thread ends beside the instances
        });
        a.local().add(4);
        while (!used) std::this_thread::yield();
        EXPECT_EQ(sum_of(a), 7U);
        if (dice.below(2) == 0) std::this_thread::yield();
      }
      user.join();
    }
  });
}

TEST_P(per_thread_stress, names_come_and_go) {
  const heddle_test::watchdog dog;
  heddle_test::run_together(GetParam() + 1, [](unsigned i) {
    for (int r = 0; r < 40; ++r) {
      if (i == 0) {
        for (const auto& n : heddle::thread_names()) EXPECT_EQ(n.name.find('?'), n.name.npos);
        continue;
      }
      std::thread([] {
        heddle::set_current_thread_name("a name too long to be stored in place");
        heddle::set_current_thread_name("short");
        EXPECT_EQ(heddle::current_thread_name(), "short");
      }).join();
    }
  });
}

INSTANTIATE_TEST_SUITE_P(threads, per_thread_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
