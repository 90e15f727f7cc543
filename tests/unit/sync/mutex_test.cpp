#include <heddle/sync/mutex.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/seed.hpp>

#include "support/dead_stack.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle_test::on_another_thread;
using testing::ElementsAre;

namespace prim = heddle::prim;

// Lets the tests speak of one lock from several threads without telling clang who holds it: what is
// tested here is the lock.
class lock_under_test {
 public:
  void lock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m_.lock(); }
  void unlock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m_.unlock(); }
  bool try_lock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return m_.try_lock(); }
  template <class D>
  bool try_lock_for(D d) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return m_.try_lock_for(d);
  }
  bool try_lock_until(prim::time_point t) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return m_.try_lock_until(t);
  }
  heddle::lock_statistics statistics() const { return m_.statistics(); }

 private:
  heddle::mutex m_;
};

TEST(mutex, is_one_word_and_its_probe) { EXPECT_EQ(sizeof(heddle::mutex), 16u); }

TEST(mutex, works_with_the_standard_s_locks) {
  heddle::mutex a;
  heddle::mutex b;
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
  EXPECT_TRUE(lock.try_lock_until(prim::clock::now()));
}

TEST(mutex, keeps_others_out_while_it_is_held) {
  lock_under_test m;
  m.lock();
  EXPECT_FALSE(on_another_thread([&] { return m.try_lock(); }));
  EXPECT_FALSE(on_another_thread([&] { return m.try_lock_for(0s); }));
  EXPECT_FALSE(on_another_thread([&] { return m.try_lock_for(-1s); }));
  EXPECT_FALSE(on_another_thread([&] { return m.try_lock_for(1ms); }));
  EXPECT_FALSE(on_another_thread([&] { return m.try_lock_until(prim::time_point::min()); }));
  m.unlock();
  EXPECT_TRUE(on_another_thread([&] {
    const bool got = m.try_lock();
    m.unlock();
    return got;
  }));
}

TEST(mutex, gives_up_at_the_deadline_and_not_before) {
  lock_under_test m;
  m.lock();
  std::thread other([&] {
    const auto deadline = prim::clock::now() + 10ms;
    EXPECT_FALSE(m.try_lock_until(deadline));
    EXPECT_GE(prim::clock::now(), deadline);
  });
  other.join();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(mutex, a_timed_lock_with_the_deadline_passed_still_takes_a_free_lock) {
  lock_under_test m;
  EXPECT_TRUE(m.try_lock_until(prim::time_point::min()));
  m.unlock();
  EXPECT_TRUE(m.try_lock_for(-1h));
  m.unlock();
}

TEST(mutex, wakes_those_who_sleep) {
  const heddle_test::watchdog dog;
  lock_under_test m;
  int entered = 0;  // plain: guarded by m
  m.lock();
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 6; ++i) {
    sleepers.emplace_back([&, i] {
      if (i % 2 == 0) {
        m.lock();
      } else {
        ASSERT_TRUE(m.try_lock_for(std::chrono::hours::max()));
      }
      ++entered;
      m.unlock();
    });
  }
  std::this_thread::sleep_for(10ms);
  EXPECT_EQ(entered, 0);
  m.unlock();
  for (std::thread& t : sleepers) t.join();
  EXPECT_EQ(entered, 6);
}

// Those who give up leave the queue from every place in it; the others are all served.
TEST(mutex, serves_the_rest_when_some_of_the_queue_give_up) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 20; ++round) {
    lock_under_test m;
    std::atomic<int> served{0};
    m.lock();
    std::vector<std::thread> sleepers;
    for (int i = 0; i < 8; ++i) {
      sleepers.emplace_back([&, i] {
        if ((i + round) % 2 == 0) {
          m.lock();
        } else if (!m.try_lock_for(std::chrono::microseconds(200 * i))) {
          return;
        }
        ++served;
        m.unlock();
      });
    }
    std::this_thread::sleep_for(2ms);
    m.unlock();
    for (std::thread& t : sleepers) t.join();
    EXPECT_GE(served, 4);
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  }
}

TEST(mutex, tells_the_delegate_only_when_it_sleeps) {
  const heddle_test::watchdog dog;
  lock_under_test m;
  heddle_test::recording_delegate d;
  m.lock();
  m.unlock();
  EXPECT_TRUE(d.log.empty());
  std::atomic<bool> held{false};
  std::atomic<bool> entered{false};
  std::thread holder([&] {
    m.lock();
    held = true;
    while (!entered) std::this_thread::yield();
    m.unlock();
  });
  while (!held) std::this_thread::yield();
  d.inside_enter = [&entered] { entered = true; };
  m.lock();
  m.unlock();
  holder.join();
  EXPECT_THAT(d.log, ElementsAre("enter a mutex", "leave a mutex"));
}

