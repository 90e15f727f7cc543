#include <heddle/watch/watchdog.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <latch>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/exec/joining_thread.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/recursive_mutex.hpp>
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
using heddle::watchdog_options;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

heddle::thread_pool_options named(unsigned count, const char* name) {
  heddle::thread_pool_options options;
  options.workers = count;
  options.name = name;
  return options;
}

std::vector<std::string> names(const deadlock& d) {
  std::vector<std::string> all;
  for (const auto& t : d.threads) all.push_back(t.name);
  return all;
}

// A watchdog that looks when it is told to, and what it has told.
class dog {
 public:
  explicit dog(deadlock_policy policy = deadlock_policy::report)
      : watchdog_({.period = 0ns, .policy = policy, .on_deadlock = [this](const deadlock& d) {
                     found.push_back(d);
                   }}) {}

  // Looks until it has told of so many more.
  void find(std::size_t count = 1) {
    const std::size_t wanted = found.size() + count;
    while (found.size() < wanted) look();
  }
  void look() {
    watchdog_.scan();
    std::this_thread::sleep_for(1ms);
  }
  const deadlock* with(const std::string& thread) const {
    for (const deadlock& d : found) {
      if (testing::Value(names(d), Contains(thread))) return &d;
    }
    return nullptr;
  }

  std::vector<deadlock> found;

 private:
  const heddle_test::watchdog patience_;
  watchdog watchdog_;
};

// Both wait until both are here.
using meeting = heddle::latch;

// Two threads that take two locks in different orders; told of a deadlock, they give up.
class crossed_locks {
 public:
  explicit crossed_locks(const std::string& name)
      : first_(name + ".first"),
        second_(name + ".second"),
        left_(name + ".left", [this] { take(first_, second_); }),
        right_(name + ".right", [this] { take(second_, first_); }) {}

  void join() {
    left_.join();
    right_.join();
  }

  std::atomic<int> thrown{0};
  std::atomic<int> had_both{0};
  std::string what;

 private:
  void take(heddle::mutex& a, heddle::mutex& b) {
    const std::lock_guard one(a);
    both_.arrive_and_wait();
    try {
      const std::lock_guard other(b);
      ++had_both;
    } catch (const heddle::deadlock_error& e) {
      what = e.what();
      ++thrown;
    }
  }

  heddle::mutex first_;
  heddle::mutex second_;
  meeting both_{2};
  joining_thread left_;
  joining_thread right_;
};

TEST(watchdog, reports_crossed_locks_once_with_all_names) {
  dog d;
  crossed_locks locks("x");
  d.find();
  for (int i = 0; i < 5; ++i) d.look();
  ASSERT_THAT(d.found, SizeIs(1));
  const deadlock& found = d.found[0];
  EXPECT_TRUE(found.is_certain);
  EXPECT_EQ(found.interrupted, 0u);
  EXPECT_THAT(names(found), UnorderedElementsAre("x.left", "x.right"));
  EXPECT_THAT(found.to_text(),
              AllOf(HasSubstr("deadlock of 2 threads:\n"),
                    HasSubstr("for mutex \"x.second\", held by thread \"x.right\""),
                    HasSubstr("for mutex \"x.first\", held by thread \"x.left\"")));
  EXPECT_THAT(found.to_json(), HasSubstr("\"is_certain\":true"));
  dog(deadlock_policy::interrupt).find();
  locks.join();
}

TEST(watchdog, breaks_crossed_locks_when_told_to) {
  dog d(deadlock_policy::interrupt);
  crossed_locks locks("x");
  d.find();
  locks.join();
  EXPECT_EQ(locks.thrown, 1);
  EXPECT_EQ(locks.had_both, 1);
  EXPECT_NE(d.found[0].interrupted, 0u);
  EXPECT_THAT(d.found[0].to_text(), HasSubstr("was ended by deadlock_error"));
  EXPECT_THAT(locks.what, AllOf(HasSubstr("deadlock of 2 threads"), HasSubstr("x.first")));
}

TEST(watchdog, a_thread_that_locks_twice_waits_for_itself) {
  dog d(deadlock_policy::interrupt);
  const bool checked = heddle::check_locks(false);
  joining_thread t("twice", [] {
    heddle::mutex m("m");
    const std::lock_guard once(m);
    EXPECT_THROW(std::unique_lock(m).release(), heddle::deadlock_error);
  });
  d.find();
  EXPECT_THAT(d.found[0].to_text(), HasSubstr("deadlock of a thread with itself"));
  t.join();
  heddle::check_locks(checked);
}

TEST(watchdog, breaks_a_circle_of_a_lock_and_a_result) {
  dog d(deadlock_policy::interrupt);
  heddle::mutex table("table");
  meeting both(2);
  std::atomic<int> thrown{0};
  heddle::thread_pool pool(named(2, "work"));  // ends first: nobody may wait for the inner task
  auto outer = pool.submit(named("outer", [&] {
    const std::lock_guard lock(table);
    auto inner = pool.submit(named("inner", [&] {
      both.arrive_and_wait();
      try {
        const std::lock_guard again(table);
      } catch (const heddle::deadlock_error&) {
        ++thrown;
      }
    }));
    both.arrive_and_wait();
    try {
      inner.get();
    } catch (const heddle::deadlock_error&) {
      ++thrown;
    }
  }));
  d.find();
  outer.get();
  EXPECT_EQ(thrown, 1);
  ASSERT_THAT(d.found, SizeIs(1));
  EXPECT_THAT(d.found[0].to_text(),
              AllOf(HasSubstr("(task \"inner\")"), HasSubstr("(task \"outer\")"),
                    HasSubstr("for mutex \"table\""), HasSubstr("for future")));
}

