// Events, semaphores, latches, barriers and lazy values that are static: used before main, after
// it, and while they are destroyed, in the order that is promised. Ends with status 0 when it was
// so.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <heddle/sync/barrier.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/lazy.hpp>
#include <heddle/sync/semaphore.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

namespace {

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "static destruction: %s\n", what);
  std::_Exit(1);
}

int destroyed = 0;  // trivially destructible: alive to the very end

struct last_to_die {
  ~last_to_die() { check(destroyed == 2, "both lazy values die before what was defined first"); }
} checks_at_the_end;

struct value {
  explicit value(int n) : number(n) {}
  ~value() {
    ++destroyed;
    check(destroyed == number, "they die in the reverse order of their definitions");
  }
  int number;
  std::string text = "long enough to be on the heap, where a leak would be told of";
};

// The first is defined before the second, and made after it.
constinit heddle::lazy<value> first([] { return value(2); });
constinit heddle::lazy<value> second([] { return value(1); });
constinit heddle::lazy<value> never_made([] { return value(0); });

constinit heddle::manual_reset_event event;
constinit heddle::auto_reset_event turn;
constinit heddle::counting_semaphore<> permits(0);
constinit heddle::latch gate(1);
heddle::weighted_semaphore units(1, "static units");
heddle::barrier meeting(2);

struct works_before_and_after_main {
  works_before_and_after_main() { work(); }
  ~works_before_and_after_main() { work(); }

  static void work() {
    event.reset();
    units.acquire(1);
    std::thread other([] {
      event.set();
      turn.set();
      permits.release();
      if (!gate.try_wait()) gate.count_down();
      units.release(1);
      meeting.arrive_and_wait();
    });
    event.wait();
    turn.wait();
    permits.acquire();
    gate.wait();
    units.acquire(1);
    units.release(1);
    meeting.arrive_and_wait();
    other.join();
  }
} works;

}  // namespace

int main() {
  check(second->number == 1, "made in main");
  check(first->number == 2, "made in main, later");
  works_before_and_after_main::work();
}
