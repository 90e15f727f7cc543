#include <heddle/prim/seed.hpp>

#include <array>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

namespace prim = heddle::prim;

TEST(next_seed, differs_at_each_call_on_every_thread) {
  std::mutex m;
  std::set<std::uint64_t> seen;
  heddle_test::run_together(4, [&](unsigned) {
    for (int i = 0; i < 1000; ++i) {
      const std::uint64_t s = prim::next_seed();
      const std::lock_guard lock(m);
      EXPECT_TRUE(seen.insert(s).second);
    }
  });
  EXPECT_EQ(seen.size(), 4000U);
}

TEST(random, repeats_itself_for_the_same_seed) {
  prim::random a(42);
  prim::random b(42);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
}

TEST(random, survives_the_seed_zero) {
  prim::random r(0);
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 100; ++i) seen.insert(r.next());
  EXPECT_GT(seen.size(), 90U);
}

TEST(random, stays_below_its_bound_and_reaches_each_value_about_equally) {
  prim::random r(prim::next_seed());
  std::array<int, 10> hits{};
  for (int i = 0; i < 100'000; ++i) {
    const std::uint32_t n = r.below(10);
    ASSERT_LT(n, 10U);
    ++hits[n];
  }
  // 10,000 expected with a standard deviation of 95: these bounds are twenty of them away.
  for (const int h : hits) {
    EXPECT_GT(h, 8'000);
    EXPECT_LT(h, 12'000);
  }
  EXPECT_EQ(r.below(1), 0U);
}

}  // namespace
