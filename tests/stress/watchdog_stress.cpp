#include <heddle/watch/watchdog.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/exec/joining_thread.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/queue/bounded_queue.hpp>
#include <heddle/sync/barrier.hpp>
#include <heddle/sync/condition_variable.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/semaphore.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::deadlock;
using heddle::deadlock_policy;
using heddle::joining_thread;
using heddle::named;
using heddle::watchdog;
using testing::HasSubstr;

heddle::thread_pool_options workers(unsigned count, const char* name) {
  heddle::thread_pool_options options;
  options.workers = count;
  options.name = name;
  return options;
}

// Nothing in it ever stops for good, but everything in it waits for everything else.
class busy_threads {
 public:
  explicit busy_threads(unsigned count) : pool_(workers(2, "busy")) {
    for (unsigned i = 0; i < count; ++i) {
      threads_.emplace_back("busy " + std::to_string(i), [this] { work(); });
    }
    collector_ = joining_thread("collector", [this] {
      while (std::optional<int> item = queue_.get()) nap(2);
    });
  }
  ~busy_threads() {
    ends_ = true;
    threads_.clear();
    queue_.close();
  }

  // Of all threads.
  std::uint64_t rounds() const { return rounds_; }

 private:
  static void nap(unsigned most_ms) {
    thread_local heddle::prim::random dice(heddle::prim::next_seed());
    std::this_thread::sleep_for(std::chrono::microseconds(dice.below(1000 * most_ms + 1)));
  }

  void work() {
    heddle::prim::random dice(heddle::prim::next_seed());
    while (!ends_) {
      step(dice.below(10));
      ++rounds_;
    }
  }
  void step(unsigned which) {
    switch (which) {
      case 0: {  // two locks, always in one order
        const std::lock_guard outer(locks_[0]);
        nap(1);
        const std::lock_guard inner(locks_[1]);
        return;
      }
      case 1: {
        const std::lock_guard lock(locks_[2]);
        nap(1);
        return;
      }
      case 2:  // a task that waits for a task that waits for a lock
        pool_.submit([this] { return pool_.submit([this] { step(1); }).get(); }).get();
        return;
      case 3: {
        permits_.acquire();
        step(1);
        permits_.release();
        return;
      }
      case 4: {
        memory_.acquire(3);
        nap(1);
        memory_.release(3);
        return;
      }
      case 5:
        queue_.put(1);  // its consumer is slow
        return;
      case 6:
        joining_thread("short", [this] { step(1); }).join();
        return;
      case 7: {  // whoever comes first waits for the second
        std::unique_lock lock(turn_lock_);
        const std::uint64_t turn = ++turns_;
        turn_.notify_all();
        if (turn % 2 == 1) turn_.wait_for(lock, 5ms, [&] { return turns_ > turn; });
        return;
      }
      case 8: {
        heddle::latch done(2);
        for (int i = 0; i < 2; ++i) {
          pool_.post([&done] {
            nap(1);
            done.count_down();
          });
        }
        done.wait();
        return;
      }
      default: {
        std::vector<heddle::future<void>> results;
        for (int i = 0; i < 3; ++i) results.push_back(pool_.submit([] { nap(2); }));
        heddle::wait(results, heddle::wait_condition::first_completed);
        heddle::wait(results);
      }
    }
  }

  heddle::thread_pool pool_;
  std::array<heddle::mutex, 3> locks_;
  heddle::counting_semaphore<3> permits_{3};
  heddle::weighted_semaphore memory_{8};
  heddle::bounded_queue<int> queue_{4};
  heddle::mutex turn_lock_;
  heddle::condition_variable turn_;
  std::uint64_t turns_ = 0;
  std::atomic<bool> ends_{false};
  std::atomic<std::uint64_t> rounds_{0};
  joining_thread collector_;
  std::vector<joining_thread> threads_;
};

// A minute, or whatever the night allows, with HEDDLE_WATCHDOG_SECONDS.
std::chrono::seconds patience() {
  const char* const wanted = std::getenv("HEDDLE_WATCHDOG_SECONDS");
  return std::chrono::seconds(wanted == nullptr ? 2 : std::atoi(wanted));
}

