// Reader-writer locks and dictionaries that are static: used before main, after it, and in the
// destructors of thread_local objects. Ends with status 0 when all of it worked.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <heddle/data/dictionary.hpp>
#include <heddle/sync/rw_lock.hpp>

namespace {

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "static destruction: %s\n", what);
  std::_Exit(1);
}

constinit heddle::rw_lock lock;
heddle::dictionary<std::string, int>& words() {
  static heddle::dictionary<std::string, int> d("static words");
  return d;
}

struct works_before_and_after_main {
  works_before_and_after_main() { work(); }
  ~works_before_and_after_main() { work(); }

  static void work() {
    std::thread other([] {
      for (int i = 0; i < 100; ++i) {
        const heddle::read_guard held(lock);
        words().get("one");
      }
    });
    {
      const heddle::write_guard held(lock);
      words().set("one", 1);
    }
    check(words().get("one") == 1, "the dictionary has what it was given");
    other.join();
  }
} works;

// Reads once more behind the destructors of everything that was made after it.
struct reads_at_the_end {
  void be_made() const {}
  ~reads_at_the_end() { const heddle::read_guard held(lock); }
};

}  // namespace

int main() {
  static thread_local const reads_at_the_end of_main;
  std::thread([] {
    static thread_local const reads_at_the_end of_thread;
    const heddle::read_guard held(lock);
    of_thread.be_made();
  }).join();
  of_main.be_made();
  works_before_and_after_main::work();
}
