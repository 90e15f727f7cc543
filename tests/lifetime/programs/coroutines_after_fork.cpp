// A coroutine that waits while the process forks, and is woken in the child: on a pool that serves
// the child, on one that was destroyed there, used or unused, and on one that was gone before.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/coro/await.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/event.hpp>

namespace {

enum class end : int { none, ran, refused };

struct setting {
  std::optional<heddle::thread_pool> pool{1U};
  heddle::manual_reset_event event;
  std::atomic<end> ended{end::none};
  heddle::future<void> result;
};

heddle::coro::task<> waits(setting& s) {
  end how = end::refused;
  try {
    co_await s.event;
    how = end::ran;
  } catch (const heddle::cancelled&) {
  }
  s.ended = how;
}

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "process %d failed: %s\n", static_cast<int>(::getpid()), what);
  std::_Exit(1);
}

template <class F>
void in_child(F f) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(100);
    f();
    std::_Exit(0);
  }
  int status = 0;
  expect(::waitpid(child, &status, 0) == child && status == 0, "a child");
}

}  // namespace

int main() {
  if (HEDDLE_TSAN) return EXIT_SUCCESS;  // it allows no threads in a forked child
  setting s;
  s.result = heddle::coro::spawn(*s.pool, waits(s));
  s.pool->wait_idle();

  in_child([&] {
    s.event.set();
    while (s.ended.load() == end::none) std::this_thread::yield();
    expect(s.ended.load() == end::ran, "goes on on a worker of the child's");
  });
  in_child([&] {
    s.pool->submit([] {}).get();
    s.pool.reset();
    s.event.set();
    expect(s.ended.load() == end::refused, "is refused when the child's pool has ended");
  });
  in_child([&] {
    s.pool.reset();
    s.event.set();
    expect(s.ended.load() == end::refused, "is refused when the child has never used the pool");
  });
  in_child([&] {
    s.pool->submit([] {}).get();
    s.pool.reset();
    in_child([&] {
      s.event.set();
      expect(s.ended.load() == end::refused, "is refused in a grandchild");
    });
  });
  s.pool.reset();
  in_child([&] {
    s.event.set();
    expect(s.ended.load() == end::refused, "is refused when the parent's pool had ended");
  });
  expect(s.ended.load() == end::none, "the parent's has not gone on");
  s.event.set();
  expect(s.ended.load() == end::refused && s.result.ready(), "the parent's is refused");
  return 0;
}
