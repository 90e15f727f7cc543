// The process's timers while its static objects are destroyed: those that are left are cancelled,
// and a static object that dies later than they do may still use them.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/timers.hpp>

using namespace std::chrono_literals;

namespace {

void expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::_Exit(1);
}

// Made before the library's own static objects could be, or after; dies with a timer of its own.
struct user {
  const char* name;
  heddle::manual_executor work;
  heddle::future<void> far;
  heddle::periodic_timer ticking;

  explicit user(const char* n) : name(n) {}
  void begin() {
    far = heddle::schedule_after(work, 24h, [] {});
    ticking = heddle::schedule_every(work, 1ms, [] {});
  }
  ~user() {
    // Whether or not the library's part is gone, a timer that is asked for now runs.
    bool ran = false;
    heddle::schedule_after(heddle::inline_executor(), 1ms, [&] { ran = true; }).get();
    expect(ran, name);
    if (!far.cancel()) expect(far.failed(), "cancelled");
    ticking = {};
  }
};

user at_namespace_scope("a static object");

user& local() {
  static user u("a local static object");
  return u;
}

}  // namespace

int main() {
  at_namespace_scope.begin();
  local().begin();
  // Left behind: nobody holds its future, and nobody will wait for it.
  static heddle::manual_executor nobody_runs_this;
  {
    auto dropped = heddle::schedule_after(nobody_runs_this, 24h, [] {});
  }
  std::atexit([] { heddle::schedule_after(heddle::inline_executor(), 1ms, [] {}).get(); });
  return 0;
}
