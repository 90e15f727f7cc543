// What the standard asks of a TimedMutex, of its own one and of ours.
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/priority_inheritance_mutex.hpp>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

// Lets the tests speak of one lock from several threads without telling clang who holds it: what is
// tested here is the lock.
template <class M>
class timed_lock_under_test {
 public:
  void lock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m_.lock(); }
  void unlock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m_.unlock(); }
  bool try_lock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return m_.try_lock(); }
  template <class D>
  bool try_lock_for(D d) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return m_.try_lock_for(d);
  }
  bool try_lock_until(steady::time_point t) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return m_.try_lock_until(t);
  }

 private:
  M m_;
};

template <class M>
class timed_mutex_requirements : public testing::Test {};
using all_of_them =
    testing::Types<std::timed_mutex, heddle::mutex, heddle::priority_inheritance_mutex>;
class their_names {
 public:
  template <class T>
  static std::string GetName(int) {
    if (std::is_same_v<T, heddle::mutex>) return "mutex";
    return std::is_same_v<T, std::timed_mutex> ? "std" : "priority_inheritance_mutex";
  }
};
TYPED_TEST_SUITE(timed_mutex_requirements, all_of_them, their_names);

TYPED_TEST(timed_mutex_requirements, are_neither_copied_nor_moved) {
  EXPECT_TRUE(std::is_default_constructible_v<TypeParam>);
  EXPECT_FALSE(std::is_copy_constructible_v<TypeParam>);
  EXPECT_FALSE(std::is_move_constructible_v<TypeParam>);
  EXPECT_FALSE(std::is_copy_assignable_v<TypeParam>);
}

TYPED_TEST(timed_mutex_requirements, it_works_with_the_standards_locks) {
  timed_lock_under_test<TypeParam> a;
  timed_lock_under_test<TypeParam> b;
  {
    const std::lock_guard lock(a);
  }
  {
    const std::scoped_lock lock(a, b);
  }
  std::unique_lock lock(a, 1ms);
  EXPECT_TRUE(lock.owns_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock_until(steady::now() + 1h));
}

TYPED_TEST(timed_mutex_requirements, others_stay_out_while_it_is_held) {
  timed_lock_under_test<TypeParam> m;
  m.lock();
  std::thread([&] {
    EXPECT_FALSE(m.try_lock());
    EXPECT_FALSE(m.try_lock_for(0s));
    EXPECT_FALSE(m.try_lock_for(-1s));
    EXPECT_FALSE(m.try_lock_for(1ms));
    EXPECT_FALSE(m.try_lock_until(steady::time_point()));
  }).join();
  m.unlock();
  std::thread([&] {
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  }).join();
}

TYPED_TEST(timed_mutex_requirements, a_wait_ends_at_its_deadline_and_not_before) {
  timed_lock_under_test<TypeParam> m;
  m.lock();
  std::thread([&] {
    const auto deadline = steady::now() + 5ms;
    EXPECT_FALSE(m.try_lock_until(deadline));
    EXPECT_GE(steady::now(), deadline);
  }).join();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TYPED_TEST(timed_mutex_requirements, a_deadline_that_has_passed_is_good_enough_for_a_free_lock) {
  timed_lock_under_test<TypeParam> m;
  EXPECT_TRUE(m.try_lock_until(steady::now() - 1h));
  m.unlock();
  EXPECT_TRUE(m.try_lock_for(-1h));
  m.unlock();
}

TYPED_TEST(timed_mutex_requirements, those_who_sleep_get_it) {
  const heddle_test::watchdog dog;
  timed_lock_under_test<TypeParam> m;
  int entered = 0;  // plain: guarded by m
  m.lock();
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 6; ++i) {
    sleepers.emplace_back([&, i] {
      if (i % 2 == 0) {
        m.lock();
      } else {
        ASSERT_TRUE(m.try_lock_for(1h));
      }
      ++entered;
      m.unlock();
    });
  }
  std::this_thread::sleep_for(5ms);
  EXPECT_EQ(entered, 0);
  m.unlock();
  for (std::thread& t : sleepers) t.join();
  EXPECT_EQ(entered, 6);
}

TYPED_TEST(timed_mutex_requirements, four_threads_exclude_each_other) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 2'000;
  timed_lock_under_test<TypeParam> m;
  int count = 0;  // plain: guarded by m
  heddle_test::run_together(4, [&](unsigned t) {
    for (int i = 0; i < rounds; ++i) {
      switch ((static_cast<unsigned>(i) + t) % 3) {
        case 0:
          m.lock();
          break;
        case 1:
          while (!m.try_lock()) std::this_thread::yield();
          break;
        default:
          while (!m.try_lock_for(20us)) {
          }
      }
      const int before = count;
      if (i % 64 == 0) std::this_thread::yield();
      count = before + 1;
      m.unlock();
    }
  });
  EXPECT_EQ(count, 4 * rounds);
}

}  // namespace
