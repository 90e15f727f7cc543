// The rows of group forkjoin, the same for every contender.
//
// A contender is a class that has so many threads at work when it is made, the calling one among
// them where its library wants it so, and of these what its library can do:
//   fib(n), tree_nodes(), queens_solutions(), skynet_sum()
//                      the recursive workloads, started from a thread outside of the pool
//   inside(f)          gives f(), called where loops begin: on a worker, where the library has it
//   so loop(count, f)     f(0) to f(count - 1), all alike and cheap; called inside uneven(count, f)
//   the same of very different lengths sort(first, last)  of std::int32_t sum(first, last)   of
//   std::uint32_t, as std::uint64_t frame_bytes()      what fib's coroutine occupies while it
//   waits, as the compiler made it
// main is `return bench::run<my_contender>(argc, argv);`: it runs the row that the command line
// asks for, several times after one time that does not count, and prints the median. A wrong result
// ends the process, and with it the benchmark.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "../compare/irregular.hpp"
#include "workloads.hpp"

namespace bench {

using std::chrono::steady_clock;

inline double nanoseconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double, std::nano>(steady_clock::now() - start).count();
}

inline void expect(std::uint64_t got, std::uint64_t right, const char* what) {
  if (got == right) return;
  throw std::runtime_error(std::string(what) + ": " + std::to_string(got) + " instead of " +
                           std::to_string(right));
}

// The median of what `once` gives, the first time left out: of at least so many times, and of more
// if they are quick.
template <class F>
double median_of(std::size_t times, F once) {
  constexpr auto worth_while = std::chrono::milliseconds(100);
  once();
  std::vector<double> values;
  const auto start = steady_clock::now();
  while (values.size() < times ||
         (values.size() < 8 * times && steady_clock::now() - start < worth_while))
    values.push_back(once());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// ns a spawn.
template <class Contender>
double fib(Contender& contender, unsigned n) {
  return median_of(5, [&] {
    const auto start = steady_clock::now();
    const std::uint64_t result = contender.fib(n);
    const double elapsed = nanoseconds_since(start);
    expect(result, fibonacci_number(n), "fib");
    return elapsed / static_cast<double>(fibonacci_spawns(n));
  });
}

// ms from the start outside until the result is there.
template <class F>
double milliseconds(std::uint64_t right, const char* what, F compute) {
  return median_of(5, [&] {
    const auto start = steady_clock::now();
    const std::uint64_t result = compute();
    const double elapsed = nanoseconds_since(start);
    expect(result, right, what);
    return elapsed / 1e6;
  });
}

// Makespan of tasks of irregular size, as a share of what they take one after another.
template <class Contender>
double irregular(Contender& contender, std::size_t tasks) {
  const auto steps = irregular_steps(tasks);
  std::vector<std::uint64_t> right(tasks);
  std::vector<std::uint64_t> results(tasks);
  return median_of(5, [&] {
    const auto serial_start = steady_clock::now();
    for (std::size_t i = 0; i < tasks; ++i) right[i] = turn(steps[i]);
    const double serial = nanoseconds_since(serial_start);

    std::fill(results.begin(), results.end(), 0);
    const auto start = steady_clock::now();
    contender.inside([&] {
      contender.uneven(tasks, [&](std::size_t i) { results[i] = turn(steps[i]); });
      return 0;
    });
    const double elapsed = nanoseconds_since(start);
    if (results != right) throw std::runtime_error("an irregular task has not run");
    return elapsed / serial;
  });
}

// us a loop over so many floats, which adds 1 to each.
template <class Contender>
double loop(Contender& contender, std::size_t count) {
  constexpr std::size_t loops = 2000;
  std::vector<float> numbers(count);
  double all_loops = 0;
  const double figure = contender.inside([&] {
    return median_of(11, [&] {
      const auto start = steady_clock::now();
      for (std::size_t i = 0; i < loops; ++i) {
        contender.loop(count, [at = numbers.data()](std::size_t k) { at[k] += 1; });
        std::atomic_signal_fence(std::memory_order_seq_cst);  // loops may not be merged
      }
      all_loops += loops;
      return nanoseconds_since(start) / 1e3 / loops;
    });
  });
  for (const float number : numbers)
    if (number != static_cast<float>(all_loops)) throw std::runtime_error("a loop left one out");
  return figure;
}

// Tells whether two vectors have the same numbers, whatever their order.
inline std::uint64_t mark_of(const std::vector<std::int32_t>& numbers) {
  std::uint64_t mark = 0;
  for (const std::int32_t number : numbers) {
    const auto x = static_cast<std::uint32_t>(number) * 0x9e3779b97f4a7c15u;
    mark += x ^ (x >> 32);
  }
  return mark;
}

// ms for so many random integers.
template <class Contender>
double sort(Contender& contender, std::size_t count) {
  const auto input = numbers_to_sort(count);
  const std::uint64_t mark = mark_of(input);
  std::vector<std::int32_t> numbers(count);
  return median_of(3, [&] {
    std::copy(input.begin(), input.end(), numbers.begin());
    const auto start = steady_clock::now();
    contender.inside([&] {
      contender.sort(numbers.data(), numbers.data() + count);
      return 0;
    });
    const double elapsed = nanoseconds_since(start);
    if (!std::is_sorted(numbers.begin(), numbers.end())) throw std::runtime_error("not sorted");
    expect(mark_of(numbers), mark, "what was sorted");
    return elapsed / 1e6;
  });
}

// ms for the sum of so many integers.
template <class Contender>
double sum(Contender& contender, std::size_t count) {
  const auto numbers = numbers_to_add(count);
  std::uint64_t right = 0;
  for (const auto number : numbers) right += number;
  return milliseconds(right, "sum", [&] {
    return contender.inside(
        [&] { return contender.sum(numbers.data(), numbers.data() + numbers.size()); });
  });
}

// The most memory that the process has had resident, in MiB. (ru_maxrss would count in what its
// parent had when it started it.)
inline double peak_resident() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word && word != "VmHWM:") {
  }
  double kibibytes = 0;
  status >> kibibytes;
  return kibibytes / 1024;
}

