#include <heddle/sync/condition_variable.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/sync/recursive_mutex.hpp>

#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;

namespace prim = heddle::prim;

struct standard {
  using mutex = std::mutex;
  using condition_variable = std::condition_variable_any;
  static bool notified(std::cv_status s) { return s == std::cv_status::no_timeout; }
};
struct heddles {
  using mutex = heddle::mutex;
  using condition_variable = heddle::condition_variable;
  static bool notified(bool notified) { return notified; }
};

// What the standard requires, of both.
template <class T>
class condition_variable_requirements : public testing::Test {};
using both_kinds = testing::Types<standard, heddles>;
class names_of_both {
 public:
  template <class T>
  static std::string GetName(int) {
    return std::is_same_v<T, standard> ? "std" : "heddle";
  }
};
TYPED_TEST_SUITE(condition_variable_requirements, both_kinds, names_of_both);

TYPED_TEST(condition_variable_requirements, a_notification_ends_a_wait_with_the_lock_held) {
  const heddle_test::watchdog dog;
  typename TypeParam::mutex m;
  typename TypeParam::condition_variable changed;
  bool ready = false;
  std::thread other([&] {
    const std::lock_guard lock(m);
    ready = true;
    changed.notify_one();
  });
  {
    std::unique_lock lock(m);
    while (!ready) changed.wait(lock);
    EXPECT_TRUE(lock.owns_lock());
  }
  other.join();
}

TYPED_TEST(condition_variable_requirements, a_predicate_that_holds_waits_for_nothing) {
  typename TypeParam::mutex m;
  typename TypeParam::condition_variable changed;
  std::unique_lock lock(m);
  const auto yes = [] { return true; };
  changed.wait(lock, yes);
  EXPECT_TRUE(changed.wait_for(lock, -1s, yes));
  EXPECT_TRUE(changed.wait_until(lock, prim::time_point::min(), yes));
  EXPECT_TRUE(changed.wait(lock, std::stop_token(), yes));
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_TRUE(changed.wait(lock, stopped.get_token(), yes));
}

TYPED_TEST(condition_variable_requirements, a_deadline_ends_a_wait_and_not_before) {
  typename TypeParam::mutex m;
  typename TypeParam::condition_variable changed;
  std::unique_lock lock(m);
  const auto no = [] { return false; };
  auto deadline = prim::clock::now() + 5ms;
  while (TypeParam::notified(changed.wait_until(lock, deadline))) {
  }
  EXPECT_GE(prim::clock::now(), deadline);
  deadline = prim::clock::now() + 5ms;
  EXPECT_FALSE(changed.wait_until(lock, deadline, no));
  EXPECT_GE(prim::clock::now(), deadline);
  EXPECT_FALSE(changed.wait_for(lock, 1ms, no));
  EXPECT_FALSE(changed.wait_for(lock, -1h, no));
  EXPECT_FALSE(changed.wait_for(lock, std::stop_token(), 1ms, no));
  EXPECT_TRUE(lock.owns_lock());
}

TYPED_TEST(condition_variable_requirements, a_stop_ends_a_wait) {
  const heddle_test::watchdog dog;
  typename TypeParam::mutex m;
  typename TypeParam::condition_variable changed;
  const auto no = [] { return false; };
  {
    std::unique_lock lock(m);
    std::stop_source before;
    before.request_stop();
    EXPECT_FALSE(changed.wait(lock, before.get_token(), no));
  }
  for (int round = 0; round < 50; ++round) {
    std::stop_source during;
    std::thread stopper([&] { during.request_stop(); });
    std::unique_lock lock(m);
    if (round % 2 == 0) {
      EXPECT_FALSE(changed.wait(lock, during.get_token(), no));
    } else {
      EXPECT_FALSE(changed.wait_for(lock, during.get_token(), 1h, no));
    }
    EXPECT_TRUE(lock.owns_lock());
    lock.unlock();
    stopper.join();
  }
}

TYPED_TEST(condition_variable_requirements, notify_all_reaches_everybody_who_waits) {
  const heddle_test::watchdog dog;
  typename TypeParam::mutex m;
  typename TypeParam::condition_variable changed;
  std::condition_variable_any arrived;
  int waiting = 0;
  int woken = 0;
  bool go = false;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      std::unique_lock lock(m);
      ++waiting;
      arrived.notify_one();
      changed.wait(lock, [&] { return go; });
      ++woken;
    });
  }
  {
    std::unique_lock lock(m);
    arrived.wait(lock, [&] { return waiting == 6; });
    go = true;
    changed.notify_all();
    EXPECT_EQ(woken, 0);
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(woken, 6);
}

TYPED_TEST(condition_variable_requirements, what_the_predicate_throws_arrives_with_the_lock_held) {
  typename TypeParam::mutex m;
  typename TypeParam::condition_variable changed;
  std::unique_lock lock(m);
  EXPECT_THROW(changed.wait(lock, []() -> bool { throw 1; }), int);
  EXPECT_TRUE(lock.owns_lock());
}