TEST(watchdog, breaks_a_circle_of_joins) {
  dog d(deadlock_policy::interrupt);
  heddle::mutex state("state");
  std::atomic<int> thrown{0};
  joining_thread parent("parent", [&] {
    joining_thread child;
    {
      const std::lock_guard lock(state);
      child = joining_thread("child", [&] {
        try {
          const std::lock_guard mine(state);
        } catch (const heddle::deadlock_error&) {
          ++thrown;
        }
      });
      try {
        child.join();
      } catch (const heddle::deadlock_error&) {
        ++thrown;
      }
    }
  });
  d.find();
  parent.join();
  EXPECT_EQ(thrown, 1);
  EXPECT_THAT(names(d.found[0]), UnorderedElementsAre("parent", "child"));
}

TEST(watchdog, a_pool_that_cannot_end_is_told) {
  dog d;
  heddle::mutex m("m");
  std::optional<heddle::thread_pool> pool;
  pool.emplace(named(1, "ending"));
  heddle::manual_reset_event is_locked;
  joining_thread ender("ender", [&] {
    const std::lock_guard lock(m);
    is_locked.set();
    pool->wait_idle();
  });
  is_locked.wait();
  auto stuck = pool->submit(named("stuck", [&] {
    try {
      const std::lock_guard lock(m);
    } catch (const heddle::deadlock_error&) {
    }
  }));
  // The thread may find the pool idle before it has its task.
  watchdog breaker(
      {.period = 0ns, .policy = deadlock_policy::interrupt, .on_deadlock = [](auto&) {}});
  while (!stuck.ready()) {
    d.look();
    if (!d.found.empty()) breaker.scan();
  }
  if (!d.found.empty()) {
    EXPECT_THAT(d.found[0].to_text(), HasSubstr("the end of the work of \"ending\""));
  }
}

TEST(watchdog, suspects_semaphores_and_never_interrupts_them) {
  dog d(deadlock_policy::interrupt);
  using semaphore = heddle::counting_semaphore<2>;
  semaphore a(1, "a"), b(1, "b");
  meeting both(2);
  const auto cross = [&](semaphore& one, semaphore& other) {
    one.acquire();
    both.arrive_and_wait();
    other.acquire();
    other.release();
    one.release();
  };
  joining_thread left("left", [&] { cross(a, b); });
  joining_thread right("right", [&] { cross(b, a); });
  d.find();
  for (int i = 0; i < 3; ++i) d.look();
  ASSERT_THAT(d.found, SizeIs(1));
  EXPECT_FALSE(d.found[0].is_certain);
  EXPECT_EQ(d.found[0].interrupted, 0u);
  EXPECT_THAT(d.found[0].to_text(),
              AllOf(HasSubstr("suspected deadlock of 2 threads"),
                    HasSubstr("for semaphore \"b\", used by thread \"right\"")));
  b.release();  // somebody was there after all
  left.join();
  right.join();
}

TEST(watchdog, a_weighted_semaphore_in_the_hands_of_one_who_waits_for_its_taker) {
  dog d;
  heddle::weighted_semaphore memory(10, "memory");
  heddle::mutex m("m");
  meeting both(2);
  joining_thread large("large", [&] {
    const std::lock_guard lock(m);
    both.arrive_and_wait();
    memory.acquire(5);
    memory.release(5);
  });
  joining_thread small("small", [&] {
    memory.acquire(8);
    both.arrive_and_wait();
    try {
      const std::lock_guard lock(m);
    } catch (const heddle::deadlock_error&) {
    }
    memory.release(8);
  });
  d.find();
  EXPECT_FALSE(d.found[0].is_certain);
  memory.resize(20);
}

TEST(watchdog, waits_with_a_way_out_are_no_deadlock) {
  dog d;
  heddle::mutex a("a"), b("b");
  meeting both(2);
  std::atomic<bool> ends{false};
  joining_thread patient("patient", [&] {
    const std::lock_guard one(a);
    both.arrive_and_wait();
    const std::lock_guard other(b);
  });
  joining_thread hasty("hasty", [&] {
    const std::lock_guard one(b);
    both.arrive_and_wait();
    while (!ends) {
      if (a.try_lock_for(50ms)) a.unlock();
    }
  });
  for (int i = 0; i < 100; ++i) d.look();
  EXPECT_THAT(d.found, IsEmpty());
  ends = true;
}

