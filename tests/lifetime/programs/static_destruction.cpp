// Work that fails, locks that are taken and threads that exit while static objects are destroyed,
// before and after every other global of the program. Ends with status 0 when all of it worked.

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include <heddle/base/unhandled.hpp>
#include <heddle/base/unique_task.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/completion.hpp>
#include <heddle/sync/event_count.hpp>
#include <heddle/sync/mutex.hpp>

namespace {

int handled = 0;  // trivially destructible: alive to the very end

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "static destruction: %s\n", what);
  std::_Exit(1);
}

void fail_once(const char* when) {
  const int before = handled;
  const auto counted = heddle::unhandled_count();
  heddle::unique_task failing([] { throw std::runtime_error("too late to catch"); });
  failing();
  check(handled == before + 1, when);
  check(heddle::unhandled_count() == counted + 1, when);
}

void wait_once() {
  heddle::completion done;
  std::thread other([&done] { done.complete(); });
  check(heddle::wait_for_completion(done, heddle::wait_kind::future), "a wait ended early");
  other.join();
}

struct works_when_destroyed {
  explicit works_when_destroyed(const char* n) : name(n) {}
  ~works_when_destroyed() {
    fail_once(name);
    wait_once();
    mutex.lock();
    mutex.unlock();
    event.notify_all();
  }
  const char* name;
  heddle::mutex mutex;
  heddle::event_count event;
};

void count(std::exception_ptr) noexcept { ++handled; }

works_when_destroyed first("the first global, destroyed last");

struct last_words {
  ~last_words() { fail_once("a thread-local of the main thread"); }
};
thread_local last_words words;

works_when_destroyed last("the last global, destroyed first");

}  // namespace

int main() {
  heddle::set_unhandled_handler(&count);
  static_cast<void>(&words);
  std::atexit([] { fail_once("atexit"); });
  fail_once("main");
  check(handled == 1, "main");
}