// Each notified thread destroys nothing before it has the lock; who destroys is the notifier.
TYPED_TEST(condition_variable_requirements, may_be_destroyed_when_all_were_notified) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 50; ++round) {
    typename TypeParam::mutex m;
    auto changed = std::make_unique<typename TypeParam::condition_variable>();
    int waiting = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&, i, c = changed.get()] {
        std::unique_lock lock(m);
        ++waiting;
        if (i == 0) {
          c->wait(lock);
        } else {
          c->wait_for(lock, std::chrono::microseconds(50 * i));
        }
      });
    }
    for (bool all = false; !all;) {
      std::this_thread::yield();
      const std::lock_guard lock(m);
      all = waiting == 3;
    }
    {
      const std::lock_guard lock(m);
      changed->notify_all();
      if (std::is_same_v<TypeParam, heddles>) changed.reset();
    }
    for (std::thread& t : threads) t.join();
  }
}

TEST(condition_variable, notifying_nobody_is_nothing) {
  heddle::condition_variable changed;
  changed.notify_one();
  changed.notify_all();
  heddle::mutex m;
  std::unique_lock lock(m);
  EXPECT_FALSE(changed.wait_for(lock, 1ms));
}

TEST(condition_variable, works_with_locks_of_other_types) {
  const heddle_test::watchdog dog;
  const auto round_trip = [](auto& m, auto& lock) {
    heddle::condition_variable changed;
    bool ready = false;
    std::thread other([&] {
      {
        const std::lock_guard held(m);
        ready = true;
      }
      changed.notify_all();
    });
    changed.wait(lock, [&] { return ready; });
    other.join();
  };
  {
    heddle::recursive_mutex m;
    std::unique_lock lock(m);
    round_trip(m, lock);
  }
  {
    std::mutex m;
    std::unique_lock lock(m);
    round_trip(m, lock);
  }
}

TEST(condition_variable, works_with_the_mutex_itself) {
  heddle::mutex m;
  heddle::condition_variable changed;
  {
    const std::lock_guard held(m);
    EXPECT_FALSE(changed.wait_for(m, 1ms, [] { return false; }));
  }
  const std::unique_lock lock(m, std::try_to_lock);
  EXPECT_TRUE(lock.owns_lock());
}

TEST(condition_variable, wakes_in_the_order_of_waiting) {
  const heddle_test::watchdog dog;
  heddle::mutex m;
  heddle::condition_variable changed;
  std::vector<int> order;
  int waiting = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      std::unique_lock lock(m);
      ++waiting;
      changed.wait(lock);
      order.push_back(i);
    });
    for (bool there = false; !there; std::this_thread::yield()) {
      const std::lock_guard lock(m);
      there = waiting == i + 1;
    }
  }
  for (std::size_t i = 0; i < 4;) {
    {
      const std::lock_guard lock(m);
      changed.notify_one();
    }
    for (++i;; std::this_thread::yield()) {
      const std::lock_guard lock(m);
      if (order.size() == i) break;
    }
  }
  for (std::thread& t : threads) t.join();
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
}

TEST(condition_variable, tells_the_delegate_once) {
  heddle::mutex m;
  heddle::condition_variable changed;
  heddle_test::recording_delegate d;
  std::unique_lock lock(m);
  EXPECT_FALSE(changed.wait_for(lock, 1ms));
  EXPECT_THAT(d.log, ElementsAre("enter a condition variable", "leave a condition variable"));
}

TEST(condition_variable, keeps_the_lock_when_the_delegate_throws) {
  heddle::mutex m;
  heddle::condition_variable changed;
  heddle_test::recording_delegate d;
  d.refuse = true;
  std::unique_lock lock(m);
  EXPECT_THROW(changed.wait(lock), heddle::would_starve);
  EXPECT_TRUE(lock.owns_lock());
}

TEST(condition_variable, a_wait_without_the_lock_throws_what_the_lock_throws) {
  heddle::mutex m;
  heddle::condition_variable changed;
  std::unique_lock lock(m, std::defer_lock);
  EXPECT_THROW(changed.wait(lock), std::system_error);
  changed.notify_all();
}

TEST(condition_variable, counts_waits_when_told) {
  const heddle_test::watchdog dog;
  heddle::mutex m;
  heddle::condition_variable changed("of the orders");
  changed.record(heddle::lock_recording::all);
  EXPECT_STREQ(changed.name(), "of the orders");
  bool ready = false;
  std::unique_lock lock(m);
  {
    heddle_test::recording_delegate d;
    d.inside_enter = [] { std::this_thread::sleep_for(2ms); };  // which is part of the wait
    EXPECT_FALSE(changed.wait_for(lock, 2ms));
  }
  std::thread other([&] {
    const std::lock_guard held(m);
    ready = true;
    changed.notify_all();
  });
  changed.wait(lock, [&] { return ready; });
  other.join();
  const heddle::lock_statistics s = changed.statistics();
  EXPECT_EQ(s.given_up, 1u);
  EXPECT_LE(s.acquisitions, 1u);
  EXPECT_EQ(s.contended, s.acquisitions);
  EXPECT_GE(s.wait.total(), 2ms);
}

}  // namespace
