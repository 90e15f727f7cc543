// Many tasks in one step.

#include <atomic>
#include <cstdio>
#include <functional>
#include <numeric>
#include <vector>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/wait.hpp>

int main() {
  heddle::thread_pool pool;

  // [count]
  std::vector<double> squares(100'000);
  auto all = pool.submit_bulk(squares.size(), [&squares](std::size_t i) {
    squares[i] = static_cast<double>(i) * static_cast<double>(i);
  });
  all.get();  // one future for all of them; the first exception, if there was one
  // [count end]
  std::printf("%.0f\n", squares.back());

  // [range]
  std::vector<std::function<int()>> questions;
  for (int i = 0; i < 10; ++i) questions.push_back([i] { return i * i; });
  auto answers = pool.submit_bulk(questions);  // a future for each; accepted all, or none
  int sum = 0;
  for (auto& answer : answers) sum += answer.get();
  // [range end]
  std::printf("%d\n", sum);

  // [post]
  std::atomic<int> seen = 0;
  pool.post_bulk(1'000, [&seen](std::size_t) { ++seen; });  // nobody waits for these
  pool.wait_idle();
  // [post end]
  std::printf("%d\n", seen.load());
  return squares.back() == 99'999.0 * 99'999.0 && sum == 285 && seen == 1'000 ? 0 : 1;
}