TEST(watchdog_stress, slow_threads_are_no_deadlock) {
  const heddle_test::watchdog limit(patience() + 100s);
  std::atomic<int> told{0};
  std::string text;
  watchdog w({.period = 2ms, .on_deadlock = [&](const deadlock& d) {
                if (told++ == 0) text = d.to_text();
              }});
  {
    busy_threads threads(24);
    const auto end = std::chrono::steady_clock::now() + patience();
    while (std::chrono::steady_clock::now() < end || w.scans() < 20) {
      std::this_thread::sleep_for(10ms);
      heddle::wait_graph().to_text();
    }
    EXPECT_GT(threads.rounds(), 0u);
  }
  EXPECT_EQ(told, 0) << text;
}

// Threads of two sides that meet before each goes for what the other has.
struct meeting_point {
  heddle::latch both{2};
  void meet() { both.arrive_and_wait(); }
};

template <class F>
void give_up_when_told(F wait) {
  try {
    wait();
  } catch (const heddle::deadlock_error&) {
  }
}

TEST(watchdog_stress, finds_five_deadlocks_among_fifty_threads) {
  const heddle_test::watchdog limit;
  std::mutex told_mutex;
  std::vector<deadlock> told;
  watchdog w({.period = 5ms, .on_deadlock = [&](const deadlock& d) {
                const std::lock_guard lock(told_mutex);
                told.push_back(d);
              }});
  busy_threads threads(50);

  // Locks.
  heddle::mutex m1("m1"), m2("m2");
  meeting_point locks;
  const auto cross = [&](heddle::mutex& a, heddle::mutex& b) {
    const std::lock_guard one(a);
    locks.meet();
    give_up_when_told([&] { const std::lock_guard other(b); });
  };
  joining_thread lock_left("lock-left", [&] { cross(m1, m2); });
  joining_thread lock_right("lock-right", [&] { cross(m2, m1); });

  // A task waits for the result of one that waits for its lock.
  heddle::mutex table("table");
  meeting_point tasks;
  heddle::thread_pool pool(workers(2, "five"));  // ends first: nobody may wait for the answer
  auto asking = pool.submit(named("asking", [&] {
    const std::lock_guard lock(table);
    auto answer = pool.submit(named("answering", [&] {
      tasks.meet();
      give_up_when_told([&] { const std::lock_guard again(table); });
    }));
    tasks.meet();
    give_up_when_told([&] { answer.get(); });
  }));

  // The consumer of a full queue waits for the lock under which its producer puts.
  heddle::bounded_queue<int> queue(2, "orders");
  heddle::mutex log("log");
  meeting_point ends;
  joining_thread producer("producer", [&] {
    queue.put(0);
    ends.meet();
    const std::lock_guard lock(log);
    while (queue.put(1)) {
    }
  });
  joining_thread consumer("consumer", [&] {
    queue.get();
    ends.meet();
    while (queue.length() < 2) std::this_thread::yield();
    give_up_when_told([&] { const std::lock_guard lock(log); });
  });

  // Semaphores.
  heddle::counting_semaphore<2> s1(1, "s1"), s2(1, "s2");
  meeting_point permits;
  const auto take_both = [&](auto& a, auto& b) {
    a.acquire();
    permits.meet();
    b.acquire();
    b.release();
    a.release();
  };
  joining_thread permit_left("permit-left", [&] { take_both(s1, s2); });
  joining_thread permit_right("permit-right", [&] { take_both(s2, s1); });

  // A thread joins one that waits for its lock.
  heddle::mutex state("state");
  joining_thread parent("parent", [&] {
    joining_thread child;
    const std::lock_guard lock(state);
    child = joining_thread("child",
                           [&] { give_up_when_told([&] { const std::lock_guard mine(state); }); });
    give_up_when_told([&] { child.join(); });
  });  // the lock is let go of before the child is joined

  const auto count = [&] {
    const std::lock_guard lock(told_mutex);
    return told.size();
  };
  const std::uint64_t rounds = threads.rounds();
  while (count() < 5 || threads.rounds() < rounds + 100) std::this_thread::sleep_for(1ms);
  const std::vector<deadlock> found = [&] {
    const std::lock_guard lock(told_mutex);
    return told;
  }();
  EXPECT_EQ(found.size(), 5u);
  const auto expect = [&](bool certain, std::vector<std::string> words) {
    for (const deadlock& d : found) {
      const std::string text = d.to_text();
      if (text.find(words.front()) == std::string::npos) continue;
      EXPECT_EQ(d.threads.size(), 2u) << text;
      EXPECT_EQ(d.is_certain, certain) << text;
      for (const std::string& word : words) EXPECT_THAT(text, HasSubstr(word));
      return;
    }
    ADD_FAILURE() << "nothing was told of " << words.front();
  };
  expect(true, {"thread \"lock-left\"", "thread \"lock-right\"", "mutex \"m1\"", "mutex \"m2\""});
  expect(true, {"task \"asking\"", "task \"answering\"", "for future", "mutex \"table\""});
  expect(false, {"thread \"producer\"", "thread \"consumer\"", "room in a queue \"orders\"",
                 "mutex \"log\""});
  expect(false, {"thread \"permit-left\"", "thread \"permit-right\"", "semaphore \"s1\"",
                 "semaphore \"s2\""});
  expect(true,
         {"thread \"parent\"", "thread \"child\"", "the end of other work", "mutex \"state\""});

  // A way out of each.
  queue.close();
  s2.release();
  const watchdog breaker(
      {.period = 5ms, .policy = deadlock_policy::interrupt, .on_deadlock = [](const deadlock&) {}});
  lock_left.join();
  lock_right.join();
  asking.get();
  parent.join();
  consumer.join();
  permit_left.join();
  permit_right.join();
}

