#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <heddle/kernel/descriptor_count.hpp>
#include <heddle/kernel/process_sampler.hpp>
#include <heddle/kernel/schedstat.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "child.hpp"
#include "fake_tree.hpp"
#include "few_descriptors.hpp"
#include "support/threads.hpp"

namespace {

using namespace heddle::kernel;
using heddle_test::child;
using heddle_test::fake_tree;
using heddle_test::few_descriptors;
using heddle_test::watchdog;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Ticks as the running machine counts them.
milliseconds ticks(int count) { return milliseconds(1000 * count / ::sysconf(_SC_CLK_TCK)); }

std::uint64_t open_files() { return count_descriptors().value_or(0); }

struct invented_process {
  char state = 'S';
  int parent = 1;
  int used = 0;    // ticks
  int reaped = 0;  // ticks
  int threads = 1;
  int started = 1000;
};

class process_tree : public fake_tree {
 public:
  explicit process_tree(bool has_schedstat = true, bool lists_children = true) {
    if (has_schedstat) write("proc/thread-self/schedstat", "1 1 1\n");
    if (lists_children) write("proc/thread-self/children", "");
  }

  void process(int id, const invented_process& p) {
    write("proc/" + std::to_string(id) + "/stat", line(id, p));
  }
  // The process itself for its first thread.
  void thread(int id, int thread, const std::string& schedstat, const std::string& children = "",
              char state = 'S') {
    const std::string directory =
        "proc/" + std::to_string(id) + "/task/" + std::to_string(thread) + '/';
    write(directory + "schedstat", schedstat);
    write(directory + "children", children);
    write(directory + "stat", line(thread, {state, 1, 0, 0, 1, 1000}));
  }
  // As an open file of a process that has been waited for.
  void end(int id) { write("proc/" + std::to_string(id) + "/stat", ""); }

