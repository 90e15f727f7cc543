#include <heddle/sync/priority_inheritance_mutex.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/scheduling.hpp>
#include <heddle/prim/seed.hpp>

#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

// What it has in common with every TimedMutex is tested in timed_mutex_test.cpp.
namespace {

using namespace std::chrono_literals;
using heddle::priority_inheritance_mutex;
using testing::ElementsAre;

namespace prim = heddle::prim;

// As clang cannot follow a lock from thread to thread.
class pi_lock_under_test {
 public:
  void lock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m_.lock(); }
  void unlock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m_.unlock(); }
  bool try_lock() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { return m_.try_lock(); }
  template <class D>
  bool try_lock_for(D d) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    return m_.try_lock_for(d);
  }

 private:
  priority_inheritance_mutex m_;
};

template <class F>
void wait_until(F condition) {
  while (!condition()) std::this_thread::sleep_for(200us);
}

TEST(priority_inheritance_mutex, is_one_word_and_its_probe) {
  EXPECT_EQ(sizeof(priority_inheritance_mutex), 12u);
  static constinit priority_inheritance_mutex before_main;
  EXPECT_TRUE(std::unique_lock(before_main, std::try_to_lock).owns_lock());
}

TEST(priority_inheritance_mutex, tells_the_delegate_only_when_it_sleeps) {
  const heddle_test::watchdog dog;
  pi_lock_under_test m;
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

TEST(priority_inheritance_mutex, is_not_held_when_the_delegate_throws) {
  pi_lock_under_test m;
  m.lock();
  std::thread([&] {
    heddle_test::recording_delegate d;
    d.refuse = true;
    EXPECT_THROW(m.lock(), heddle::would_starve);
    EXPECT_THROW(static_cast<void>(m.try_lock_for(1h)), heddle::would_starve);
    EXPECT_FALSE(m.try_lock());
  }).join();
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST(priority_inheritance_mutex, has_a_name_and_statistics) {
  priority_inheritance_mutex m("brake");
  EXPECT_STREQ(m.name(), "brake");
  m.record(heddle::lock_recording::all);
  unsigned waits = 0;
  {
    const std::lock_guard lock(m);
    EXPECT_EQ(m.owner(), prim::thread_number());
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
  EXPECT_EQ(m.owner(), 0u);
  if (m.try_lock()) m.unlock();
  const heddle::lock_statistics s = m.statistics();
  EXPECT_EQ(s.acquisitions, 2u);
  EXPECT_EQ(s.given_up, waits);
  EXPECT_EQ(s.hold.count(), 2u);
  EXPECT_GE(s.wait.longest(), 1ms);
  EXPECT_NE(s.longest_hold_site, nullptr);
}

TEST(priority_inheritance_mutex, tells_the_delegate_its_name_and_owner) {
  const heddle_test::watchdog dog;
  const bool before = heddle::track_lock_owners(true);
  priority_inheritance_mutex m("brake");
  const std::uint32_t me = prim::thread_number();
  std::atomic<bool> waiting{false};
  std::unique_lock lock(m);
  std::thread other([&] {
    heddle_test::recording_delegate d;
    d.inside_enter = [&] {
      EXPECT_STREQ(d.record->name, "brake");
      EXPECT_EQ(d.record->object, &m);
      EXPECT_EQ(owner(*d.record), me);
      waiting = true;
    };
    const std::lock_guard inner(m);
  });
  while (!waiting) std::this_thread::yield();
  lock.unlock();
  other.join();
  heddle::track_lock_owners(before);
}

// The kernel refuses to let the second of them wait. It gets its lock all the same, when the first
// has given up.
TEST(priority_inheritance_mutex, a_circle_is_undone_by_a_deadline) {
  const heddle_test::watchdog dog;
  pi_lock_under_test a;
  pi_lock_under_test b;
  std::atomic<int> holding{0};
  const auto both_hold = [&] {
    ++holding;
    while (holding != 2) std::this_thread::yield();
  };
  std::thread patient([&] {
    b.lock();
    both_hold();
    a.lock();
    a.unlock();
    b.unlock();
  });
  a.lock();
  both_hold();
  EXPECT_FALSE(b.try_lock_for(10ms));
  a.unlock();
  patient.join();
  EXPECT_TRUE(a.try_lock());
  a.unlock();
}

TEST(priority_inheritance_mutex, a_holder_that_has_ended_keeps_it) {
  pi_lock_under_test m;
  std::thread([&] { m.lock(); }).join();
  EXPECT_FALSE(m.try_lock());
  const auto deadline = prim::clock::now() + 3ms;
  EXPECT_FALSE(m.try_lock_for(3ms));
  EXPECT_GE(prim::clock::now(), deadline);
}

TEST(priority_inheritance_mutex, the_thread_that_forks_unlocks_it_in_the_child) {
  const heddle_test::watchdog dog;
  pi_lock_under_test m;
  m.lock();
  std::atomic<bool> waiting{false};
  std::thread patient([&] {
    heddle_test::recording_delegate d;
    d.inside_enter = [&] { waiting = true; };
    m.lock();
    m.unlock();
  });
  while (!waiting) std::this_thread::yield();
  std::this_thread::sleep_for(1ms);  // it goes from there to sleep
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool was_held = !m.try_lock();
    m.unlock();
    const bool is_free = m.try_lock();
    m.unlock();
    ::_exit(was_held && is_free && m.try_lock_for(1ms) ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  m.unlock();
  patient.join();
}

// The kernel's view of the calling thread, which is where inheritance shows: -1 - level for a
// real-time thread; see proc(5), stat, "priority".
int kernel_priority() {
  std::ifstream file("/proc/thread-self/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(line.rfind(')') + 1));
  std::string field;
  for (int number = 3; number <= 18; ++number) fields >> field;
  return std::stoi(field);
}
constexpr int priority_of_level(int level) { return -1 - level; }

// Real-time threads, all on one CPU.
class inheritance : public testing::Test {
 protected:
  void SetUp() override {
    std::thread([this] {
      try {
        become(1);
      } catch (const std::system_error& e) {
        refusal_ = e.what();
      }
    }).join();
    if (!refusal_.empty()) GTEST_SKIP() << "needs real-time threads: " << refusal_;
  }

  static void become(int level) {
    prim::bind_this_thread(prim::this_thread_affinity().front());
    prim::set_this_thread_priority({prim::thread_policy::fifo, 0, level});
  }

 private:
  std::string refusal_;
};

// Low holds the lock, high waits for it, and middle keeps the only CPU from low: what was met on
// Mars in 1997.
TEST_F(inheritance, lets_the_holder_run_before_threads_in_between) {
  const heddle_test::watchdog dog;
  for (const bool timed : {false, true}) {
    pi_lock_under_test m;
    std::atomic<bool> held{false};
    std::atomic<bool> spins{false};
    std::atomic<bool> acquired{false};
    bool overtook = false;
    int before = 0;
    int after = 0;
    std::thread low([&] {
      become(10);
      before = kernel_priority();
      m.lock();
      held = true;
      wait_until([] { return kernel_priority() == priority_of_level(30); });
      m.unlock();
      after = kernel_priority();
    });
    std::thread high([&] {
      become(30);
      wait_until([&] { return spins.load(); });
      if (timed) {
        ASSERT_TRUE(m.try_lock_for(1h));
      } else {
        m.lock();
      }
      acquired = true;
      m.unlock();
    });
    std::thread middle([&] {
      become(20);
      wait_until([&] { return held.load(); });
      spins = true;
      const auto give_up = std::chrono::steady_clock::now() + 10s;
      while (!acquired && std::chrono::steady_clock::now() < give_up) {
      }
      overtook = acquired;
    });
    low.join();
    middle.join();
    high.join();
    EXPECT_TRUE(overtook);
    EXPECT_EQ(before, priority_of_level(10));
    EXPECT_EQ(after, priority_of_level(10));
  }
}

TEST_F(inheritance, ends_with_the_wait) {
  const heddle_test::watchdog dog;
  pi_lock_under_test m;
  std::atomic<bool> held{false};
  std::atomic<bool> raised{false};
  std::thread low([&] {
    become(10);
    m.lock();
    held = true;
    wait_until([] { return kernel_priority() == priority_of_level(30); });
    raised = true;
    wait_until([] { return kernel_priority() == priority_of_level(10); });
    m.unlock();
  });
  std::thread high([&] {
    become(30);
    wait_until([&] { return held.load(); });
    for (auto time = 20ms; !raised; time *= 2) EXPECT_FALSE(m.try_lock_for(time));
  });
  low.join();
  high.join();
}

// They queue up in the other order than that of their priorities.
TEST_F(inheritance, the_most_urgent_waiter_is_served_first) {
  const heddle_test::watchdog dog;
  pi_lock_under_test m;
  std::vector<int> served;  // guarded by m
  std::vector<std::thread> waiters;
  std::thread holder([&] {
    become(1);
    m.lock();
    for (const int level : {10, 20, 30}) {
      waiters.emplace_back([&, level] {
        become(level);
        m.lock();
        served.push_back(level);
        m.unlock();
      });
      wait_until([&] { return kernel_priority() == priority_of_level(level); });
    }
    m.unlock();
  });
  holder.join();
  for (std::thread& t : waiters) t.join();
  EXPECT_THAT(served, ElementsAre(30, 20, 10));
}

using priority_inheritance_mutex_death = testing::Test;

TEST(priority_inheritance_mutex_death, misuse_is_told_where_locks_are_checked) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  priority_inheritance_mutex m("brake");
  EXPECT_DEATH(
      [&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
        heddle::check_locks(true);
        m.unlock();
      }(),
      "heddle: unlock of a mutex \"brake\" .* held by nobody");
  EXPECT_DEATH(
      [&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
        heddle::check_locks(true);
        m.lock();
        std::thread([&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS { m.unlock(); }).join();
      }(),
      "heddle: unlock of a mutex \"brake\" .* held by thread [0-9]+");
  EXPECT_DEATH(
      [&]() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
        heddle::check_locks(true);
        m.lock();
        m.lock();
      }(),
      "heddle: waiting without end for a mutex \"brake\" .* held by this thread");
}

}  // namespace
