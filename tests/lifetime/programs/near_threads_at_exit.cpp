// Counters and pools of objects, used while static objects are destroyed, in the destructors of
// thread_local objects, and by threads that are still running when the process ends. Ends with
// status 0 when all of it worked.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <heddle/data/object_pool.hpp>
#include <heddle/lockfree/counter.hpp>

namespace {

using text_pool = heddle::object_pool<std::string>;

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "near threads at exit: %s\n", what);
  std::_Exit(1);
}

struct uses_both {
  ~uses_both() {
    counter.add(2);
    std::thread([this] {
      counter.add(3);
      *texts.acquire() = "late";
    }).join();
    check(counter.total() == expected, "a count was lost");
    *texts.acquire() = "later";
    check(texts.statistics().returned >= 2, "a lease was lost");
  }
  heddle::counter counter;
  text_pool texts;
  unsigned long expected = 5;
};

uses_both first;

// Destroyed before the objects above, on main's thread; it outlives the pool that it is of.
struct keeps_a_lease {
  ~keeps_a_lease() {
    first.counter.add();
    check(*lease == "kept", "an object was lost");
  }
  text_pool::lease lease;
};
thread_local keeps_a_lease kept;

struct lease_of_a_static_pool {
  text_pool::lease lease;
};
lease_of_a_static_pool outlives;  // destroyed behind `last`

uses_both last;

std::atomic<int> running{0};

}  // namespace

int main() {
  {
    text_pool short_lived;
    kept.lease = short_lived.acquire();
    *kept.lease = "kept";
  }
  outlives.lease = last.texts.acquire();
  first.counter.add();
  first.expected = 7;
  for (int i = 0; i < 3; ++i) {
    std::thread([] {
      text_pool::lease lease = last.texts.acquire();
      *lease = "never given back";
      ++running;
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }).detach();
  }
  while (running < 3) std::this_thread::yield();
}