TEST(watchdog, looks_by_itself) {
  const heddle_test::watchdog patience;
  heddle::binary_semaphore told(0);
  watchdog w({.period = 1ms,
              .policy = deadlock_policy::interrupt,
              .on_deadlock = [&](const deadlock&) { told.release(); }});
  crossed_locks locks("y");
  told.acquire();
  locks.join();
  EXPECT_EQ(w.deadlocks(), 1u);
  EXPECT_GE(w.scans(), 2u);
}

TEST(watchdog, two_at_a_time_both_tell) {
  dog one, other;
  crossed_locks locks("z");
  one.find();
  other.find();
  dog(deadlock_policy::interrupt).find();
  locks.join();
}

TEST(watchdog, what_a_handler_throws_is_unhandled) {
  const heddle_test::watchdog patience;
  static std::atomic<int> unhandled{0};
  unhandled = 0;
  const auto before =
      heddle::set_unhandled_handler([](std::exception_ptr) noexcept { ++unhandled; });
  {
    watchdog w({.period = 0ns,
                .policy = deadlock_policy::interrupt,
                .on_deadlock = [](const deadlock&) { throw std::runtime_error("no"); }});
    crossed_locks locks("u");
    while (unhandled == 0) w.scan();
    locks.join();
  }
  heddle::set_unhandled_handler(before);
}

TEST(watchdog, refuses_negative_times) {
  EXPECT_THROW(watchdog({.period = -1ns}), std::invalid_argument);
  EXPECT_THROW(watchdog({.long_wait = -1ns}), std::invalid_argument);
}

TEST(watchdog, tells_who_is_passed_over) {
  const heddle_test::watchdog patience;
  std::vector<heddle::starvation> told;
  watchdog w({.period = 0ns,
              .on_starvation = [&](const heddle::starvation& s) { told.push_back(s); },
              .passed_over = 100});
  heddle::lock_probe probe(heddle::wait_kind::semaphore, &told, "seats");
  probe.record(heddle::lock_recording::sampled, heddle::wait_kind::semaphore, &told);
  std::latch waits(1), may_go(1);
  joining_thread starving("starving", [&] {
    heddle::wait_record record{heddle::wait_kind::semaphore, &told, probe.name()};
    record.probe = &probe;
    const heddle::blocking_region region(record);
    waits.count_down();
    may_go.wait();
  });
  waits.wait();
  probe.passed();
  w.scan();
  for (int i = 0; i < 99; ++i) probe.passed();
  w.scan();
  EXPECT_THAT(told, IsEmpty());
  probe.passed();
  w.scan();
  w.scan();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].thread.name, "starving");
  EXPECT_EQ(told[0].passed_over, 100u);
  EXPECT_THAT(told[0].to_text(), HasSubstr("semaphore \"seats\""));
  may_go.count_down();
}

TEST(watchdog, tells_of_urgent_tasks_that_wait_for_others) {
  const heddle_test::watchdog patience;
  std::vector<heddle::priority_inversion> told;
  watchdog w({.period = 0ns,
              .on_inversion = [&](const heddle::priority_inversion& i) { told.push_back(i); }});
  heddle::thread_pool pool(named(2, "mixed"));
  heddle::mutex table("table");
  std::latch is_locked(1);
  std::atomic<bool> ends{false};
  auto low = pool.submit(heddle::priority::low, named("low", [&] {
                           const std::lock_guard lock(table);
                           is_locked.count_down();
                           while (!ends) std::this_thread::yield();
                         }));
  is_locked.wait();
  auto high =
      pool.submit(heddle::priority::high, named("high", [&] { const std::lock_guard l(table); }));
  while (told.empty()) w.scan();
  w.scan();
  ends = true;
  low.get();
  high.get();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].level, static_cast<unsigned>(heddle::priority::high));
  EXPECT_EQ(told[0].slower_level, static_cast<unsigned>(heddle::priority::low));
  EXPECT_THAT(told[0].to_text(), AllOf(HasSubstr("(task \"high\")"), HasSubstr("mutex \"table\"")));
}

TEST(watchdog, tells_long_waits_once) {
  const heddle_test::watchdog patience;
  heddle::manual_reset_event gate("gate");
  std::vector<std::string> told;
  watchdog w(
      {.period = 0ns,
       .on_long_wait = [&](const heddle::waiting_thread& t) { told.push_back(t.object_name); },
       .long_wait = 1ms});
  joining_thread t("t", [&] { gate.wait(); });
  while (told.empty()) w.scan();
  for (int i = 0; i < 10; ++i) w.scan();
  EXPECT_THAT(told, testing::ElementsAre("gate"));
  gate.set();
}

TEST(watchdog, a_child_of_fork_may_have_its_own) {
  if (HEDDLE_TSAN) GTEST_SKIP() << "ThreadSanitizer allows no threads in a forked child";
  std::optional<watchdog> w(std::in_place, watchdog_options{.period = 1ms});
  heddle::manual_reset_event gate;
  joining_thread t("t", [&] { gate.wait(); });
  const pid_t child = fork();
  if (child == 0) {
    w->scan();
    w.reset();
    const bool alone = heddle::wait_graph().waits.empty();
    dog d(deadlock_policy::interrupt);
    crossed_locks locks("child");
    d.find();
    locks.join();
    _exit(alone ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  gate.set();
}

}  // namespace
