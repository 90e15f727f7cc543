// Pools that are globals, used and destroyed while static objects are destroyed, by the main thread
// and with work of every kind under way. Ends with status 0 when all of it worked.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/promise.hpp>

namespace {

std::atomic<int> ran{0};  // trivially destructible: alive to the very end

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "static destruction: %s\n", what);
  std::_Exit(1);
}

struct checks_when_destroyed {
  ~checks_when_destroyed() { check(ran == expected, "the global pool lost work"); }
  int expected = 0;
};

checks_when_destroyed checks;   // outlives the pool
heddle::thread_pool global(3);  // drains when it is destroyed

struct uses_when_destroyed {
  ~uses_when_destroyed() {
    const auto square = [](int v) { return v * v; };
    check(global.submit(square, 7).get() == 49, "a result of the global pool");
    check(global.submit([&square] { return global.submit(square, 3).get(); }).get() == 9,
          "a nested result");
    heddle::thread_pool own(2);
    check(own.submit(square, 2).get() == 4, "a pool made during static destruction");
    for (int i = 0; i < 100; ++i) global.post([] { ++ran; });
    checks.expected += 100;
  }
};

uses_when_destroyed user;  // dies before the pool

}  // namespace

int main() {
  static heddle::thread_pool local(2);
  local.post([] { ++ran; });
  std::atexit([] {
    global.post([] {
      std::this_thread::yield();
      ++ran;
    });
  });
  checks.expected = 2;
  check(global.submit([] { return 1; }).get() == 1, "main");
}
