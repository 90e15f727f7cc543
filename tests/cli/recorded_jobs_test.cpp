// What -j auto makes of jobs and machines as the kernel describes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <heddle/process/event_loop.hpp>

#include "heddle/adaptive_slots.hpp"
#include "heddle/job_meter.hpp"
#include "heddle/surroundings.hpp"
#include "unit/kernel/fake_tree.hpp"

namespace {

using namespace heddle::tool;
using namespace std::chrono_literals;
namespace process = heddle::process;
namespace sizing = heddle::sizing;
using heddle_test::fake_tree;
using std::chrono::nanoseconds;
using testing::HasSubstr;
using clock_type = std::chrono::steady_clock;

constexpr pid_t job = 0x3ffffff0;  // no process has this number

class job_tree : public fake_tree {
 public:
  explicit job_tree(bool has_schedstat = true) {
    if (has_schedstat) write("proc/thread-self/schedstat", "1 1 1\n");
    write("proc/thread-self/children", "");
  }
  // So long the job's threads have run and waited for a CPU since they began.
  void threads(const std::vector<std::pair<nanoseconds, nanoseconds>>& times) {
    const std::string directory = "proc/" + std::to_string(job);
    nanoseconds used{};
    for (std::size_t i = 0; i < times.size(); ++i) {
      const std::string thread = directory + "/task/" + std::to_string(job + static_cast<pid_t>(i));
      write(thread + "/schedstat", std::to_string(times[i].first.count()) + ' ' +
                                       std::to_string(times[i].second.count()) + " 1\n");
      write(thread + "/stat", line(1, {}));
      write(thread + "/children", "");
      used += times[i].first;
    }
    write(directory + "/stat", line(times.size(), used));
  }

 private:
  static std::string line(std::size_t threads, nanoseconds used) {
    std::ostringstream text;
    text << job << " (x) R 1 1 1 0 -1 0 0 0 0 0 " << used * ::sysconf(_SC_CLK_TCK) / 1s
         << " 0 0 0 20 0 " << threads << " 0 1000 0 0\n";
    return text.str();
  }
};

struct meter_test : testing::Test {
  job_times at(nanoseconds time, std::vector<std::pair<nanoseconds, nanoseconds>> threads) {
    tree.threads(threads);
    return meter.read(start + time);
  }

  const clock_type::time_point start = clock_type::now();
  job_tree tree;
  job_meter meter{start, tree.files()};
};

TEST_F(meter_test, several_threads_of_a_job_are_awake_at_once) {
  meter.on_start(start, job);
  EXPECT_EQ(at(100ms, {{100ms, 0ms}}).excess, 0ms);
  EXPECT_EQ(at(200ms, {{200ms, 0ms}, {100ms, 0ms}}).excess, 100ms);
  EXPECT_EQ(at(300ms, {{250ms, 50ms}, {150ms, 50ms}}).excess, 200ms);
  EXPECT_EQ(at(400ms, {{250ms, 50ms}, {250ms, 50ms}}).excess, 200ms) << "one slept";
}

TEST_F(meter_test, waiting_that_is_booked_late_is_no_other_thread) {
  meter.on_start(start, job);
  EXPECT_EQ(at(20ms, {{10ms, 0ms}}).excess, 0ms);
  EXPECT_EQ(at(40ms, {{10ms, 0ms}}).excess, 0ms);
  EXPECT_EQ(at(60ms, {{15ms, 45ms}}).excess, 0ms) << "it has waited for 45 ms, not for 20";
}

TEST_F(meter_test, sleep_of_long_ago_does_not_hide_other_threads) {
  meter.on_start(start, job);
  EXPECT_EQ(at(10s, {{1ms, 0ms}}).excess, 0ms);
  EXPECT_EQ(at(11s, {{1001ms, 0ms}, {1000ms, 0ms}}).excess, 900ms) << "all but a late booking";
}

TEST_F(meter_test, a_job_that_was_never_sampled_may_have_threads_too) {
  meter.on_start(start, job);
  process::exit_report report;
  report.started = start;
  report.ended = start + 50ms;
  report.user = 80ms;
  report.system = 40ms;
  meter.on_end(start + 50ms, job, report);
  EXPECT_EQ(meter.read(start + 60ms).excess, 70ms);
}

TEST_F(meter_test, the_end_of_a_job_counts_what_was_not_sampled) {
  meter.on_start(start, job);
  at(100ms, {{100ms, 0ms}, {100ms, 0ms}});
  process::exit_report report;
  report.started = start;
  report.ended = start + 150ms;
  report.user = 300ms;
  meter.on_end(start + 150ms, job, report);
  EXPECT_EQ(meter.read(start + 160ms).excess, 150ms);
}

TEST(job_meter_without_schedstat, goes_by_CPU_time) {
  job_tree tree(false);
  const auto start = clock_type::now();
  job_meter meter(start, tree.files());
  EXPECT_FALSE(meter.knows_waiting());
  meter.on_start(start, job);
  tree.threads({{0ms, 0ms}, {0ms, 0ms}});
  const auto before = meter.read(start + 1ms);
  tree.threads({{1s, 1s}, {1s, 1s}});
  const auto after = meter.read(start + 1001ms);
  EXPECT_FALSE(after.knows_runnable);
  EXPECT_GE(after.computing - before.computing, 2s);
  EXPECT_EQ(after.runnable, before.runnable);
  EXPECT_EQ(after.excess - before.excess, 999ms);
}

// Remembers what it is told.
class listening_law final : public sizing::law {
 public:
  static inline std::vector<sizing::window> windows;
  static inline int answer = 1;
  static inline double cores = 0;

