#include <heddle/prim/parker.hpp>

#include <atomic>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>

#include "support/threads.hpp"

namespace {

namespace prim = heddle::prim;

class parker_stress : public testing::TestWithParam<unsigned> {};

// Many unpark one thread, which parks with tiny timeouts mixed in. A token that got lost would
// leave the last work undone.
TEST_P(parker_stress, no_token_is_lost) {
  const heddle_test::watchdog dog;
  constexpr std::uint64_t each = 3'000;
  prim::parker p;
  std::atomic<std::uint64_t> produced{0};
  heddle_test::run_together(GetParam() + 1, [&](unsigned i) {
    prim::random dice(prim::next_seed());
    if (i != 0) {
      for (std::uint64_t k = 0; k < each; ++k) {
        produced.fetch_add(1, std::memory_order_relaxed);
        p.unpark();
        if (dice.below(128) == 0) prim::yield();
      }
      return;
    }
    const std::uint64_t all = each * GetParam();
    while (produced.load(std::memory_order_relaxed) < all) {
      if (dice.below(2) == 0) {
        p.park();
      } else {
        p.park_until(prim::clock::now() + std::chrono::nanoseconds(dice.below(4'000)));
      }
    }
  });
}

// A relay around a ring of threads; every hop takes one token, by park or by a loop of short waits.
TEST_P(parker_stress, a_token_goes_round) {
  const heddle_test::watchdog dog;
  constexpr std::uint64_t laps = 1'000;
  const unsigned threads = GetParam();
  std::vector<prim::parker> parkers(threads);
  std::uint64_t hops = 0;  // plain: guarded by the token
  parkers[0].unpark();
  heddle_test::run_together(threads, [&](unsigned i) {
    prim::random dice(prim::next_seed());
    for (std::uint64_t lap = 0; lap < laps; ++lap) {
      if (dice.below(2) == 0) {
        parkers[i].park();
      } else {
        while (!parkers[i].park_until(prim::clock::now() +
                                      std::chrono::nanoseconds(dice.below(3'000)))) {
        }
      }
      ++hops;
      parkers[(i + 1) % threads].unpark();
    }
  });
  EXPECT_EQ(hops, laps * threads);
}

INSTANTIATE_TEST_SUITE_P(threads, parker_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
