// Locks with names and statistics that are destroyed late: by threads that end, by static
// destructors in either order, and by a thread that outlives them.

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include <heddle/sync/condition_variable.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/watch/lock_report.hpp>

namespace {

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::_Exit(1);
}

heddle::lock_statistics of(const char* name) {
  for (const heddle::lock_statistics& s : heddle::lock_snapshot()) {
    if (s.name == name) return s;
  }
  return {};
}

// Destroyed last: when all other locks are gone, their figures are not.
struct last {
  ~last() {
    check(of("static").acquisitions == 2, "a destroyed static lock's statistics are lost");
    check(of("static").object == nullptr, "a destroyed lock seems to be there");
    check(of("of a thread").acquisitions == 3, "an ended thread's statistics are lost");
    check(heddle::lock_report().to_json().size() > 100, "the report is empty");
    heddle::mutex late("later than all");
    late.record(heddle::lock_recording::all);
    {
      const std::lock_guard lock(late);
    }
    check(late.statistics().acquisitions == 1, "a lock in a static destructor is not recorded");
  }
} const the_last;

heddle::mutex named("static");
constinit heddle::mutex unnamed;

// Uses locks that are still there, and makes new ones.
struct middle {
  ~middle() {
    const std::lock_guard lock(named);
    const std::lock_guard other(unnamed);
  }
} const the_middle;

void use_in_a_thread() {
  heddle::mutex own("of a thread");
  own.record(heddle::lock_recording::all);
  const std::lock_guard lock(own);
}

}  // namespace

int main() {
  heddle::record_locks(heddle::lock_recording::all);
  std::thread(use_in_a_thread).join();
  std::thread(use_in_a_thread).join();
  // A lock that dies when its thread ends, after the thread's other objects.
  std::thread([] {
    thread_local std::optional<heddle::mutex> mine;
    mine.emplace("of a thread");
    mine->record(heddle::lock_recording::all);
    const std::lock_guard lock(*mine);
  }).join();
  const std::lock_guard lock(named);
  // Goes on taking locks while the program ends.
  std::thread([] {
    static auto& never_destroyed = *new heddle::mutex("never destroyed");
    for (;;) {
      const std::lock_guard held(never_destroyed);
      heddle::lock_snapshot();
    }
  }).detach();
}
