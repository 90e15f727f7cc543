#include <heddle/data/object_pool.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/lockfree/counter.hpp>
#include <heddle/lockfree/mpmc_queue.hpp>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

using heddle::object_pool;
using heddle::object_pool_options;

// Two users at a time would be seen: by ThreadSanitizer, and by the sum.
struct thing {
  thing() { ++alive; }
  ~thing() { --alive; }
  thing(const thing&) = delete;
  thing& operator=(const thing&) = delete;

  void use() {
    EXPECT_FALSE(std::exchange(used, true));
    ++uses;
    used = false;
  }

  bool used = false;
  std::uint64_t uses = 0;
  static inline std::atomic<int> alive{0};
};
using thing_pool = object_pool<thing>;

class object_pool_stress : public testing::TestWithParam<unsigned> {};

// Objects are given back where they were taken, elsewhere, or not at all; threads end.
TEST_P(object_pool_stress, every_object_has_one_user_and_none_is_lost) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 3000;
  object_pool_options o;
  o.kept_per_thread = 6;
  o.kept_shared = 20;
  o.initial = 5;
  heddle::counter uses;
  {
    thing_pool objects(o);
    heddle::mpmc_queue<thing_pool::lease> given_away;
    heddle_test::run_together(GetParam(), [&](unsigned) {
      for (int generation = 0; generation < 4; ++generation) {
        std::thread([&] {
          heddle::prim::random dice(heddle::prim::next_seed());
          std::vector<thing_pool::lease> mine;
          for (int r = 0; r < rounds; ++r) {
            if (mine.size() < 12) {
              mine.push_back(objects.acquire());
              mine.back()->use();
              ++uses;
            }
            switch (dice.below(4)) {
              case 0:
                mine.pop_back();
                break;
              case 1:
                given_away.push(std::move(mine.back()));
                mine.pop_back();
                break;
              case 2:
                if (auto lease = given_away.try_pop()) {
                  (*lease)->use();
                  ++uses;
                  if (dice.below(8) == 0) lease->discard();
                }
                break;
              default:
                mine.clear();
            }
          }
        }).join();
      }
    });
    while (given_away.try_pop()) {
    }
    const auto s = objects.statistics();
    EXPECT_EQ(s.returned + o.initial, s.created + s.reused);
    EXPECT_EQ(static_cast<std::uint64_t>(thing::alive), s.created - s.discarded);
    EXPECT_GE(s.peak, static_cast<std::uint64_t>(thing::alive));
    EXPECT_GE(uses.total(), s.returned);
  }
  EXPECT_EQ(thing::alive, 0);
}

// Never more objects than the bound, and as many as it allows.
TEST_P(object_pool_stress, the_bound_holds) {
  const heddle_test::watchdog dog;
  object_pool_options o;
  o.kept_per_thread = 0;
  o.most = 3;
  thing_pool objects(o);
  heddle_test::run_together(GetParam(), [&](unsigned) {
    for (int r = 0; r < 2000; ++r) {
      const auto lease = objects.try_acquire();
      EXPECT_LE(thing::alive, 3);
      if (lease) lease->use();
    }
  });
  EXPECT_LE(objects.statistics().peak, 3U);
  std::array<thing_pool::lease, 3> all{objects.acquire(), objects.acquire(), objects.acquire()};
  EXPECT_FALSE(objects.try_acquire());
}

// Pools end while their leases end on other threads, and while these threads end.
TEST_P(object_pool_stress, pools_end_beside_their_leases) {
  const heddle_test::watchdog dog;
  heddle_test::run_together(GetParam(), [](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int r = 0; r < 60; ++r) {
      object_pool_options o;
      o.kept_per_thread = dice.below(4);
      o.kept_shared = dice.below(4);
      std::optional<thing_pool> objects(std::in_place, o);
      std::array<std::thread, 2> users;
      for (std::thread& user : users) {
        std::vector<thing_pool::lease> leases;
        for (int i = 0; i < 3; ++i) leases.push_back(objects->acquire());
        user = std::thread([mine = std::move(leases)]() mutable {
          for (auto& lease : mine) {
            lease->use();
            lease.give_back();
          }
        });
      }
      if (dice.below(2) == 0) std::this_thread::yield();
      objects.reset();
      for (std::thread& user : users) user.join();
    }
  });
  EXPECT_EQ(thing::alive, 0);
}

INSTANTIATE_TEST_SUITE_P(threads, object_pool_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