// Threads that come and go, objects that end, while everything is looked at; TSan and ASan know
// what is touched too late.
TEST(watchdog_stress, threads_and_objects_end_beneath_the_looks) {
  const heddle_test::watchdog limit;
  const watchdog first({.period = 1ms, .on_deadlock = [](const deadlock&) { ADD_FAILURE(); }});
  std::atomic<bool> ends{false};
  std::vector<std::thread> makers;
  for (unsigned i = 0; i < 4; ++i) {
    makers.emplace_back([&] {
      while (!ends) {
        auto lock = std::make_unique<heddle::mutex>("short-lived");
        auto permits = std::make_unique<heddle::binary_semaphore>(1, "short-lived");
        std::vector<std::thread> users;
        for (int u = 0; u < 2; ++u) {
          users.emplace_back([&] {
            for (int k = 0; k < 20; ++k) {
              permits->acquire();
              lock->lock();
              std::this_thread::yield();
              lock->unlock();
              permits->release();
            }
          });
        }
        for (std::thread& u : users) u.join();
      }
    });
  }
  for (int i = 0; i < 30; ++i) {
    watchdog second({.period = 0ns, .record_locks = true});
    for (int k = 0; k < 10; ++k) {
      second.scan();
      heddle::wait_graph().to_json();
    }
  }
  ends = true;
  for (std::thread& m : makers) m.join();
}

// Crossed locks again and again, broken each time: each try ends with one who was told and one who
// had both, or without a deadlock.
TEST(watchdog_stress, is_broken_each_time) {
  const heddle_test::watchdog limit;
  const watchdog breaker(
      {.period = 1ms, .policy = deadlock_policy::interrupt, .on_deadlock = [](const deadlock&) {}});
  heddle::mutex a, b;
  std::atomic<int> told{0};
  std::atomic<int> had{0};
  constexpr int rounds = 50;
  const auto cross = [&](heddle::mutex& one, heddle::mutex& other) {
    for (int i = 0; i < rounds; ++i) {
      try {
        const std::lock_guard first(one);
        std::this_thread::yield();
        const std::lock_guard second(other);
        ++had;
      } catch (const heddle::deadlock_error&) {
        ++told;
      }
    }
  };
  heddle_test::run_together(3, [&](unsigned i) { i % 2 == 0 ? cross(a, b) : cross(b, a); });
  EXPECT_EQ(told + had, 3 * rounds);
}

}  // namespace