TEST(mutex, is_not_held_when_the_delegate_throws) {
  const heddle_test::watchdog dog;
  lock_under_test m;
  m.lock();
  std::thread refused([&] {
    heddle_test::recording_delegate d;
    d.refuse = true;
    EXPECT_THROW(m.lock(), heddle::would_starve);
    EXPECT_THROW(static_cast<void>(m.try_lock_for(1h)), heddle::would_starve);
    EXPECT_FALSE(m.try_lock());
    heddle_test::overwrite_dead_stack();
  });
  refused.join();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

// The one who is woken finds that it may not sleep again, or the one who is refused has been woken
// meanwhile: in either case the wake-up must reach somebody.
TEST(mutex, hands_a_wakeup_on_when_the_delegate_throws) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 100; ++round) {
    lock_under_test m;
    m.lock();
    std::atomic<bool> entering{false};
    std::thread refused([&] {
      heddle_test::recording_delegate d;
      d.refuse = true;
      d.inside_enter = [&] {
        entering = true;
        std::this_thread::yield();
      };
      try {
        m.lock();
        m.unlock();
      } catch (const heddle::would_starve&) {
      }
      entering = true;
    });
    std::thread patient([&] {
      m.lock();
      m.unlock();
    });
    while (!entering) std::this_thread::yield();
    m.unlock();
    refused.join();
    patient.join();
    EXPECT_TRUE(m.try_lock());
    m.unlock();
  }
}

TEST(mutex, has_a_name_and_statistics) {
  const heddle_test::watchdog dog;
  heddle::mutex m("orders");
  EXPECT_STREQ(m.name(), "orders");
  m.record(heddle::lock_recording::all);
  unsigned waits = 0;
  {
    const std::lock_guard lock(m);
    std::thread([&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
      EXPECT_FALSE(m.try_lock());
      heddle_test::recording_delegate d;
      d.inside_enter = [] { std::this_thread::sleep_for(1ms); };  // which is part of the wait
      heddle_test::wait_in_vain(
          [&](auto time) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
            EXPECT_FALSE(m.try_lock_for(time));
            ++waits;
          },
          [&] { return !d.log.empty(); });
    }).join();
  }
  if (m.try_lock()) m.unlock();
  const heddle::lock_statistics s = m.statistics();
  EXPECT_EQ(s.acquisitions, 2u);
  EXPECT_EQ(s.given_up, waits);
  EXPECT_EQ(s.hold.count(), 2u);
  EXPECT_GE(s.hold.longest(), 900us);
  EXPECT_GE(s.wait.longest(), 1ms);
  EXPECT_NE(s.longest_hold_site, nullptr);
}

TEST(mutex, counts_contended_acquisitions_when_the_process_records) {
  const heddle_test::watchdog dog;
  const heddle::lock_recording before = heddle::record_locks(heddle::lock_recording::sampled);
  lock_under_test m;
  std::atomic<bool> waiting{false};
  m.lock();
  std::thread other([&] {
    heddle_test::recording_delegate d;
    d.inside_enter = [&] { waiting = true; };
    m.lock();
    m.unlock();
  });
  while (!waiting) std::this_thread::yield();
  m.unlock();
  other.join();
  heddle::record_locks(before);
  const heddle::lock_statistics s = m.statistics();
  EXPECT_EQ(s.acquisitions, 1u);
  EXPECT_EQ(s.contended, 1u);
  EXPECT_EQ(s.wait.count(), 1u);
}

// The delegate, and so a pool, hears the lock's name and can ask who holds it.
TEST(mutex, tells_the_delegate_its_name_and_owner) {
  const heddle_test::watchdog dog;
  const bool before = heddle::track_lock_owners(true);
  heddle::mutex m("till");
  const std::uint32_t me = heddle::prim::thread_number();
  std::atomic<bool> waiting{false};
  std::unique_lock lock(m);
  std::thread other([&] {
    heddle_test::recording_delegate d;
    d.inside_enter = [&] {
      EXPECT_STREQ(d.record->name, "till");
      EXPECT_EQ(d.record->object, &m);
      EXPECT_EQ(owner(*d.record), me);
      waiting = true;
    };
    const std::lock_guard inner(m);
    EXPECT_EQ(m.owner(), heddle::prim::thread_number());
  });
  while (!waiting) std::this_thread::yield();
  lock.unlock();
  other.join();
  EXPECT_EQ(m.owner(), 0u);
  heddle::track_lock_owners(before);
}

using mutex_death = testing::Test;

TEST(mutex_death, misuse_is_told_where_locks_are_checked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  heddle::mutex m("till");
  EXPECT_DEATH(
      [&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
        heddle::check_locks(true);
        m.unlock();
      }(),
      "heddle: unlock of a mutex \"till\" .* held by nobody");
  EXPECT_DEATH(
      [&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
        heddle::check_locks(true);
        m.lock();
        std::thread([&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m.unlock(); }).join();
      }(),
      "heddle: unlock of a mutex \"till\" .* held by thread [0-9]+");
  EXPECT_DEATH(
      [&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
        heddle::check_locks(true);
        m.lock();
        m.lock();
      }(),
      "heddle: waiting without end for a mutex \"till\" .* held by this thread");
}

}  // namespace
