// A process forks at the moment at which another of its threads uses the library for the first
// time: the child must not find that use half done. Each attempt is in a process of its own, which
// has not used the library yet.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <heddle/prim/config.hpp>
#include <heddle/probe/names.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/watch/wait_graph.hpp>

namespace {

using namespace std::chrono_literals;

// Gives the thread a name, an entry among the waits, and a lock one among the locks.
void use_everything(std::chrono::milliseconds wait) {
  heddle::set_current_thread_name("first");
  heddle::mutex m("lock");
  m.lock();
  m.unlock();
  heddle::manual_reset_event never;
  never.wait_for(wait);
}

// Whether the process ended well within any slow machine's time.
bool ends_well(pid_t process) {
  int status = 0;
  return ::waitpid(process, &status, 0) == process && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int fork_beside_a_first_use() {
  ::alarm(60);
  std::atomic<bool> go{false};
  std::thread other([&go] {
    while (!go.load(std::memory_order_relaxed)) {
    }
    use_everything(1ms);
  });
  go.store(true, std::memory_order_relaxed);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    const bool is_alone = heddle::wait_graph().waits.empty();
    use_everything(1ms);
    std::thread(&use_everything, 1ms).join();
    ::_exit(is_alone ? 0 : 1);
  }
  const bool well = ends_well(child);
  other.join();
  return well ? 0 : 1;
}

}  // namespace

int main() {
  if (HEDDLE_TSAN) return EXIT_SUCCESS;  // it allows no threads in a forked child
  for (int i = 0; i < 200; ++i) {
    const pid_t attempt = ::fork();
    if (attempt == 0) ::_exit(fork_beside_a_first_use());
    if (!ends_well(attempt)) {
      std::fprintf(stderr, "attempt %d: the child hangs, or sees a wait of a thread not there\n",
                   i);
      return EXIT_FAILURE;
    }
  }
  return EXIT_SUCCESS;
}
