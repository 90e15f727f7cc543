// The rows of group exec, the same for every contender.
//
// A contender is a class that starts `workers` worker threads when it is made, and has
//   post(f)              runs f() on a worker
//   submit(f)            the same, and returns something whose get() gives the result; may be
//   absent post_bulk(count, f)  runs f(0) to f(count - 1), each a task of its own; may be absent.
//   It may
//                        return before they have run
//   as_producer()        what a further thread holds while it posts; may be absent
// main is `return bench::run<my_contender>(argc, argv);`: it runs the row that the command line
// asks for, several times after one time that does not count, and prints the median.
#pragma once

#include <algorithm>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "../compare/irregular.hpp"
#include "tally.hpp"

namespace bench {

using std::chrono::steady_clock;

// No pool here can run empty tasks faster than that, on any number of workers.
inline constexpr double least_nanoseconds_of_empty_task = 5;

inline double nanoseconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double, std::nano>(steady_clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The median of what `once` gives, the first time left out.
template <class F>
double median_of(std::uint64_t times, F once) {
  once();
  std::vector<double> values;
  while (values.size() < times) values.push_back(once());
  return median(values);
}

// More repetitions for fewer tasks.
inline std::uint64_t repetitions(std::uint64_t tasks) {
  return std::clamp<std::uint64_t>(5'000'000 / tasks, 3, 1001);
}

// From the first post to when all have run, in ns a task.
template <class Contender>
double one_producer(unsigned workers, std::uint64_t tasks) {
  Contender pool(workers);
  return median_of(repetitions(tasks), [&] {
    const auto total = tasks_counted() + tasks;
    const auto start = steady_clock::now();
    for (std::uint64_t i = 0; i < tasks; ++i) pool.post([] { count_task(); });
    wait_for_tasks(total, least_nanoseconds_of_empty_task);
    return nanoseconds_since(start) / static_cast<double>(tasks);
  });
}

template <class Contender>
double two_producers(unsigned workers, std::uint64_t tasks) {
  Contender pool(workers);
  return median_of(repetitions(tasks), [&] {
    const auto total = tasks_counted() + tasks;
    std::barrier start_line(3);
    const auto produce = [&] {
      [[maybe_unused]] const auto membership = [&] {
        if constexpr (requires { pool.as_producer(); }) {
          return pool.as_producer();
        } else {
          return 0;
        }
      }();
      start_line.arrive_and_wait();
      for (std::uint64_t i = 0; i < tasks / 2; ++i) pool.post([] { count_task(); });
    };
    std::jthread one(produce);
    std::jthread other(produce);
    const auto start = steady_clock::now();
    start_line.arrive_and_wait();
    wait_for_tasks(total, least_nanoseconds_of_empty_task);
    return nanoseconds_since(start) / static_cast<double>(tasks);
  });
}

// From the first submit to when the last future is destroyed, in ns a task.
template <class Contender>
double with_futures(unsigned workers, std::uint64_t tasks) {
  Contender pool(workers);
  const auto submit = [&pool](std::uint64_t i) { return pool.submit([i] { return i; }); };
  std::vector<decltype(submit(0))> futures;
  futures.reserve(tasks);
  return median_of(3, [&] {
    const auto start = steady_clock::now();
    for (std::uint64_t i = 0; i < tasks; ++i) futures.push_back(submit(i));
    std::uint64_t sum = 0;
    for (auto& future : futures) sum += future.get();
    futures.clear();
    const double elapsed = nanoseconds_since(start);
    if (sum != tasks * (tasks - 1) / 2) fail("the sum of the results is wrong");
    return elapsed / static_cast<double>(tasks);
  });
}

template <class Contender>
double bulk(unsigned workers, std::uint64_t tasks) {
  Contender pool(workers);
  return median_of(repetitions(tasks), [&] {
    const auto total = tasks_counted() + tasks;
    const auto start = steady_clock::now();
    pool.post_bulk(tasks, [](std::uint64_t) { count_task(); });
    wait_for_tasks(total, least_nanoseconds_of_empty_task);
    return nanoseconds_since(start) / static_cast<double>(tasks);
  });
}

// Makespan of tasks of irregular size, as a share of what they take one after another.
template <class Contender>
double irregular(unsigned workers, std::uint64_t tasks) {
  Contender pool(workers);
  const auto steps = irregular_steps(tasks);
  std::atomic<std::uint64_t> sink;
  const auto work = [&sink](std::uint64_t n) { sink.store(turn(n), std::memory_order_relaxed); };
  return median_of(3, [&] {
    const auto serial_start = steady_clock::now();
    for (const auto n : steps) work(n);
    const double serial = nanoseconds_since(serial_start);

    const auto total = tasks_counted() + tasks;
    const auto start = steady_clock::now();
    for (const auto n : steps) {
      pool.post([&work, n] {
        work(n);
        count_task();
      });
    }
    wait_for_tasks(total, 1000.0 / workers);
    return nanoseconds_since(start) / serial;
  });
}

// From just before the post to the start of the task, in us, when the submitter blocks until the
// task has run and then sleeps for `gap` before the next.
template <class Contender>
double latency(unsigned workers, std::chrono::microseconds gap) {
  Contender pool(workers);
  std::mutex mutex;
  std::condition_variable changed;
  bool has_run = false;
  steady_clock::time_point started;
  const auto once = [&] {
    if (gap.count() != 0) std::this_thread::sleep_for(gap);
    const auto submitted = steady_clock::now();
    pool.post([&] {
      const auto now = steady_clock::now();
      const std::lock_guard lock(mutex);
      started = now;
      has_run = true;
      changed.notify_one();
    });
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return has_run; });
    has_run = false;
    return std::chrono::duration<double, std::micro>(started - submitted).count();
  };
  const auto microseconds_each = static_cast<std::uint64_t>(gap.count()) + 20;
  const auto samples = std::clamp<std::uint64_t>(500'000 / microseconds_each, 61, 20'001);
  for (std::uint64_t i = 0; i < samples / 10; ++i) once();
  return median_of(samples, once);
}

