// One function over many inputs: results in order, as they come, and one by one.

#include <cstdio>
#include <ranges>
#include <string>
#include <vector>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/wait.hpp>

namespace {

long collatz_steps(long n) {
  long steps = 0;
  for (; n != 1; ++steps) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
  return steps;
}

}  // namespace

int main() {
  heddle::thread_pool pool;

  // [map]
  long longest = 0;
  for (long steps : pool.map(collatz_steps, std::views::iota(1L, 100'000L))) {
    longest = std::max(longest, steps);  // in the order of the inputs; a few tasks in flight
  }
  // [map end]
  std::printf("longest path below 100,000: %ld steps\n", longest);

  // [as_completed]
  std::vector<heddle::future<long>> futures;
  for (const long n : {837'799L, 27L, 97L}) futures.push_back(pool.submit(collatz_steps, n));
  for (auto& f : heddle::as_completed(futures)) {
    std::printf("%ld steps\n", f.get());  // the first that is ready comes first
  }
  // [as_completed end]

  // [wait]
  for (auto& f : futures) f = pool.submit(collatz_steps, 97L);
  const auto [done, not_done] =
      heddle::wait_for(futures, std::chrono::seconds(30), heddle::wait_condition::all_completed);
  // [wait end]
  std::printf("%zu done, %zu not\n", done.size(), not_done.size());
  return done.size() == futures.size() ? 0 : 1;
}