  static std::unique_ptr<sizing::law> make() {
    windows.clear();
    answer = 1;
    return std::make_unique<listening_law>();
  }
  sizing::choice first(double usable, int, int) override {
    cores = usable;
    return {1, sizing::cause::start, "one worker for a start", 1ms};
  }
  sizing::choice next(const sizing::window& now) override {
    windows.push_back(now);
    return {std::min(answer, now.most), sizing::cause::idle_cores, "3.0 workers sleep", 1ms};
  }
};

struct recorded_slots_test : testing::Test, sizing_listener {
  void on_choice(const sizing::logged_choice& choice) noexcept override { last = choice; }
  void on_more_slots() noexcept override {}
  void on_blindness() noexcept override { ++blind; }

  // What the law is told of the time up to now.
  sizing::window look() {
    const std::size_t before = listening_law::windows.size();
    slots->on_limit(5);
    process::timer watch(
        loop, [](void* l) noexcept { static_cast<process::event_loop*>(l)->stop(); }, &loop);
    while (listening_law::windows.size() == before) {
      watch.arm(clock_type::now() + 2ms);
      loop.restart();
      loop.run();
    }
    slots->on_shortage();
    return listening_law::windows[before];
  }
  void begin(int most = 100) {
    slots.emplace(loop,
                  adaptive_slots::options{
                      .most = most, .make_law = &listening_law::make, .files = tree.files()},
                  *this);
  }

  void quota(const std::string& text) {
    tree.write("proc/self/cgroup", "0::/a\n");
    tree.write("proc/self/mountinfo", "31 23 0:28 / /cg rw - cgroup2 cgroup2 rw\n");
    tree.write("proc/self/status", "Cpus_allowed_list:\t0-7\n");
    tree.write("cg/a/cpu.max", text);
  }

