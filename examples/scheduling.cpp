// The same uneven work on a work-stealing pool and on one shared queue, and what the pools tell.

#include <chrono>
#include <cstdio>
#include <vector>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/wait.hpp>

namespace {

// Splits itself until the pieces are small; the left side has far more work than the right.
long uneven(heddle::thread_pool& pool, int size) {
  if (size <= 1) {
    long sum = 0;
    for (int i = 0; i < 2'000; ++i) sum += i % 7;
    return sum;
  }
  auto left = pool.submit([&pool, size] { return uneven(pool, size - 1); });
  const long right = uneven(pool, size / 4);
  return left.get() + right;
}

void run(const char* title, heddle::scheduling schedule) {
  // [options]
  heddle::thread_pool_options options;
  options.workers = 2;
  options.schedule = schedule;  // work_stealing (the default) or fifo
  heddle::thread_pool pool(std::move(options));
  // [options end]

  const auto begun = std::chrono::steady_clock::now();
  const long sum = pool.submit([&pool] { return uneven(pool, 40); }).get();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;

  // [statistics]
  const heddle::pool_statistics seen = pool.statistics();
  std::printf("%-13s sum %ld in %.2f ms: %llu tasks, %llu steals of %llu tried, %llu helped\n",
              title, sum, took.count(), static_cast<unsigned long long>(seen.submitted),
              static_cast<unsigned long long>(seen.steals),
              static_cast<unsigned long long>(seen.steal_attempts),
              static_cast<unsigned long long>(seen.helped));
  // [statistics end]
}

}  // namespace

int main() {
  run("work stealing", heddle::scheduling::work_stealing);
  run("one queue", heddle::scheduling::fifo);
}