 private:
  static std::string line(int id, const invented_process& p) {
    return std::to_string(id) + " (a) Z (b " + std::to_string(id) + ") " + p.state + ' ' +
           std::to_string(p.parent) + " 1 1 0 -1 4194304 100 0 0 0 " + std::to_string(p.used) +
           " 0 " + std::to_string(p.reaped) + " 0 20 0 " + std::to_string(p.threads) + " 0 " +
           std::to_string(p.started) + " 2703360 200 18446744073709551615\n";
  }
};

TEST(process_sampler, one_thread) {
  process_tree fake;
  fake.process(70, {});
  fake.thread(70, 70, "3000 200 5\n");
  process_sampler sampler(kinship::descendants, fake.files());
  EXPECT_TRUE(sampler.knows_waiting());
  EXPECT_EQ(sampler.sample().processes, 0);
  sampler.add(70);
  sampler.add(70);
  process_times now = sampler.sample();
  EXPECT_EQ(now.running, nanoseconds(3000));
  EXPECT_EQ(now.waiting, nanoseconds(200));
  EXPECT_EQ(now.slices, 5u);
  EXPECT_EQ(now.processes, 1);
  EXPECT_EQ(now.threads, 1);
  EXPECT_EQ(now.runnable, 0);

  fake.thread(70, 70, "4500 250 6\n");
  fake.process(70, {.state = 'R'});
  now = sampler.sample();
  EXPECT_EQ(now.running, nanoseconds(4500));
  EXPECT_EQ(now.waiting, nanoseconds(250));
  EXPECT_EQ(now.slices, 6u);
  EXPECT_EQ(now.runnable, 1);
}

TEST(process_sampler, tells_children_apart) {
  process_tree fake;
  fake.process(70, {.threads = 2});
  fake.thread(70, 70, "3000 200 5\n", "71\n");
  fake.thread(70, 72, "4000 10 1\n");
  fake.process(71, {.parent = 70});
  fake.thread(71, 71, "50 6 1\n");
  fake.process(80, {});
  fake.thread(80, 80, "100 20 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  EXPECT_FALSE(sampler.of(70));
  sampler.add(70);
  sampler.add(80);
  EXPECT_EQ(sampler.of(70)->running, nanoseconds(0));
  sampler.sample();
  EXPECT_EQ(sampler.of(70)->running, nanoseconds(7050));
  EXPECT_EQ(sampler.of(70)->waiting, nanoseconds(216));
  EXPECT_EQ(sampler.of(80)->running, nanoseconds(100));
  EXPECT_EQ(sampler.of(80)->waiting, nanoseconds(20));
  fake.thread(80, 80, "150 70 2\n");
  sampler.sample();
  EXPECT_EQ(sampler.of(80)->running, nanoseconds(150));
  EXPECT_EQ(sampler.of(80)->waiting, nanoseconds(70));
  EXPECT_EQ(sampler.of(70)->waiting, nanoseconds(216));
  sampler.retire(80);
  EXPECT_FALSE(sampler.of(80));
}

TEST(process_sampler, threads_come_and_go) {
  process_tree fake;
  fake.process(70, {.state = 'D', .threads = 3});
  fake.thread(70, 70, "1000 10 1\n");
  fake.thread(70, 71, "2000 20 2\n", "", 'R');
  fake.thread(70, 72, "3000 30 3\n", "", 'D');
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  process_times now = sampler.sample();
  EXPECT_EQ(now.running, nanoseconds(6000));
  EXPECT_EQ(now.waiting, nanoseconds(60));
  EXPECT_EQ(now.slices, 6u);
  EXPECT_EQ(now.threads, 3);
  EXPECT_EQ(now.runnable, 1);
  EXPECT_EQ(now.disk_sleep, 2);

  fake.remove("proc/70/task/72");
  fake.thread(70, 73, "100 7 1\n");
  fake.process(70, {.used = 1, .threads = 3});
  now = sampler.sample();
  EXPECT_EQ(now.waiting, nanoseconds(67)) << "what the ended thread has waited stays";
  EXPECT_EQ(now.running, ticks(1)) << "the process's own count knows of ended threads";

  fake.remove("proc/70/task/71");
  fake.remove("proc/70/task/73");
  fake.process(70, {.used = 2});
  now = sampler.sample();
  EXPECT_EQ(now.threads, 1);
  EXPECT_EQ(now.waiting, nanoseconds(67));
}

TEST(process_sampler, descendants_by_the_kernels_lists) {
  process_tree fake;
  fake.process(70, {.threads = 2});
  fake.thread(70, 70, "1000 10 1\n", "80 ");
  fake.thread(70, 71, "1000 10 1\n", "81 ");
  fake.process(80, {.parent = 70});
  fake.thread(80, 80, "1000 10 1\n", "90 91 ");
  for (const int id : {81, 90, 91}) {
    fake.process(id, {});
    fake.thread(id, id, "1000 10 1\n");
  }
  process_sampler family(kinship::descendants, fake.files());
  family.add(70);
  EXPECT_EQ(family.sample().processes, 5);
  EXPECT_EQ(family.sample().threads, 6);
  EXPECT_EQ(family.sample().running, nanoseconds(6000));

  process_sampler one(kinship::alone, fake.files());
  one.add(70);
  EXPECT_EQ(one.sample().processes, 1);
  EXPECT_EQ(one.sample().running, nanoseconds(2000));
}

TEST(process_sampler, descendants_by_their_parents) {
  process_tree fake(true, false);
  fake.process(70, {});
  fake.thread(70, 70, "1000 10 1\n");
  fake.process(80, {.parent = 70});
  fake.thread(80, 80, "1000 10 1\n");
  fake.process(90, {.parent = 80});
  fake.thread(90, 90, "1000 10 1\n");
  fake.process(91, {.parent = 1});
  fake.thread(91, 91, "1000 10 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().processes, 3);
  EXPECT_EQ(sampler.sample().waiting, nanoseconds(30));
}

TEST(process_sampler, a_number_that_was_a_descendants_may_be_a_strangers) {
  process_tree fake(true, false);
  fake.process(70, {});
  fake.thread(70, 70, "0 0 1\n");
  fake.process(80, {.parent = 70});
  fake.thread(80, 80, "0 0 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().processes, 2);
  fake.end(80);
  EXPECT_EQ(sampler.sample().processes, 1);
  fake.process(80, {.parent = 1, .started = 2000});
  EXPECT_EQ(sampler.sample().processes, 1);
}

TEST(process_sampler, a_process_goes_on_without_its_first_thread) {
  process_tree fake;
  fake.process(70, {.state = 'Z', .threads = 2});
  fake.thread(70, 70, "0 10 1\n", "", 'Z');
  fake.thread(70, 71, "0 20 1\n", "", 'R');
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  const process_times now = sampler.sample();
  EXPECT_EQ(now.processes, 1);
  EXPECT_EQ(now.waiting, nanoseconds(30));
  EXPECT_EQ(now.runnable, 1);
}

TEST(process_sampler, alone_leaves_out_descendants_waited_for) {
  process_tree fake;
  fake.process(70, {.used = 5, .reaped = 300});
  fake.thread(70, 70, "0 0 1\n");
  process_sampler sampler(kinship::alone, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().running, ticks(5));
}

TEST(process_sampler, closes_the_files_of_what_has_ended) {
  process_tree fake;
  fake.process(70, {.threads = 2});
  fake.thread(70, 70, "0 0 1\n", "80");
  fake.thread(70, 71, "0 0 1\n");
  fake.process(80, {});
  fake.thread(80, 80, "0 0 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  const std::uint64_t before = open_files();
  sampler.add(70);
  sampler.sample();
  EXPECT_EQ(open_files(), before + 9) << "three for each thread, or process of one";
  fake.end(80);
  fake.remove("proc/70/task/71");
  fake.thread(70, 72, "0 0 1\n");
  sampler.sample();
  fake.remove("proc/70/task/72");
  fake.process(70, {});
  sampler.sample();
  EXPECT_EQ(open_files(), before + 3);
  sampler.retire(70);
  EXPECT_EQ(open_files(), before);
}

TEST(process_sampler, time_of_descendants_waited_for_is_counted_once) {
  process_tree fake;
  fake.process(70, {});
  fake.thread(70, 70, "0 0 1\n", "80");
  fake.process(80, {.used = 300});
  fake.thread(80, 80, "0 0 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().running, ticks(300));

  fake.process(80, {.state = 'Z', .used = 305});
  EXPECT_EQ(sampler.sample().running, ticks(305)) << "ended, and not waited for";
  EXPECT_EQ(sampler.sample().processes, 1);

  fake.end(80);
  fake.thread(70, 70, "0 0 1\n", "");
  fake.process(70, {.reaped = 304});
  EXPECT_EQ(sampler.sample().running, ticks(305)) << "rounded down, yet nothing is taken back";
  fake.process(70, {.reaped = 309});
  EXPECT_EQ(sampler.sample().running, ticks(309)) << "others ran between two samples";
}

TEST(process_sampler, time_of_descendants_nobody_waits_for_stays) {
  process_tree fake;
  fake.process(70, {.used = 10});
  fake.thread(70, 70, "0 0 1\n", "80");
  fake.process(80, {.used = 300});
  fake.thread(80, 80, "0 0 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().running, ticks(310));
  fake.end(80);
  EXPECT_EQ(sampler.sample().running, ticks(310));
  fake.process(70, {.used = 15});
  EXPECT_EQ(sampler.sample().running, ticks(315));
}

TEST(process_sampler, a_descendant_stays_when_its_parent_ends) {
  process_tree fake;
  fake.process(70, {});
  fake.thread(70, 70, "0 0 1\n", "80");
  fake.process(80, {});
  fake.thread(80, 80, "0 0 1\n", "90");
  fake.process(90, {});
  fake.thread(90, 90, "0 0 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().processes, 3);
  fake.end(80);
  fake.thread(70, 70, "0 0 1\n", "");
  fake.thread(90, 90, "0 77 2\n");
  EXPECT_EQ(sampler.sample().processes, 2);
  EXPECT_EQ(sampler.sample().waiting, nanoseconds(77));
}

TEST(process_sampler, a_child_that_is_retired_leaves_its_times) {
  process_tree fake;
  for (const int id : {70, 71}) {
    fake.process(id, {.used = 20});
    fake.thread(id, id, "0 5 1\n");
  }
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  sampler.add(71);
  EXPECT_EQ(sampler.sample().running, ticks(40));
  sampler.retire(70);
  EXPECT_EQ(sampler.sample().running, ticks(40));
  EXPECT_EQ(sampler.sample().waiting, nanoseconds(10));
  EXPECT_EQ(sampler.sample().processes, 1);
  sampler.retire(71, ticks(25));
  EXPECT_EQ(sampler.sample().running, ticks(45));
  sampler.retire(71, ticks(99));
  sampler.retire(5, ticks(99));
  EXPECT_EQ(sampler.sample().running, ticks(45)) << "these were not in";
}

TEST(process_sampler, a_child_that_ends_before_the_first_look) {
  process_tree fake;
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  const process_times now = sampler.sample();
  EXPECT_EQ(now.processes, 0);
  EXPECT_EQ(now.running, nanoseconds(0));
  sampler.retire(70, ticks(3));
  EXPECT_EQ(sampler.sample().running, ticks(3));
}

TEST(process_sampler, another_process_with_the_number_is_not_taken_for_the_child) {
  process_tree fake;
  const few_descriptors limit(heddle_test::none_to_hold());
  fake.process(70, {.used = 20});
  fake.thread(70, 70, "0 5 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  sampler.sample();
  fake.process(70, {.used = 500, .started = 2000});
  const process_times now = sampler.sample();
  EXPECT_EQ(now.running, ticks(20));
  EXPECT_EQ(now.processes, 0);
}

TEST(process_sampler, works_without_descriptors_to_spare) {
  process_tree fake;
  const few_descriptors limit(heddle_test::none_to_hold());
  fake.process(70, {.threads = 2});
  fake.thread(70, 70, "1000 10 1\n", "80");
  fake.thread(70, 71, "1000 10 1\n");
  fake.process(80, {});
  fake.thread(80, 80, "500 5 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().running, nanoseconds(2500));
  fake.remove("proc/80");
  fake.remove("proc/70/task/71");
  fake.process(70, {});
  const process_times now = sampler.sample();
  EXPECT_EQ(now.running, nanoseconds(2500));
  EXPECT_EQ(now.waiting, nanoseconds(25));
  EXPECT_EQ(now.processes, 1);
}

TEST(process_sampler, without_schedstat_has_ticks_and_states) {
  process_tree fake(false);
  fake.process(70, {.state = 'R', .used = 7, .threads = 2});
  fake.thread(70, 70, "1000 10 1\n");
  fake.thread(70, 71, "1000 10 1\n", "", 'R');
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_FALSE(sampler.knows_waiting());
  const process_times now = sampler.sample();
  EXPECT_EQ(now.running, ticks(7));
  EXPECT_EQ(now.waiting, nanoseconds(0));
  EXPECT_EQ(now.runnable, 2);
}

TEST(process_sampler, of_a_tree_that_tells_nothing) {
  fake_tree fake;
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().processes, 0);
  EXPECT_FALSE(sampler.knows_waiting());
}

TEST(process_sampler, malformed_is_absent) {
  process_tree fake;
  for (const char* bad : {"", "70", "70 (a", "70 (a) S", "70 (a) SS 1 1 1", "70 (a) S 1 1 1 0 -1 4",
                          "70 (a) S 1 1 1 0 -1 4 1 0 0 0 -5 0 0 0 20 0 1 0 1000 2"}) {
    fake.write("proc/70/stat", bad);
    process_sampler sampler(kinship::descendants, fake.files());
    sampler.add(70);
    EXPECT_EQ(sampler.sample().processes, 0) << bad;
  }
}

TEST(process_sampler, many_children_in_one_list) {
  process_tree fake;
  std::string list;
  for (int id = 1'000'000; id < 1'001'000; ++id) list += std::to_string(id) + ' ';
  fake.process(70, {});
  fake.thread(70, 70, "0 0 1\n", list);
  fake.process(1'000'999, {});
  fake.thread(1'000'999, 1'000'999, "0 40 1\n");
  process_sampler sampler(kinship::descendants, fake.files());
  sampler.add(70);
  EXPECT_EQ(sampler.sample().waiting, nanoseconds(40)) << "the last of them, the only one there";
}

// Samples until `is_enough` says so; the sampler's times may only grow meanwhile.
template <class Enough>
process_times sample_until(process_sampler& sampler, Enough is_enough) {
  const watchdog patience;
  process_times last;
  while (true) {
    const process_times now = sampler.sample();
    EXPECT_GE(now.running, last.running);
    EXPECT_GE(now.waiting, last.waiting);
    EXPECT_GE(now.slices, last.slices);
    if (is_enough(now)) return now;
    last = now;
    std::this_thread::sleep_for(milliseconds(1));
  }
}

TEST(process_sampler, of_a_child_that_computes) {
  process_sampler sampler;
  child worker([] { heddle_test::compute_forever(); });
  sampler.add(worker.id());
  const process_times seen =
      sample_until(sampler, [](const process_times& now) { return now.running > milliseconds(5); });
  EXPECT_EQ(seen.processes, 1);
  const pid_t id = worker.id();
  const nanoseconds total = worker.end();
  EXPECT_EQ(sampler.sample().processes, 0);
  EXPECT_EQ(sampler.sample().running, seen.running) << "the last sample stands";
  sampler.retire(id, total);
  EXPECT_GE(sampler.sample().running, total);
}

TEST(process_sampler, of_a_grandchild_that_computes) {
  if (!tree{}.exists("proc/self/stat")) GTEST_SKIP() << "there is no /proc";
  process_sampler sampler;
  child parent([] {
    if (::fork() == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      heddle_test::compute_forever();
    }
    heddle_test::sleep_forever();
  });
  sampler.add(parent.id());
  const process_times seen = sample_until(
      sampler, [](const process_times& now) { return now.running > milliseconds(30); });
  EXPECT_EQ(seen.processes, 2);
  EXPECT_GE(seen.threads, 2);
}

TEST(process_sampler, of_a_child_without_descriptors_to_spare) {
  const few_descriptors limit(heddle_test::none_to_hold());
  process_sampler sampler;
  const child worker([] { heddle_test::compute_forever(); });
  sampler.add(worker.id());
  const process_times seen =
      sample_until(sampler, [](const process_times& now) { return now.running > milliseconds(5); });
  EXPECT_EQ(seen.processes, 1);
}

TEST(process_sampler, moves) {
  process_tree fake;
  fake.process(70, {});
  fake.thread(70, 70, "3000 200 5\n");
  process_sampler one(kinship::descendants, fake.files());
  one.add(70);
  process_sampler other(std::move(one));
  EXPECT_EQ(other.sample().slices, 5u);
  other = process_sampler(kinship::alone, fake.files());
  EXPECT_EQ(other.sample().slices, 0u);
}

}  // namespace
