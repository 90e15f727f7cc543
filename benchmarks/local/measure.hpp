// How the rows of group local are measured, the same for every contender.
//
// A contender's program names the rows that it has, each with the name of the contender in front
// where the program has several: `main` is
//   return bench::run(argc, argv, {{"mutex increment", bench::increment<with_mutex>}, ...});
//
// A row is run by so many threads, each pinned: to the CPUs there are, one after the other. It is
// done as often as takes 15 ms or more, several times, and the median counts: of the time from when
// the first thread begins to when the last one ends, divided by the operations of all threads. So
// two threads that do not hinder each other show half of what one shows.
//
// No row is run by the only thread of a process: the C library leaves out the atomic instructions
// of its mutex and of its allocator there.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <map>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace bench {

inline constexpr std::size_t repetitions = 5;
inline constexpr double least_nanoseconds = 15e6;

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

// The n-th of the CPUs that this process may use, taken in turn.
inline void pin_to(unsigned n) {
  static const cpu_set_t allowed = [] {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) fail("sched_getaffinity");
    return set;
  }();
  unsigned left = n % static_cast<unsigned>(CPU_COUNT(&allowed));
  unsigned cpu = 0;
  while (!CPU_ISSET(cpu, &allowed) || left-- != 0) ++cpu;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (pthread_setaffinity_np(pthread_self(), sizeof one, &one) != 0) fail("pthread_setaffinity_np");
}

// Whatever memory the compiler can not account for may have been read and written here.
inline void clobber() { asm volatile("" ::: "memory"); }

struct cost {
  double wall = 0;  // ns from the first thread's beginning to the last one's end
  double cpu = 0;   // ns of CPU time of all threads together
};

inline double cpu_nanoseconds_of_thread() {
  timespec now{};
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) fail("clock_gettime");
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

// Has each of so many pinned threads call body(i, timed), which calls timed(work) once: `work` is
// what counts, and begins on all threads together.
template <class Body>
cost together(unsigned threads, Body body) {
  using clock = std::chrono::steady_clock;
  std::barrier start(static_cast<std::ptrdiff_t>(threads));
  std::vector<clock::time_point> begun(threads);
  std::vector<clock::time_point> ended(threads);
  std::vector<double> cpu(threads);
  std::vector<std::thread> team;
  for (unsigned i = 0; i < threads; ++i) {
    team.emplace_back([&, i] {
      pin_to(i);
      body(i, [&](auto work) {
        start.arrive_and_wait();
        const double cpu_before = cpu_nanoseconds_of_thread();
        begun[i] = clock::now();
        work();
        ended[i] = clock::now();
        cpu[i] = cpu_nanoseconds_of_thread() - cpu_before;
      });
    });
  }
  for (std::thread& one : team) one.join();
  const std::chrono::duration<double, std::nano> wall =
      *std::max_element(ended.begin(), ended.end()) - *std::min_element(begun.begin(), begun.end());
  cost all{wall.count(), 0};
  for (const double one : cpu) all.cpu += one;
  return all;
}

// The median of wall and of CPU time of an operation, in ns. once(each) does `each` operations on
// each of so many threads.
template <class F>
cost median_of(unsigned threads, F once) {
  std::uint64_t each = 10'000;
  // Twice, as one of the two may have been held up by others.
  while (std::min(once(each).wall, once(each).wall) < least_nanoseconds) each *= 2;
  std::vector<double> wall;
  std::vector<double> cpu;
  for (std::size_t i = 0; i < repetitions; ++i) {
    const cost all = once(each);
    const double operations = static_cast<double>(each * threads);
    wall.push_back(all.wall / operations);
    cpu.push_back(all.cpu / operations);
  }
  const auto middle = [](std::vector<double>& values) {
    std::nth_element(values.begin(), values.begin() + repetitions / 2, values.end());
    return values[repetitions / 2];
  };
  return {middle(wall), middle(cpu)};
}

// The numbers of the command line, after the name of the row.
class arguments {
 public:
  explicit arguments(std::vector<std::string> words) : words_(std::move(words)) {}

  std::uint64_t number(std::size_t i) const { return std::stoull(words_.at(i)); }
  unsigned threads(std::size_t i) const { return static_cast<unsigned>(number(i)); }
  bool has(const char* word) const {
    return std::find(words_.begin(), words_.end(), word) != words_.end();
  }

 private:
  std::vector<std::string> words_;
};

using row = double (*)(const arguments& words);

// usage: PROGRAM CONTENDER ROW ARGUMENT...
inline int run(int argc, char** argv, const std::map<std::string, row>& rows) {
  std::vector<std::string> words(argv + 1, argv + argc);
  const auto found = words.size() > 1 ? rows.find(words[0] + " " + words[1]) : rows.end();
  if (found == rows.end()) {
    std::fprintf(stderr, "usage: %s CONTENDER ROW ARGUMENT..., where CONTENDER ROW is one of\n",
                 argv[0]);
    for (const auto& [name, _] : rows) std::fprintf(stderr, "  %s\n", name.c_str());
    return 2;
  }
  words.erase(words.begin(), words.begin() + 2);
  try {
    std::printf("%.6g\n", found->second(arguments(std::move(words))));
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", argv[0], e.what());
    return 1;
  }
}

}  // namespace bench
