#include <heddle/data/snapshot.hpp>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

using heddle::snapshot;

// Both halves are always equal in a value that is alive.
struct equal_halves {
  explicit equal_halves(std::uint64_t number) : a(number), b(number) { ++alive; }
  equal_halves(const equal_halves& other) : a(other.a), b(other.b) { ++alive; }
  ~equal_halves() {
    a = 0;
    b = 1;
    --alive;
  }
  std::uint64_t a;
  std::uint64_t b;
  static inline std::atomic<int> alive{0};
};

class snapshot_stress : public testing::TestWithParam<unsigned> {};

// Readers of all kinds against updates: no value is torn, destroyed too early, or kept too long,
// and nobody sees versions go back.
TEST_P(snapshot_stress, readers_against_updates) {
  const heddle_test::watchdog dog;
  constexpr int updates = 200;
  equal_halves::alive = 0;
  {
    snapshot<equal_halves> s(equal_halves(1));
    std::atomic<bool> over{false};
    std::thread writer([&] {
      for (int i = 0; i < updates; ++i) {
        s.update([](const equal_halves& p) { return equal_halves(p.a + 1); });
        if (i % 16 == 0) std::this_thread::yield();
      }
      over = true;
    });
    heddle_test::run_together(GetParam(), [&](unsigned) {
      heddle::prim::random dice(heddle::prim::next_seed());
      std::uint64_t last = 0;
      std::vector<snapshot<equal_halves>::guard> held;
      snapshot<equal_halves>::kept kept;
      while (!over) {
        auto g = s.read();
        EXPECT_EQ(g->a, g->b);
        EXPECT_EQ(g->a, g.version());
        EXPECT_GE(g.version(), last);
        last = g.version();
        const std::uint32_t what = dice.below(16);
        if (what == 0) held.push_back(std::move(g));
        if (what == 1) held.clear();
        if (what == 2) kept = s.keep();
        if (held.size() > 10) held.erase(held.begin());
        for (const auto& h : held) EXPECT_EQ(h->a, h.version());
        if (kept) {
          EXPECT_EQ(kept->b, kept.version());
        }
      }
    });
    writer.join();
    EXPECT_EQ(s.version(), updates + 1U);
    EXPECT_EQ(equal_halves::alive, 1);
  }
  EXPECT_EQ(equal_halves::alive, 0);
}

// Guards change hands, and their threads end before them.
TEST_P(snapshot_stress, guards_go_from_thread_to_thread) {
  const heddle_test::watchdog dog;
  equal_halves::alive = 0;
  {
    snapshot<equal_halves> s(equal_halves(1));
    heddle_test::run_together(GetParam(), [&](unsigned) {
      for (int round = 0; round < 25; ++round) {
        std::optional<snapshot<equal_halves>::guard> theirs;
        std::thread([&] { theirs.emplace(s.read()); }).join();
        auto mine = s.read();
        std::thread other([&s, g = std::move(mine)] {
          EXPECT_EQ(g->a, g.version());
          s.update([](const equal_halves& p) { return equal_halves(p.a + 1); });
        });
        EXPECT_EQ((*theirs)->a, theirs->version());
        other.join();
      }
    });
    EXPECT_EQ(equal_halves::alive, 1);
  }
  EXPECT_EQ(equal_halves::alive, 0);
}

// Subscriptions come and go beside updates from several threads.
TEST_P(snapshot_stress, listeners_come_and_go) {
  const heddle_test::watchdog dog;
  snapshot<std::uint64_t> s(1);
  std::atomic<std::uint64_t> heard{1};
  const auto always = s.subscribe([&](const auto& now) {
    EXPECT_EQ(now.version(), heard + 1);
    EXPECT_EQ(*now, now.version());
    heard = now.version();
  });
  heddle_test::run_together(GetParam() + 1, [&](unsigned) {
    for (int i = 0; i < 50; ++i) {
      std::atomic<bool> mine{true};
      std::uint64_t last = 0;
      {
        const auto briefly = s.subscribe([&](const auto& now) {
          EXPECT_TRUE(mine);
          EXPECT_TRUE(last == 0 || now.version() == last + 1);
          last = now.version();
        });
        s.update([](std::uint64_t n) { return n + 1; });
      }
      mine = false;
    }
  });
  EXPECT_EQ(s.version(), 50U * (GetParam() + 1) + 1);
  EXPECT_EQ(heard, s.version());
}

INSTANTIATE_TEST_SUITE_P(threads, snapshot_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
