// -j auto around a law that does as the test says.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <heddle/process/child.hpp>
#include <heddle/process/event_loop.hpp>

#include "heddle/adaptive_slots.hpp"
#include "heddle/job_meter.hpp"
#include "heddle/surroundings.hpp"

namespace {

using namespace heddle::tool;
using namespace std::chrono_literals;
namespace process = heddle::process;
namespace sizing = heddle::sizing;
using clock_type = std::chrono::steady_clock;

// Doubles the size at each window, and remembers what it was told.
class doubling_law final : public sizing::law {
 public:
  static inline std::vector<sizing::window> windows;

  static std::unique_ptr<sizing::law> make() {
    windows.clear();
    return std::make_unique<doubling_law>();
  }
  sizing::choice first(double, int, int) override {
    return {3, sizing::cause::start, "it begins", 1ms};
  }
  sizing::choice next(const sizing::window& now) override {
    windows.push_back(now);
    return {2 * now.size, sizing::cause::trial, "it doubles", 1ms};
  }
};

struct adaptive_slots_test : testing::Test, sizing_listener {
  void on_choice(const sizing::logged_choice& choice) noexcept override {
    choices.push_back(choice);
  }
  void on_more_slots() noexcept override { loop.stop(); }
  void on_blindness() noexcept override { ++blind; }

  adaptive_slots::options options(heddle::kernel::tree files = {}) const {
    return {.most = 10, .make_law = &doubling_law::make, .files = std::move(files)};
  }
  void run() {
    loop.restart();
    loop.run();
  }

  process::event_loop loop;
  std::vector<sizing::logged_choice> choices;
  int blind = 0;
};

TEST_F(adaptive_slots_test, follows_the_law_within_its_bounds) {
  adaptive_slots slots(loop, options(), *this);
  EXPECT_EQ(slots.slots(), 3u);
  slots.on_limit(7);
  run();
  EXPECT_EQ(slots.slots(), 6u);
  slots.on_limit(5);
  run();
  EXPECT_EQ(slots.slots(), 10u) << "no more than allowed";
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[0].before, 3);
  EXPECT_EQ(choices[0].after, 6);
  EXPECT_EQ(choices[0].reason, "it doubles");
  ASSERT_EQ(doubling_law::windows.size(), 2u);
  EXPECT_EQ(doubling_law::windows[0].size, 3);
  EXPECT_EQ(doubling_law::windows[0].queued, 7u);
  EXPECT_GT(doubling_law::windows[0].length.count(), 0);
  EXPECT_GE(doubling_law::windows[1].end, doubling_law::windows[0].end);
  EXPECT_EQ(doubling_law::windows[1].queued, 5u);
  const sizing_log& log = slots.log();
  EXPECT_EQ(log.choices, 3u);
  EXPECT_EQ(log.first.front().after, 3);
  EXPECT_EQ(log.first.back().after, 10);
  EXPECT_GT(log.cost.count(), 0);
}

TEST_F(adaptive_slots_test, rests_while_there_are_slots_to_spare) {
  adaptive_slots slots(loop, options(), *this);
  slots.on_limit(1);
  slots.on_shortage();
  run();
  ASSERT_EQ(doubling_law::windows.size(), 1u);
  EXPECT_EQ(doubling_law::windows[0].queued, 0u) << "somebody waited for inputs";
  process::timer later(
      loop, [](void* l) noexcept { static_cast<process::event_loop*>(l)->stop(); }, &loop);
  later.arm(clock_type::now() + 50ms);
  run();
  EXPECT_EQ(doubling_law::windows.size(), 1u) << "nothing to decide";
  slots.on_limit(1);
  run();
  EXPECT_EQ(doubling_law::windows.size(), 2u);
}

TEST_F(adaptive_slots_test, says_once_that_it_sees_little) {
  const std::string nothing = testing::TempDir() + "heddle-no-proc";
  std::filesystem::create_directories(nothing);
  adaptive_slots slots(loop, options(heddle::kernel::tree(nothing)), *this);
  for (int i = 0; i < 2; ++i) {
    slots.on_limit(1);
    run();
  }
  EXPECT_EQ(blind, 1);
  EXPECT_EQ(slots.slots(), 10u);
  EXPECT_FALSE(doubling_law::windows.back().knows_runnable);
  EXPECT_FALSE(slots.log().knows_waiting);
}

TEST(sizing_log, keeps_the_first_and_the_last_choices) {
  sizing_log log;
  for (int i = 1; i <= 1000; ++i) log.add({.after = i});
  EXPECT_EQ(log.choices, 1000u);
  EXPECT_EQ(log.first.front().after, 1);
  EXPECT_EQ(log.first.size(), sizing_log::most_kept);
  EXPECT_EQ(log.last.size(), sizing_log::most_kept);
  EXPECT_EQ(log.last.back().after, 1000);
}

TEST(job_meter, adds_up_the_time_that_jobs_run) {
  const auto start = clock_type::now();
  job_meter meter(start);
  constexpr pid_t nobody = 0x3fffffff;
  meter.on_start(start + 10ms, nobody);
  meter.on_start(start + 20ms, nobody - 1);
  EXPECT_EQ(meter.read(start + 30ms).busy, 30ms);
  meter.on_end(start + 40ms, nobody, {});
  const job_times times = meter.read(start + 50ms);
  EXPECT_EQ(times.busy, 60ms);
  EXPECT_EQ(times.jobs, 1);
}

// Whether or not a job was sampled, in the end all its CPU time is counted.
class job_meter_test : public testing::TestWithParam<bool>, protected process::exit_handler {
 public:
  void on_exit(const process::exit_report& r) noexcept override {
    report = r;
    loop.stop();
  }
  process::event_loop loop;
  std::optional<process::exit_report> report;
};

TEST_P(job_meter_test, counts_all_CPU_time) {
  job_meter meter(clock_type::now());
  const auto before = meter.read(clock_type::now()).computing;
  process::child job(
      loop,
      {.argv = {"sh", "-c", "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; kill -STOP $$"}},
      *this);
  meter.on_start(clock_type::now(), job.pid());
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(job.pid()), &info, WSTOPPED | WNOWAIT), 0);
  if (GetParam()) {
    EXPECT_GT(meter.read(clock_type::now()).computing, before);
  }
  meter.before_reap(job.pid());
  job.signal(SIGCONT);
  loop.run();
  meter.on_end(clock_type::now(), job.pid(), *report);
  const job_times after = meter.read(clock_type::now());
  EXPECT_GE(after.computing - before, report->user + report->system);
  EXPECT_GT(report->user.count(), 0);
  EXPECT_EQ(after.jobs, 0);
}
INSTANTIATE_TEST_SUITE_P(sampled, job_meter_test, testing::Bool());

TEST(surroundings, tells_cores_and_room) {
  const auto now = clock_type::now();
  surroundings machine(now);
  EXPECT_GT(machine.cores(now), 0);
  EXPECT_EQ(machine.room(now, 0, {}, 1).most, 1);
  EXPECT_FALSE(machine.read_load(now, 0ns).knows_foreign) << "it takes two looks";
}

}  // namespace
