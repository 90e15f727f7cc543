// What the tasks of the loads are made of: computing, sleeping, streaming through memory, random
// numbers that are the same in every run.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace bench {

using clock = std::chrono::steady_clock;
using seconds = std::chrono::duration<double>;

// How many turns of the computing loop take a microsecond: measured once, and handed to each run,
// so that all runs do the same work.
double measure_turns_per_microsecond();
void set_turns_per_microsecond(double turns);

// Computes: a chain of multiplications, so that neither caches nor memory matter.
void compute(double microseconds);

// Sleeps in the kernel.
void rest(double microseconds);

// Buffers larger than the caches, of which tasks read and write a part.
void prepare_memory();
void stream(std::uint64_t which_part, std::size_t bytes);

// Numbers that depend on a seed and a counter alone: tasks get theirs whatever the order in which
// they run. Source of the mixing: G. Steele, D. Lea, C. Flood, Fast Splittable Pseudorandom Number
// Generators, 2014.
class random_numbers {
 public:
  random_numbers(std::uint64_t seed, std::uint64_t stream) : state_(mixed(seed) ^ mixed(~stream)) {}

  std::uint64_t next() { return mixed(state_ += 0x9e3779b97f4a7c15u); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // in [0, 1)
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  double log_uniform(double low, double high);
  double exponential(double mean);
  double bounded_pareto(double shape, double low, double high);
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }

 private:
  static std::uint64_t mixed(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  std::uint64_t state_;
};

}  // namespace bench