inline double process_cpu_milliseconds() {
  timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) * 1e3 + static_cast<double>(spent.tv_nsec) / 1e6;
}

// CPU time of the process in the two seconds after its last task, in ms.
template <class Contender>
double idle(unsigned workers) {
  Contender pool(workers);
  constexpr std::uint64_t tasks = 100'000;
  for (std::uint64_t i = 0; i < tasks; ++i) pool.post([] { count_task(); });
  wait_for_tasks(tasks, least_nanoseconds_of_empty_task);
  const double before = process_cpu_milliseconds();
  std::this_thread::sleep_for(std::chrono::seconds(2));
  return process_cpu_milliseconds() - before;
}

inline double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double all = 0;
  double resident = 0;
  statm >> all >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Growth of the resident memory by each task, with two pointers in its callable, that waits behind
// workers that are all busy, in bytes.
template <class Contender>
double pending_memory(unsigned workers, std::uint64_t tasks) {
  Contender pool(workers);
  std::latch all_busy(workers);
  std::latch go_on(1);
  for (unsigned i = 0; i < workers; ++i) {
    pool.post([&] {
      all_busy.count_down();
      go_on.wait();
      count_task();
    });
  }
  all_busy.wait();
  const void* const one = &all_busy;
  const void* const other = &go_on;
  const double before = resident_bytes();
  for (std::uint64_t i = 0; i < tasks; ++i) {
    pool.post([one, other] {
      if (one == other) fail("two objects at one address");
      count_task();
    });
  }
  const double after = resident_bytes();
  go_on.count_down();
  wait_for_tasks(tasks + workers, least_nanoseconds_of_empty_task);
  return (after - before) / static_cast<double>(tasks);
}

inline int usage(const char* program) {
  std::fprintf(stderr,
               "usage: %s ROW [WORKERS [N]]\n"
               "  X1       one producer posts N empty tasks; ns a task\n"
               "  X1f      the same with futures; ns a task\n"
               "  X1b      the same in one call; ns a task\n"
               "  X2       two producers; ns a task\n"
               "  X4       N tasks of irregular size; makespan / serial time\n"
               "  X6       from submit to start, N us after the last task; us\n"
               "  idle     CPU time in 2 s after the last task; ms\n"
               "  pending  memory of a task that waits, N of them; bytes\n"
               "2 workers unless told. Says so when its library has no such operation.\n",
               program);
  return 2;
}

template <class Contender>
int run(int argc, char** argv) {
  if (argc < 2 || argc > 4) return usage(argv[0]);
  const std::string row = argv[1];
  const unsigned workers = argc > 2 ? static_cast<unsigned>(std::stoul(argv[2])) : 2;
  const auto n_or = [&](std::uint64_t otherwise) {
    return argc > 3 ? std::stoull(argv[3]) : otherwise;
  };
  double result = 0;
  if (row == "X1") {
    result = one_producer<Contender>(workers, n_or(1'000'000));
  } else if (row == "X2") {
    result = two_producers<Contender>(workers, n_or(1'000'000));
  } else if (row == "X1f") {
    if constexpr (requires(Contender pool) { pool.submit([] { return 1; }); }) {
      result = with_futures<Contender>(workers, n_or(1'000'000));
    } else {
      fail("no futures here");
    }
  } else if (row == "X1b") {
    if constexpr (requires(Contender pool) { pool.post_bulk(1, [](std::uint64_t) {}); }) {
      result = bulk<Contender>(workers, n_or(1'000'000));
    } else {
      fail("no bulk operation here");
    }
  } else if (row == "X4") {
    result = irregular<Contender>(workers, n_or(20'000));
  } else if (row == "X6") {
    result = latency<Contender>(workers, std::chrono::microseconds(n_or(0)));
  } else if (row == "idle") {
    result = idle<Contender>(workers);
  } else if (row == "pending") {
    result = pending_memory<Contender>(workers, n_or(1'000'000));
  } else {
    return usage(argv[0]);
  }
  std::printf("%.6g\n", result);
  return 0;
}

}  // namespace bench