template <class Contender>
double memory(Contender& contender) {
  for (int i = 0; i < 3; ++i) expect(contender.skynet_sum(), skynet::sum, "skynet");
  return peak_resident();
}

inline int usage(const char* program) {
  std::fprintf(stderr,
               "usage: %s ROW [THREADS [N]]\n"
               "  fib        fib(N); ns a spawn\n"
               "  tree       unbalanced tree; ms\n"
               "  queens     12 queens; ms\n"
               "  skynet     tree with a million leaves; ms\n"
               "  memory     the same; most memory resident, in MiB\n"
               "  irregular  N tasks of 1 to 500 us; makespan / serial time\n"
               "  loop       parallel_for over N floats; us a loop\n"
               "  sort       N integers; ms\n"
               "  sum        of N integers; ms\n"
               "  frame      of fib as a coroutine; bytes\n"
               "2 threads unless told. Says so when its library has no such operation.\n",
               program);
  return 2;
}

template <class Contender>
double figure_of(const std::string& row, unsigned threads, std::size_t n) {
  constexpr std::uint32_t* none = nullptr;
  constexpr auto nothing = [](std::size_t) {};
  Contender contender(threads);
  if constexpr (requires { contender.fib(1); }) {
    if (row == "fib") return fib(contender, n == 0 ? 30 : static_cast<unsigned>(n));
  }
  if constexpr (requires { contender.tree_nodes(); }) {
    if (row == "tree")
      return milliseconds(tree::nodes, "tree", [&] { return contender.tree_nodes(); });
  }
  if constexpr (requires { contender.queens_solutions(); }) {
    if (row == "queens")
      return milliseconds(queens::solutions, "queens",
                          [&] { return contender.queens_solutions(); });
  }
  if constexpr (requires { contender.skynet_sum(); }) {
    if (row == "skynet")
      return milliseconds(skynet::sum, "skynet", [&] { return contender.skynet_sum(); });
    if (row == "memory") return memory(contender);
  }
  if constexpr (requires { contender.uneven(1, nothing); }) {
    if (row == "irregular") return irregular(contender, n == 0 ? 5000 : n);
  }
  if constexpr (requires { contender.loop(1, nothing); }) {
    if (row == "loop") return loop(contender, n == 0 ? 1000 : n);
  }
  if constexpr (requires(std::int32_t* at) { contender.sort(at, at); }) {
    if (row == "sort") return sort(contender, n == 0 ? 10'000'000 : n);
  }
  if constexpr (requires { contender.sum(none, none); }) {
    if (row == "sum") return sum(contender, n == 0 ? 50'000'000 : n);
  }
  if constexpr (requires { contender.frame_bytes(); }) {
    if (row == "frame") return static_cast<double>(contender.frame_bytes());
  }
  throw std::invalid_argument("no row " + row + " here");
}

template <class Contender>
int run(int argc, char** argv) {
  if (argc < 2 || argc > 4) return usage(argv[0]);
  try {
    const unsigned threads = argc > 2 ? static_cast<unsigned>(std::stoul(argv[2])) : 2;
    const std::size_t n = argc > 3 ? std::stoull(argv[3]) : 0;
    std::printf("%.6g\n", figure_of<Contender>(argv[1], threads, n));
    return 0;
  } catch (const std::exception& caught) {
    std::fprintf(stderr, "%s: %s\n", argv[0], caught.what());
    return 1;
  }
}

}  // namespace bench
