#include <heddle/sync/recursive_mutex.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;

// The standard's RecursiveMutex with deadlines, of std's and of ours.
template <class M>
class recursive_mutex_requirements : public testing::Test {};
using both = testing::Types<std::recursive_timed_mutex, heddle::recursive_mutex>;
class names_of_recursive {
 public:
  template <class T>
  static std::string GetName(int) {
    return std::is_same_v<T, heddle::recursive_mutex> ? "heddle" : "std";
  }
};
TYPED_TEST_SUITE(recursive_mutex_requirements, both, names_of_recursive);

template <class M>
bool others_can_have(M& m) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
  bool got = false;
  std::thread([&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    got = m.try_lock();
    if (got) m.unlock();
  }).join();
  return got;
}

TYPED_TEST(recursive_mutex_requirements, is_free_after_as_many_unlocks_as_locks) {
  TypeParam m;
  [&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    m.lock();
    EXPECT_TRUE(m.try_lock());
    EXPECT_TRUE(m.try_lock_for(-1s));
    EXPECT_TRUE(m.try_lock_until(std::chrono::steady_clock::now()));
    for (int left = 4; left > 0; --left) {
      EXPECT_FALSE(others_can_have(m));
      m.unlock();
    }
  }();
  EXPECT_TRUE(others_can_have(m));
}

TYPED_TEST(recursive_mutex_requirements, deadlines_end_the_waits_of_others) {
  TypeParam m;
  const std::lock_guard outer(m);
  const std::lock_guard inner(m);
  std::thread([&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    EXPECT_FALSE(m.try_lock_for(1ms));
    EXPECT_FALSE(m.try_lock_for(-1ms));
  }).join();
}

TYPED_TEST(recursive_mutex_requirements, excludes_others_at_every_depth) {
  const heddle_test::watchdog dog;
  TypeParam m;
  int count = 0;
  heddle_test::run_together(4, [&](unsigned) {
    for (int i = 0; i < 500; ++i) {
      const std::lock_guard outer(m);
      const int before = count;
      const std::lock_guard inner(m);
      count = before + 1;
    }
  });
  EXPECT_EQ(count, 2000);
}

TEST(recursive_mutex, knows_its_owner) {
  heddle::recursive_mutex m;
  EXPECT_EQ(m.owner(), 0u);
  {
    const std::lock_guard lock(m);
    EXPECT_EQ(m.owner(), heddle::prim::thread_number());
  }
  EXPECT_EQ(m.owner(), 0u);
}

TEST(recursive_mutex, statistics_count_the_outermost_lock) {
  heddle::recursive_mutex m("of the tree");
  m.record(heddle::lock_recording::all);
  {
    const std::lock_guard outer(m);
    const std::lock_guard inner(m);
  }
  EXPECT_STREQ(m.name(), "of the tree");
  EXPECT_EQ(m.statistics().acquisitions, 1u);
  EXPECT_EQ(m.statistics().hold.count(), 1u);
}

using recursive_mutex_death = testing::Test;

TEST(recursive_mutex_death, an_unlock_by_another_thread_is_told_where_locks_are_checked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        heddle::check_locks(true);
        heddle::recursive_mutex m("tree");
        const std::lock_guard lock(m);
        std::thread([&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m.unlock(); }).join();
      },
      "heddle: unlock of a mutex \"tree\" .* held by thread [0-9]+");
}

}  // namespace
