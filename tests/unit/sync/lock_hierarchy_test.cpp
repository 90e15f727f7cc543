#include <heddle/sync/lock_hierarchy.hpp>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::held_locks;
using heddle::lock_hierarchy;
using heddle::lock_order_error;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::vector<heddle::lock_level> bank() {
  return {{"accounts", 10}, {"audit", 20}, {"cash", 20}, {"log", 30, true}};
}

bool others_can_have(lock_hierarchy& locks, std::string_view name) {
  bool got = false;
  std::thread([&] { got = static_cast<bool>(locks.try_acquire_for({name}, 0ms)); }).join();
  return got;
}

TEST(lock_hierarchy, acquires_a_set_in_any_order_of_names) {
  lock_hierarchy locks(bank());
  {
    const held_locks held = locks.acquire({"log", "accounts", "cash", "audit"});
    EXPECT_TRUE(held);
    for (const char* name : {"accounts", "audit", "cash", "log"}) {
      EXPECT_FALSE(others_can_have(locks, name));
    }
  }
  for (const char* name : {"accounts", "audit", "cash", "log"}) {
    EXPECT_TRUE(others_can_have(locks, name));
  }
}

TEST(lock_hierarchy, an_empty_set_is_had_at_once) {
  lock_hierarchy locks(bank());
  EXPECT_TRUE(locks.acquire({}));
  EXPECT_TRUE(lock_hierarchy({}).acquire({}));
}

TEST(lock_hierarchy, a_set_from_a_vector) {
  lock_hierarchy locks(bank());
  const std::vector<std::string_view> wanted{"cash", "accounts"};
  EXPECT_TRUE(locks.acquire(lock_hierarchy::names(wanted)));
}

TEST(lock_hierarchy, a_deadline_leaves_nothing_held) {
  lock_hierarchy locks(bank());
  const held_locks held = locks.acquire({"cash"});
  std::thread([&] {
    EXPECT_FALSE(locks.try_acquire_for({"accounts", "cash", "log"}, 2ms));
    EXPECT_FALSE(locks.try_acquire_for({"accounts", "cash"}, -1h));
    EXPECT_TRUE(locks.try_acquire_for({"accounts", "audit", "log"}, -1h));
  }).join();
  EXPECT_TRUE(others_can_have(locks, "accounts"));
}

TEST(lock_hierarchy, a_wrong_order_names_both_and_where_the_first_was_taken) {
  lock_hierarchy locks(bank());
  const held_locks held = locks.acquire({"audit"});
  const int line = __LINE__ - 1;
  EXPECT_THAT([&] { static_cast<void>(locks.acquire({"accounts"})); },
              ThrowsMessage<lock_order_error>(
                  AllOf(HasSubstr("\"accounts\" (level 10) is wanted"),
                        HasSubstr("\"audit\" (level 20), taken at " + std::string(__FILE__) + ":" +
                                  std::to_string(line)))));
  // Of one level, in two calls.
  EXPECT_THROW(static_cast<void>(locks.acquire({"cash"})), lock_order_error);
  // Refused as a whole, before anything is acquired.
  EXPECT_THROW(static_cast<void>(locks.acquire({"log", "accounts"})), lock_order_error);
  EXPECT_TRUE(others_can_have(locks, "log"));
}

TEST(lock_hierarchy, a_second_acquisition_is_refused_unless_declared_recursive) {
  lock_hierarchy locks(bank());
  const held_locks outer = locks.acquire({"accounts", "log"});
  EXPECT_THROW(static_cast<void>(locks.acquire({"accounts"})), lock_order_error);
  EXPECT_THROW(static_cast<void>(locks.acquire({"cash", "cash"})), lock_order_error);
  {
    const held_locks inner = locks.acquire({"log", "log"});
    EXPECT_TRUE(inner);
  }
  EXPECT_FALSE(others_can_have(locks, "log"));
}

TEST(lock_hierarchy, an_unknown_name_is_told_with_the_known_ones) {
  lock_hierarchy locks(bank());
  EXPECT_THAT([&] { static_cast<void>(locks.acquire({"accounts", "acounts"})); },
              ThrowsMessage<std::invalid_argument>(
                  AllOf(HasSubstr("no \"acounts\""), HasSubstr("\"accounts\""))));
  EXPECT_TRUE(others_can_have(locks, "accounts"));
  EXPECT_THROW(locks.statistics(""), std::invalid_argument);
}

TEST(lock_hierarchy, bad_declarations_are_refused) {
  EXPECT_THROW(lock_hierarchy({{"a", 1}, {"b", 2}, {"a", 3}}), std::invalid_argument);
  EXPECT_THROW(lock_hierarchy({{"", 1}}), std::invalid_argument);
}

TEST(lock_hierarchy, hierarchies_have_nothing_to_do_with_each_other) {
  lock_hierarchy one(bank());
  lock_hierarchy other(bank());
  const held_locks a = one.acquire({"log"});
  const held_locks b = other.acquire({"accounts"});
  EXPECT_TRUE(b);
}

TEST(held_locks, can_be_released_early_and_moved) {
  lock_hierarchy locks(bank());
  held_locks held = locks.acquire({"accounts"});
  held_locks moved = std::move(held);
  EXPECT_TRUE(moved);
  EXPECT_FALSE(others_can_have(locks, "accounts"));
  moved.release();
  EXPECT_FALSE(moved);
  EXPECT_TRUE(others_can_have(locks, "accounts"));
  moved = locks.acquire({"accounts"});
  EXPECT_TRUE(moved);
  moved = held_locks();
  EXPECT_TRUE(others_can_have(locks, "accounts"));
}

TEST(lock_hierarchy, records_by_name) {
  lock_hierarchy locks(bank());
  locks.record(heddle::lock_recording::all);
  static_cast<void>(locks.acquire({"accounts", "cash"}));
  static_cast<void>(locks.acquire({"cash"}));
  EXPECT_EQ(locks.statistics("accounts").acquisitions, 1u);
  EXPECT_EQ(locks.statistics("cash").acquisitions, 2u);
  EXPECT_EQ(locks.statistics("log").acquisitions, 0u);
}

// Random sets, also in two steps: no deadlock, and each name excludes.
TEST(lock_hierarchy, many_threads_and_random_sets) {
  const heddle_test::watchdog dog;
  const std::vector<std::string> names{"a", "b", "c", "d", "e"};
  std::vector<heddle::lock_level> levels;
  for (unsigned i = 0; i < names.size(); ++i) levels.push_back({names[i], i / 2});
  lock_hierarchy locks(levels);
  std::vector<int> counts(names.size());
  std::atomic<int> expected{0};
  heddle_test::run_together(4, [&](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int i = 0; i < 300; ++i) {
      std::vector<std::string_view> wanted;
      std::vector<std::size_t> indices;
      for (std::size_t n = 0; n < names.size(); ++n) {
        if (dice.below(2) == 0) continue;
        wanted.push_back(names[n]);
        indices.push_back(n);
      }
      const held_locks held = dice.below(4) == 0
                                  ? locks.try_acquire_for(lock_hierarchy::names(wanted), 20us)
                                  : locks.acquire(lock_hierarchy::names(wanted));
      if (!held) continue;
      for (const std::size_t n : indices) ++counts[n];
      expected += static_cast<int>(indices.size());
    }
  });
  int sum = 0;
  for (const int n : counts) sum += n;
  EXPECT_EQ(sum, expected);
}

}  // namespace
