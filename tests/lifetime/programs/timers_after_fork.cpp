// Timers and fork: in the child the queues are empty and good for new work, and what the parent
// had scheduled is nobody's concern.

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/timers.hpp>
#include <heddle/prim/config.hpp>

using namespace std::chrono_literals;

namespace {

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::_Exit(1);
}

void works(heddle::timer_queue& timers) {
  int runs = 0;
  timers.schedule_after(heddle::inline_executor(), 1ms, [&] { ++runs; }).get();
  expect(runs == 1, "a timer runs");
  heddle::manual_executor work;
  const auto ticking = timers.schedule_every(work, 1ms, [&] { ++runs; });
  while (runs < 3) work.run_for(1ms);
}

// Status 0 if the body returns in the child.
template <class F>
void in_child(F body) {
  const pid_t child = fork();
  expect(child >= 0, "fork");
  if (child == 0) {
    alarm(60);
    body();
    std::_Exit(0);
  }
  int status = 0;
  expect(waitpid(child, &status, 0) == child && status == 0, "the child ends well");
}

}  // namespace

int main() {
  // ThreadSanitizer allows no threads in the child of a process that had some.
  if (HEDDLE_TSAN) return 0;
  heddle::timer_queue& common = heddle::timer_queue::standard();
  heddle::timer_queue own;
  heddle::manual_executor work;
  // Threads are running, and timers are armed, when the process forks.
  works(common);
  works(own);
  auto far = common.schedule_after(work, 24h, [] {});
  auto ticking = own.schedule_every(work, 24h, [] {});
  for (int i = 0; i < 3; ++i) {
    in_child([&] {
      expect(common.pending() == 0 && own.pending() == 0, "empty in the child");
      works(common);
      works(own);
      // The parent's: they can be let go of, and nothing more.
      far.cancel();
      ticking.cancel();
      ticking = {};
      in_child([&] { works(common); });
    });
  }
  // A handle that is destroyed, and a queue that ends, in the child.
  in_child([&] {
    auto* const moved = new heddle::periodic_timer(std::move(ticking));
    delete moved;
    own.~timer_queue();
  });
  // A callback that forks: its timer stays the parent's.
  bool forked = false;
  heddle::periodic_options at_once;
  at_once.first_after = 0s;
  pid_t child = -1;
  {
    const auto forking = own.schedule_every(
        work, 24h,
        [&] {
          child = fork();
          forked = true;
        },
        at_once);
    work.drain();
    if (child == 0) {
      alarm(60);
      works(own);
    }
  }
  expect(forked && child >= 0, "fork inside of a callback");
  if (child == 0) std::_Exit(0);
  int status = 0;
  expect(waitpid(child, &status, 0) == child && status == 0, "the forking child ends well");

  works(common);
  works(own);
  expect(common.pending() == 1 && own.pending() == 1, "the parent's are where they were");
  expect(far.cancel(), "and can be cancelled");
  return 0;
}
