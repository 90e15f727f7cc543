// Fork-join while static objects are destroyed: by the main thread, on pools that are still there,
// and on the default pool, which has ended. Ends with status 0 when all of it worked.

#include <cstdio>
#include <cstdlib>

#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/task_group.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace {

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "static destruction: %s\n", what);
  std::_Exit(1);
}

int fib(int n) {
  if (n < 2) return n;
  int a = 0;
  int b = 0;
  heddle::parallel_invoke([&] { a = fib(n - 1); }, [&] { b = fib(n - 2); });
  return a + b;
}

heddle::thread_pool global(2);

struct uses_when_destroyed {
  ~uses_when_destroyed() {
    check(fib(12) == 144, "without the default pool it is a plain recursion");
    int sum = 0;
    heddle::parallel_invoke(global, [&] { sum = fib(12); });
    check(sum == 144, "on a pool that is still there");
    heddle::task_group group(global);
    group.run([&] { sum += fib(12); });
    check(group.wait() && sum == 288, "a group on a pool that is still there");
    bool refused = false;
    heddle::task_group late;
    try {
      late.run([] {});
    } catch (const heddle::rejected&) {
      refused = true;
    }
    check(refused && late.wait(), "the default pool accepts nothing");
  }
};

uses_when_destroyed user;

heddle::task_group& unwaited() {
  static heddle::task_group group(global);  // cancels what is left, and waits
  return group;
}

}  // namespace

int main() {
  heddle::default_pool();
  check(fib(12) == 144, "on the default pool");
  for (int i = 0; i < 100; ++i) unwaited().run([] { check(fib(5) == 5, "in a task"); });
  return 0;
}
