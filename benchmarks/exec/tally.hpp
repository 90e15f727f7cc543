// Counts the tasks that have run in the same cheap way for every contender, and waits for them.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace bench {

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

// Each thread counts in a line of its own, with a plain load and store: one counter for all would
// cost more than the tasks.
struct alignas(64) tally_line {
  std::atomic<std::uint64_t> tasks{0};
};
inline std::array<tally_line, 1024> tally_lines;
inline std::atomic<std::size_t> tally_lines_taken{0};
inline constinit thread_local tally_line* own_tally_line = nullptr;

inline void take_tally_line() {
  const std::size_t index = tally_lines_taken.fetch_add(1);
  if (index >= tally_lines.size()) fail("more threads than lines to count in");
  own_tally_line = &tally_lines[index];
}

// The body of an empty task.
inline void count_task() {
  if (own_tally_line == nullptr) take_tally_line();
  auto& tasks = own_tally_line->tasks;
  tasks.store(tasks.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

inline std::uint64_t tasks_counted() {
  std::uint64_t sum = 0;
  const std::size_t taken = tally_lines_taken.load();
  for (std::size_t i = 0; i < taken; ++i) sum += tally_lines[i].tasks.load();
  return sum;
}

// Blocks until so many tasks were counted since the process started. It sleeps as long as the rest
// must take at the least, so that it neither takes a core from the workers nor sleeps past the end;
// the last 20 us it looks and yields in turn. A task that is lost, or run twice, ends the process.
inline void wait_for_tasks(std::uint64_t total, double least_nanoseconds_each) {
  using clock = std::chrono::steady_clock;
  constexpr auto stuck_after = std::chrono::seconds(60);
  std::uint64_t before = 0;
  auto last_progress = clock::now();
  for (;;) {
    const std::uint64_t counted = tasks_counted();
    if (counted > total) fail("some task ran twice");
    if (counted == total) return;
    if (counted != before) {
      before = counted;
      last_progress = clock::now();
    } else if (clock::now() - last_progress > stuck_after) {
      fail(std::to_string(total - counted) + " tasks do not run");
    }
    const double rest = static_cast<double>(total - counted) * least_nanoseconds_each;
    if (rest > 20'000) {
      std::this_thread::sleep_for(std::chrono::nanoseconds(static_cast<std::int64_t>(rest)));
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace bench
