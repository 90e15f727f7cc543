#include "work.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

namespace bench {
namespace {

double turns_per_microsecond = 0;
std::vector<std::uint64_t> memory;
std::atomic<std::uint64_t> sink{0};

void turn(std::uint64_t turns) {
  std::uint64_t x = turns;
  for (std::uint64_t i = 0; i < turns; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
  sink.store(x, std::memory_order_relaxed);
}

}  // namespace

double measure_turns_per_microsecond() {
  // The fastest of several short ones: the others were interrupted.
  constexpr std::uint64_t turns = 200'000;
  double best = 0;
  for (int i = 0; i < 100; ++i) {
    const auto begin = clock::now();
    turn(turns);
    const std::chrono::duration<double, std::micro> taken = clock::now() - begin;
    best = std::max(best, static_cast<double>(turns) / taken.count());
  }
  return best;
}

void set_turns_per_microsecond(double turns) { turns_per_microsecond = turns; }

void compute(double microseconds) {
  turn(static_cast<std::uint64_t>(microseconds * turns_per_microsecond));
}

void rest(double microseconds) {
  std::this_thread::sleep_for(
      std::chrono::nanoseconds(static_cast<std::int64_t>(microseconds * 1000)));
}

void prepare_memory() { memory.assign((std::size_t{256} << 20) / sizeof(std::uint64_t), 1); }

void stream(std::uint64_t which_part, std::size_t bytes) {
  const std::size_t words = bytes / sizeof(std::uint64_t);
  const std::size_t parts = memory.size() / words;
  std::uint64_t* const from = memory.data() + (which_part % parts) * words;
  // Tasks may meet in a part: each word is a relaxed atomic, which costs nothing here.
  for (std::size_t i = 0; i < words; ++i) {
    std::atomic_ref word(from[i]);
    word.store(word.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
}

double random_numbers::log_uniform(double low, double high) {
  return std::exp(uniform(std::log(low), std::log(high)));
}

double random_numbers::exponential(double mean) { return -mean * std::log1p(-uniform()); }

double random_numbers::bounded_pareto(double shape, double low, double high) {
  const double ratio = std::pow(low / high, shape);
  return low / std::pow(1 - uniform() * (1 - ratio), 1 / shape);
}

}  // namespace bench
