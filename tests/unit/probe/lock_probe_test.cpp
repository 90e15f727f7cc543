#include <heddle/probe/lock_probe.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>
#include <heddle/probe/names.hpp>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::lock_probe;
using heddle::lock_recording;
using heddle::lock_statistics;
using heddle::lock_wait;
using heddle::wait_kind;

constexpr int thing = 0;  // what the probes belong to

// A switch of the process as a test wants it, and afterwards as it was.
class recording {
 public:
  explicit recording(lock_recording what) : before_(heddle::record_locks(what)) {}
  ~recording() { heddle::record_locks(before_); }
  recording(const recording&) = delete;
  recording& operator=(const recording&) = delete;

 private:
  const lock_recording before_;
};
class checking {
 public:
  explicit checking(bool on) : before_(heddle::check_locks(on)) {}
  ~checking() { heddle::check_locks(before_); }
  checking(const checking&) = delete;
  checking& operator=(const checking&) = delete;

 private:
  const bool before_;
};

void hold(lock_probe& p, std::chrono::microseconds time = 0us) {
  if (p.active()) p.acquired(&p);
  if (time != 0us) std::this_thread::sleep_for(time);
  if (p.active_at_release()) p.released();
}
void hold_after_wait(lock_probe& p, std::chrono::milliseconds time) {
  lock_wait wait(p, wait_kind::mutex, &p);
  std::this_thread::sleep_for(time);
  wait.acquired(&p);
  if (p.active_at_release()) p.released();
}

std::vector<lock_statistics> listed(const std::string& name) {
  std::vector<lock_statistics> all = heddle::lock_snapshot();
  std::erase_if(all, [&](const lock_statistics& s) { return s.name != name; });
  return all;
}

TEST(lock_probe, is_a_word_that_is_idle_while_nothing_is_recorded) {
  const checking off(false);
  EXPECT_EQ(sizeof(lock_probe), 8u);
  static constinit lock_probe p;
  EXPECT_FALSE(p.active());
  EXPECT_FALSE(p.active_at_release());
  EXPECT_EQ(p.name(), nullptr);
  EXPECT_EQ(p.statistics().acquisitions, 0u);
}

TEST(lock_probe, a_name_alone_records_nothing) {
  const checking off(false);
  std::string name = "orders";
  lock_probe p(wait_kind::mutex, nullptr, name);
  name = "gone";
  EXPECT_FALSE(p.active());
  EXPECT_STREQ(p.name(), "orders");
  ASSERT_EQ(listed("orders").size(), 1u);
  EXPECT_EQ(listed("orders")[0].acquisitions, 0u);
}

TEST(lock_probe, an_empty_name_is_none) {
  lock_probe p(wait_kind::mutex, nullptr, "");
  EXPECT_EQ(p.name(), nullptr);
}

TEST(lock_probe, counts_acquisitions_waits_and_holds_of_one_object) {
  lock_probe p(wait_kind::mutex, &thing, "counted");
  p.record(lock_recording::all, wait_kind::mutex, &p);
  for (int i = 0; i < 9; ++i) hold(p);
  hold(p, 2000us);
  hold_after_wait(p, 3ms);
  const lock_statistics s = p.statistics();
  EXPECT_EQ(s.name, "counted");
  EXPECT_EQ(s.object, &thing);
  EXPECT_EQ(s.acquisitions, 11u);
  EXPECT_EQ(s.contended, 1u);
  EXPECT_EQ(s.given_up, 0u);
  EXPECT_EQ(s.hold.count(), 11u);
  // The cycle counter is measured to some percent.
  EXPECT_GE(s.hold.longest(), 1900us);
  EXPECT_GE(s.hold.total(), s.hold.longest());
  EXPECT_EQ(s.longest_hold_site, &p);
  EXPECT_EQ(s.wait.count(), 1u);
  EXPECT_GE(s.wait.longest(), 3ms);
  EXPECT_GE(s.recorded_for, 5ms);
}

