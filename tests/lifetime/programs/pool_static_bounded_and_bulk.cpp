// Static objects that a global pool has to do with, destroyed before it and after it: groups whose
// tokens its tasks listen to, futures and results of bulks that nobody read, a bounded queue that
// is full. Ends with status 0 when all of it worked.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include <heddle/base/unhandled.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/shared_future.hpp>

namespace {

std::atomic<unsigned> ran{0};  // trivially destructible: alive to the very end
std::atomic<unsigned> unhandled{0};
unsigned expected = 0;

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "static destruction: %s\n", what);
  std::_Exit(1);
}

struct checks_at_the_end {
  ~checks_at_the_end() {
    check(ran == expected, "a task was lost");
    check(unhandled == 2, "an exception was lost");
  }
};

checks_at_the_end checks;  // outlives everything

// These outlive the pool.
std::stop_source group;
std::vector<heddle::future<unsigned>> futures;
heddle::future<void> bulk;
heddle::shared_future<unsigned> shared;

heddle::thread_pool_options small_queue() {
  heddle::thread_pool_options o;
  o.workers = 2;
  o.queue_capacity = 2;
  return o;
}
heddle::thread_pool global(small_queue());

// These die before it.
std::stop_source short_lived_group;
heddle::future<void> forgotten;

struct submits_when_destroyed {
  ~submits_when_destroyed() {
    // More than fit, so that this thread is held up again and again.
    for (unsigned i = 0; i < 200; ++i) {
      global.post(static_cast<heddle::priority>(i % heddle::priority_levels), [] { ++ran; });
    }
    global.submit_bulk(300, [](std::size_t) { ++ran; }).get();
    bulk = global.submit_bulk(300, [](std::size_t) { ++ran; });
    shared = global.submit([] { return ++ran; }).share();
    check(global.run_all(std::vector(5, [] { ++ran; })).done == 5, "run_all");
    expected += 200 + 300 + 300 + 1 + 5;
  }
};

submits_when_destroyed user;

void count(std::exception_ptr) noexcept { ++unhandled; }

}  // namespace

int main() {
  heddle::set_unhandled_handler(&count);
  for (unsigned i = 0; i < 50; ++i) {
    futures.push_back(global.submit(heddle::task_options{.stop = group.get_token()}, [i] {
      ++ran;
      return i;
    }));
    global.post(heddle::task_options{.stop = short_lived_group.get_token()}, [] { ++ran; });
  }
  expected += 100;
  forgotten = global.submit([] { throw 1; });
  global.post([] { throw 2; });
  // Tasks that are still there when main has returned, and that submit more.
  for (unsigned i = 0; i < 4; ++i) {
    global.post([] {
      for (unsigned k = 0; k < 10; ++k) global.post([] { ++ran; });
      ++ran;
    });
  }
  expected += 44;
}
