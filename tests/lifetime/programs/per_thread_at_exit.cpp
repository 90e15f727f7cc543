// Values and names of threads, used while static objects are destroyed and by threads that are
// still running then. Ends with status 0 when all of it worked.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <heddle/probe/counters.hpp>
#include <heddle/probe/names.hpp>
#include <heddle/probe/per_thread.hpp>

namespace {

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "per_thread at exit: %s\n", what);
  std::_Exit(1);
}

struct uses_both {
  ~uses_both() {
    counters.local().add();
    std::thread([this] { counters.local().add(); }).join();
    const auto sum = counters.combine(
        0UL, [](auto total, const heddle::owned_counter& c) { return total + c.read(); });
    check(sum == expected, "a count was lost");
    heddle::set_current_thread_name("leaving");
    check(heddle::current_thread_name() == "leaving", "a name was lost");
    check(!heddle::thread_names().empty(), "nobody is listed");
  }
  heddle::per_thread<heddle::owned_counter> counters;
  unsigned long expected = 2;
};

uses_both first;

struct last_words {
  ~last_words() { first.counters.local().add(); }
};
thread_local last_words words;

uses_both last;

}  // namespace

int main() {
  static_cast<void>(&words);
  first.counters.local().add();
  first.expected = 4;
  heddle::set_current_thread_name("main");
  // Named threads that are still there when the process ends.
  for (int i = 0; i < 3; ++i) {
    std::thread([] {
      heddle::set_current_thread_name("straggler");
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }).detach();
  }
  while (heddle::thread_names().size() < 4) std::this_thread::yield();
}
