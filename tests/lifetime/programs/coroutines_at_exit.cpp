// Coroutines that wait while the process ends: on the default pool, which has been shut down by
// then, and on one that has been destroyed. Who wakes them, a static object or the process's timers
// as they end, lets them come to their end.

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <heddle/base/errors.hpp>
#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/default_pool.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/sync/event.hpp>

namespace {

using heddle::coro::task;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::_Exit(1);
}

int refused = 0;

task<> waits(heddle::manual_reset_event& event) {
  try {
    co_await event;
  } catch (const heddle::cancelled&) {
    ++refused;
    throw;
  }
}

task<> both(heddle::manual_reset_event& event) { co_await gather(waits(event), waits(event)); }

// Never woken, or by the end of the timers.
task<> never(heddle::manual_reset_event& event) { co_await event; }
task<> late() { co_await heddle::coro::delay(std::chrono::hours(24)); }

// Made before the default pool, so destroyed when that has been shut down.
struct user {
  heddle::manual_reset_event event;
  heddle::future<void> on_default, on_own, nested;

  ~user() {
    expect(!on_default.ready() && !on_own.ready() && !nested.ready(), "they wait");
    event.set();
    expect(on_default.ready() && on_own.ready() && nested.ready(), "they have ended");
    expect(refused == 4, "refused");
  }
};

user static_object;

}  // namespace

int main() {
  static heddle::thread_pool own(1);
  static auto& unused = *new heddle::manual_reset_event;
  static_object.on_default = spawn(heddle::default_pool(), waits(static_object.event));
  static_object.nested = spawn(heddle::default_pool(), both(static_object.event));
  static_object.on_own = spawn(own, waits(static_object.event));
  static_cast<void>(spawn(heddle::default_pool(), never(unused)));
  static_cast<void>(spawn(own, late()));
  heddle::default_pool().wait_idle();
  own.wait_idle();
  return 0;
}
