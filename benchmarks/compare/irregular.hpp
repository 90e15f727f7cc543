// Tasks of irregular size: work that takes a known time and needs no memory.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace bench {

// Work that the compiler can neither shorten nor move.
inline std::uint64_t turn(std::uint64_t steps) {
  std::uint64_t x = steps;
  for (std::uint64_t i = 0; i < steps; ++i) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    asm volatile("" : "+r"(x));
  }
  return x;
}

inline double steps_per_microsecond() {
  using std::chrono::steady_clock;
  constexpr std::uint64_t steps = 1'000'000;
  double least = 1e18;
  std::atomic<std::uint64_t> sink;
  for (int i = 0; i < 10; ++i) {
    const auto start = steady_clock::now();
    sink = turn(steps);
    least = std::min(least,
                     std::chrono::duration<double, std::nano>(steady_clock::now() - start).count());
  }
  return steps / least * 1000;
}

// 1 to 500 us, many small ones and a few large ones: the bounded Pareto distribution with shape
// 0.6, by inversion. The seed is fixed.
inline std::vector<std::uint64_t> irregular_steps(std::uint64_t tasks) {
  constexpr double shape = 0.6, smallest = 1, largest = 500;
  const double scale = steps_per_microsecond();
  const double cut = 1 - std::pow(smallest / largest, shape);
  std::mt19937_64 random(20'251);
  std::vector<std::uint64_t> steps(tasks);
  for (auto& each : steps) {
    const double u = static_cast<double>(random() >> 11) * 0x1p-53;
    const double microseconds = smallest * std::pow(1 - u * cut, -1 / shape);
    each = static_cast<std::uint64_t>(microseconds * scale);
  }
  return steps;
}

}  // namespace bench