TEST(lock_probe, measures_about_one_hold_in_sixteen_when_it_samples) {
  lock_probe p(wait_kind::mutex, &thing, "sampled");
  p.record(lock_recording::sampled, wait_kind::mutex, &p);
  for (int i = 0; i < 16'000; ++i) hold(p);
  const lock_statistics s = p.statistics();
  EXPECT_EQ(s.acquisitions, 16'000u);
  EXPECT_GT(s.hold.count(), 700u);
  EXPECT_LT(s.hold.count(), 1'300u);
}

// Every second hold is another one than the others: a sample at a fixed even distance would see one
// kind only.
TEST(lock_probe, a_sample_meets_every_turn_of_a_program_that_takes_turns) {
  lock_probe p(wait_kind::mutex, &thing, "turns");
  p.record(lock_recording::sampled, wait_kind::mutex, &p);
  std::uint64_t measured[2] = {};
  for (int i = 0; i < 8'000; ++i) {
    const std::uint64_t before = p.statistics().hold.count();
    hold(p);
    measured[i % 2] += p.statistics().hold.count() - before;
  }
  EXPECT_GT(measured[0], 100u);
  EXPECT_GT(measured[1], 100u);
}

TEST(lock_probe, stops_recording_when_told) {
  const checking off(false);
  lock_probe p(wait_kind::mutex, &thing, "stopped");
  p.record(lock_recording::all, wait_kind::mutex, &p);
  hold(p);
  p.record(lock_recording::off, wait_kind::mutex, &p);
  EXPECT_FALSE(p.active());
  hold(p);
  EXPECT_EQ(p.statistics().acquisitions, 1u);
}

TEST(lock_probe, records_all_locks_of_the_process) {
  lock_probe named(wait_kind::semaphore, nullptr, "of the process");
  lock_probe unnamed;
  const recording on(lock_recording::all);
  hold(named);
  hold(unnamed);
  EXPECT_EQ(named.statistics().acquisitions, 1u);
  EXPECT_EQ(unnamed.statistics().acquisitions, 0u);  // from its first contention on
  hold_after_wait(unnamed, 1ms);
  hold(unnamed);
  const lock_statistics s = unnamed.statistics();
  EXPECT_EQ(s.acquisitions, 2u);
  EXPECT_EQ(s.contended, 1u);
  EXPECT_EQ(s.object, &unnamed);
}

TEST(lock_probe, counts_what_was_given_up) {
  lock_probe p(wait_kind::semaphore, &thing, "given up");
  p.record(lock_recording::sampled, wait_kind::semaphore, &p);
  {
    lock_wait wait(p, wait_kind::semaphore, &p);
    wait.gave_up();
  }
  try {
    const lock_wait wait(p, wait_kind::semaphore, &p);
    throw std::runtime_error("a wait that fails");
  } catch (const std::runtime_error&) {
  }
  const lock_statistics s = p.statistics();
  EXPECT_EQ(s.acquisitions, 0u);
  EXPECT_EQ(s.given_up, 2u);
  EXPECT_EQ(s.wait.count(), 2u);
}

TEST(lock_probe, several_threads_may_pass_at_once) {
  lock_probe p(wait_kind::semaphore, &thing, "passed");
  p.record(lock_recording::all, wait_kind::semaphore, &p);
  heddle_test::run_together(4, [&](unsigned) {
    for (int i = 0; i < 1000; ++i) {
      if (i % 2 == 0) {
        p.passed();
      } else {
        lock_wait wait(p, wait_kind::semaphore, &p);
        wait.passed();
      }
    }
  });
  const lock_statistics s = p.statistics();
  EXPECT_EQ(s.acquisitions, 4000u);
  EXPECT_EQ(s.contended, 2000u);
  EXPECT_EQ(s.wait.count(), 2000u);
  EXPECT_EQ(s.hold.count(), 0u);
  EXPECT_EQ(p.owner(), 0u);
}

TEST(lock_probe, knows_its_owner_when_that_is_tracked) {
  const checking off(false);
  lock_probe p;
  hold(p);
  EXPECT_EQ(p.owner(), 0u);
  const bool before = heddle::track_lock_owners(true);
  ASSERT_TRUE(p.active());
  p.acquired(nullptr);
  EXPECT_TRUE(p.owned_by_this_thread());
  std::thread([&] {
    EXPECT_FALSE(p.owned_by_this_thread());
    EXPECT_NE(p.owner(), 0u);
  }).join();
  // Whoever acquired it while owners were tracked still signs off.
  heddle::track_lock_owners(before);
  ASSERT_TRUE(p.active_at_release());
  p.released();
  EXPECT_EQ(p.owner(), 0u);
}

TEST(lock_probe, a_wait_record_finds_the_owner) {
  const bool before = heddle::track_lock_owners(true);
  lock_probe p;
  p.acquired(nullptr);
  const heddle::wait_record record{
      wait_kind::mutex, &p, nullptr, {}, [](const void* object) noexcept {
        return static_cast<const lock_probe*>(object)->owner();
      }};
  EXPECT_EQ(owner(record), heddle::prim::thread_number());
  p.released();
  EXPECT_EQ(owner(record), 0u);
  EXPECT_EQ(owner(heddle::wait_record{wait_kind::semaphore, &p}), 0u);
  heddle::track_lock_owners(before);
}

std::atomic<int> told{0};
std::string told_name;

TEST(lock_probe, tells_the_handler_of_long_waits) {
  const auto tell = [](const heddle::long_wait& w) noexcept {
    EXPECT_EQ(w.kind, wait_kind::mutex);
    EXPECT_GE(w.waited, 2ms);
    told_name = w.name;
    ++told;
  };
  lock_probe p(wait_kind::mutex, &thing, "slow");
  p.record(lock_recording::sampled, wait_kind::mutex, &p);
  heddle::set_long_wait_handler(tell, 2ms);
  hold_after_wait(p, 0ms);
  const int before = told;
  hold_after_wait(p, 3ms);
  EXPECT_EQ(told, before + 1);
  EXPECT_EQ(told_name, "slow");
  EXPECT_GE(p.statistics().long_waits, 1u);
  heddle::set_long_wait_handler(nullptr);
  hold_after_wait(p, 3ms);
  EXPECT_EQ(told, before + 1);
  EXPECT_THROW(heddle::set_long_wait_handler(tell, -1ns), std::invalid_argument);
}

TEST(lock_probe, statistics_outlive_a_named_object_and_add_up_by_name) {
  for (int i = 0; i < 3; ++i) {
    lock_probe p(wait_kind::mutex, &thing, "short-lived");
    p.record(lock_recording::all, wait_kind::mutex, &p);
    hold(p);
  }
  {
    lock_probe unused(wait_kind::mutex, nullptr, "short-lived");
  }
  const auto ended = listed("short-lived");
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].acquisitions, 3u);
  EXPECT_EQ(ended[0].hold.count(), 3u);
  EXPECT_EQ(ended[0].object, nullptr);
}

TEST(lock_probe, what_was_never_recorded_leaves_nothing_behind) {
  {
    const lock_probe p(wait_kind::mutex, nullptr, "left no trace");
  }
  EXPECT_TRUE(listed("left no trace").empty());
}

TEST(lock_probe, snapshots_are_sorted_by_total_wait) {
  lock_probe a(wait_kind::mutex, &thing, "sorted a");
  lock_probe b(wait_kind::mutex, &thing, "sorted b");
  a.record(lock_recording::all, wait_kind::mutex, &a);
  b.record(lock_recording::all, wait_kind::mutex, &b);
  hold_after_wait(a, 1ms);
  hold_after_wait(b, 4ms);
  const auto all = heddle::lock_snapshot();
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), [](const auto& x, const auto& y) {
    return x.wait.total() > y.wait.total();
  }));
}