  process::event_loop loop;
  job_tree tree;
  std::optional<adaptive_slots> slots;
  sizing::logged_choice last;
  int blind = 0;
};

TEST_F(recorded_slots_test, the_law_counts_a_job_of_many_threads_once) {
  begin();
  tree.threads({{0ms, 0ms}, {0ms, 0ms}});
  slots->on_start(job);
  look();
  // Beyond measure, so that the time that really passes does not matter.
  tree.threads({{1ms, 1000s}, {1ms, 1000s}});
  const sizing::window crowded = look();
  EXPECT_LE(crowded.busy, 1.001);
  EXPECT_LE(crowded.runnable * crowded.length, 1.001 * crowded.length + 100ms)
      << "two threads wait, but it is one job, and a late booking";
  tree.threads({{1000s, 1000s}, {1000s, 1000s}});
  const sizing::window wide = look();
  EXPECT_GT(wide.computing, 10) << "cores are cores";
  EXPECT_LE(wide.runnable, 0.001);
  EXPECT_NEAR(wide.busy, wide.computing, 2) << "nobody is asleep";
}

TEST_F(recorded_slots_test, reasons_are_about_jobs_and_tell_what_there_is_no_room_for) {
  tree.write("proc/self/limits", "Max open files  220  220  files\n");
  begin();
  EXPECT_EQ(slots->log().first.front().reason, "one job for a start");
  listening_law::answer = 1000;
  look();
  EXPECT_EQ(last.after, 36) << "a third of half the limit";
  EXPECT_EQ(last.reason,
            "3.0 jobs sleep; there is room for no more: the limit of open files allows 220, half "
            "of which may go to jobs");
}

TEST_F(recorded_slots_test, a_fifth_of_a_core_is_one_job) {
  quota("20000 100000\n");
  begin();
  EXPECT_DOUBLE_EQ(listening_law::cores, 0.2);
  EXPECT_DOUBLE_EQ(look().cores, 0.2);
  EXPECT_EQ(sizing::make_adaptive_law()->first(0.2, 1, 100).size, 1);
}

TEST_F(recorded_slots_test, windows_pay_for_the_looks_before_them) {
  quota("400000 100000\n");
  begin();
  const auto start = clock_type::now();
  slots->on_limit(5);
  EXPECT_GT(slots->log().cost.count(), 0) << "a window begins with a look";
  look();
  look();
  const std::chrono::duration<double> cost = slots->log().cost;
  look();
  EXPECT_GE(clock_type::now() - start,
            std::min<std::chrono::duration<double>>(cost / (4 * 0.005), 10s) - 1us);
}

struct room_test : testing::Test {
  room_test() {
    tree.write("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n");
    tree.write("proc/self/status", "Uid:\t1000\t1000\t1000\t1000\n");
    stalled(0ms);
  }
  void stalled(std::chrono::microseconds total) {
    const std::string line = " avg10=0.00 avg60=0.00 avg300=0.00 total=";
    tree.write("proc/pressure/memory", "some" + line + std::to_string(total.count()) + "\nfull" +
                                           line + std::to_string(total.count()) + "\n");
  }
  void threads_of_others(int count) {
    tree.write("proc/77/status",
               "Uid:\t1000\t1000\t1000\t1000\nThreads:\t" + std::to_string(count) + "\n");
  }

  fake_tree tree;
  const clock_type::time_point start = clock_type::now();
};

TEST_F(room_test, brake_minds_half_a_second_of_stalls) {
  surroundings machine(start, tree.files());
  machine.room(start, 1, {}, 100);
  stalled(40ms);
  EXPECT_EQ(machine.room(start + 10s, 2, {}, 100).most, 100);
  stalled(440ms);
  EXPECT_EQ(machine.room(start + 10400ms, 3, {}, 100).most, 100) << "not 400 ms of 400";
  stalled(2440ms);
  const auto braked = machine.room(start + 20s, 4, {}, 100);
  EXPECT_EQ(braked.most, 4);
  EXPECT_THAT(braked.reason, HasSubstr("memory is short"));
}

TEST_F(room_test, is_looked_at_once_a_second) {
  surroundings machine(start, tree.files());
  EXPECT_EQ(machine.room(start, 5, {}, 100).most, 100);
  tree.write("proc/self/limits", "Max open files  60  60  files\n");
  EXPECT_EQ(machine.room(start + 999ms, 5, {}, 100).most, 100);
  EXPECT_EQ(machine.room(start + 10s, 5, {}, 100).most, 30);
}

TEST_F(room_test, limits_of_the_users_threads_hold) {
  tree.write("proc/self/limits", "Max processes  160  160  processes\n");
  tree.write("proc/loadavg", "0 0 0 1/49 1\n");
  threads_of_others(1000);
  surroundings machine(start, tree.files());
  EXPECT_EQ(machine.room(start, 0, {}, 100).most, 100) << "49 threads of all users leave room";
  EXPECT_EQ(machine.room(start + 10s, 0, {}, 102).most, 1) << "else those of the user are counted";
  threads_of_others(120);
  const auto counted = machine.room(start + 20s, 10, {}, 1000);
  EXPECT_EQ(counted.most, 10 + 30);
  EXPECT_THAT(counted.reason, HasSubstr("limit of threads allows 160, of which 120 are in use"));

  tree.remove("proc/77");
  tree.remove("proc/self/status");
  EXPECT_EQ(machine.room(start + 30s, 10, {}, 1000).most, 10 + 101)
      << "at least those of all users";
  tree.remove("proc/loadavg");
  EXPECT_EQ(machine.room(start + 40s, 10, {}, 1000).most, 80) << "half, when nothing is known";
}

}  // namespace
