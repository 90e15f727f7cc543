#include <heddle/lockfree/counter.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

using heddle::counter;
using heddle::gauge;

class counter_stress : public testing::TestWithParam<unsigned> {};

// Threads come and go while one asks for the total.
TEST_P(counter_stress, nothing_is_lost_or_counted_twice) {
  const heddle_test::watchdog dog;
  constexpr std::uint64_t generations = 20;
  constexpr std::uint64_t counts = 500;
  counter c;
  gauge g;
  std::atomic<bool> over{false};
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!over) {
      const std::uint64_t now = c.total();
      EXPECT_GE(now, last);
      EXPECT_EQ(c.mine(), 0U);
      last = now;
    }
  });
  heddle_test::run_together(GetParam(), [&](unsigned) {
    for (std::uint64_t generation = 0; generation < generations; ++generation) {
      std::thread([&] {
        for (std::uint64_t k = 1; k <= counts; ++k) {
          EXPECT_EQ(++c, k);
          if (generation % 2 == 0) {
            ++g;
          } else {
            --g;
          }
        }
      }).join();
    }
  });
  over = true;
  reader.join();
  EXPECT_EQ(c.total(), generations * counts * GetParam());
  EXPECT_EQ(g.total(), 0);
}

// Counters come and go beneath threads that stay: none is taken for another.
TEST_P(counter_stress, counters_that_come_and_go_are_apart) {
  const heddle_test::watchdog dog;
  heddle_test::run_together(GetParam(), [](unsigned) {
    for (unsigned r = 1; r <= 300; ++r) {
      auto a = std::make_unique<counter>();
      auto b = std::make_unique<counter>();
      EXPECT_EQ(a->add(r), r);
      EXPECT_EQ(b->add(2 * r), 2 * r);
      a.reset();
      a = std::make_unique<counter>();
      EXPECT_EQ(a->mine(), 0U);
      EXPECT_EQ(a->add(), 1U);
      EXPECT_EQ(b->total(), 2 * r);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(threads, counter_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