TEST(lock_probe, names_and_snapshots_from_many_threads) {
  const recording on(lock_recording::sampled);
  heddle_test::run_together(4, [&](unsigned index) {
    for (int i = 0; i < 200; ++i) {
      lock_probe p(wait_kind::mutex, &thing, "of thread " + std::to_string(index));
      hold(p);
      if (i % 50 == 0) heddle::lock_snapshot();
    }
  });
  for (unsigned i = 0; i < 4; ++i) {
    const auto ended = listed("of thread " + std::to_string(i));
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].acquisitions, 200u);
  }
}

TEST(lock_probe, a_snapshot_never_has_more_contended_than_all) {
  const heddle_test::watchdog dog;
  lock_probe p(wait_kind::mutex, &thing, "racing");
  p.record(lock_recording::all, wait_kind::mutex, &p);
  std::atomic<bool> stop{false};
  std::thread holder([&] {
    while (!stop) {
      lock_wait wait(p, wait_kind::mutex, &p);
      wait.acquired(nullptr);
      p.released();
    }
  });
  for (int i = 0; i < 500; ++i) {
    const lock_statistics s = p.statistics();
    ASSERT_LE(s.contended, s.acquisitions);
  }
  stop = true;
  holder.join();
}

TEST(lock_probe, goes_on_in_a_forked_child) {
  lock_probe p(wait_kind::mutex, &thing, "forked");
  p.record(lock_recording::all, wait_kind::mutex, &p);
  p.acquired(nullptr);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool mine = p.owned_by_this_thread();
    p.released();
    hold(p);
    _exit(mine && p.statistics().acquisitions == 2 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  p.released();
  EXPECT_EQ(p.statistics().acquisitions, 1u);
}

using lock_probe_death = testing::Test;

TEST(lock_probe_death, misuse_ends_the_process_and_names_the_object_and_its_holder) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  lock_probe p(wait_kind::mutex, &thing, "till");
  EXPECT_DEATH(p.misused("unlock of", wait_kind::mutex, &p),
               "heddle: unlock of a mutex \"till\" \\(0x.*\\), which is held by nobody");
  EXPECT_DEATH(
      {
        std::thread([&] {
          heddle::set_current_thread_name("cashier");
          p.acquired(nullptr);
        }).join();
        p.misused("unlock of", wait_kind::mutex, &p);
      },
      "which is held by thread [0-9]+");
}

}  // namespace
