// Tasks that wait for tasks, on a pool of one worker, without a deadlock.

#include <cstdio>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>

namespace {

// [fibonacci]
long fibonacci(heddle::thread_pool& pool, int n) {
  if (n < 2) return n;
  auto left = pool.submit([&pool, n] { return fibonacci(pool, n - 1); });
  const long right = fibonacci(pool, n - 2);
  return left.get() + right;  // runs `left` here if no other worker has begun it
}
// [fibonacci end]

}  // namespace

int main() {
  heddle::thread_pool pool(1);
  std::printf("fibonacci(16) = %ld\n", pool.submit([&pool] { return fibonacci(pool, 16); }).get());

  // [spare]
  // The task waits for something that only another task can bring. While it sleeps, a spare thread
  // does the pool's work in its place, and leaves when it is not needed any more.
  heddle::promise<int> answer;
  auto waits = pool.submit([f = answer.get_future()]() mutable { return f.get(); });
  pool.post([&answer] { answer.set_value(42); });
  std::printf("%d\n", waits.get());
  // [spare end]

  // [blocking_scope]
  auto slow = pool.submit([] {
    const heddle::blocking_scope announce("reading");  // the same for calls Heddle cannot see
    return std::fgetc(std::fopen("/dev/zero", "rb"));
  });
  // [blocking_scope end]
  std::printf("%d\n", slow.get());
  const auto seen = pool.statistics();
  std::printf("at most %u threads for 1 worker\n", seen.peak_threads);
}
