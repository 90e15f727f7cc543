// Threads that wait for each other: one example for each of events, latches, barriers, semaphores
// and lazy values.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <heddle/exec/thread_pool.hpp>
#include <heddle/sync/barrier.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/lazy.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/semaphore.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

namespace {

using namespace std::chrono_literals;

// [event]
// Collects messages; one thread sleeps until there is something to do, instead of looking all the
// time.
class inbox {
 public:
  void put(std::string message) {
    {
      const std::scoped_lock lock(mutex_);
      messages_.push_back(std::move(message));
    }
    filled_.set();
  }
  // Nothing when none came in time.
  std::vector<std::string> take_all(std::chrono::milliseconds timeout) {
    if (!filled_.wait_for(timeout)) return {};
    const std::scoped_lock lock(mutex_);
    return std::exchange(messages_, {});
  }

 private:
  heddle::auto_reset_event filled_;  // remembers one set(), so none is missed
  heddle::mutex mutex_;
  std::vector<std::string> messages_;
};
// [event end]

// [lazy]
const std::map<std::string, int>& prices() {
  // At namespace scope, too: it is initialized at compile time, and made by the first who asks.
  static constinit heddle::lazy<std::map<std::string, int>> table([] {
    return std::map<std::string, int>{{"thread", 3}, {"needle", 1}};  // or read from a file
  });
  return table.get();
}
// [lazy end]

std::size_t with_an_event(heddle::thread_pool& pool) {
  inbox box;
  for (int i = 0; i < 3; ++i) pool.post([&box] { box.put("hello"); });
  std::size_t seen = 0;
  while (seen < 3) seen += box.take_all(10s).size();
  pool.wait_idle();
  return seen;
}

int with_a_latch(heddle::thread_pool& pool) {
  // [latch]
  std::vector<int> parts(4);
  heddle::latch loaded(4);
  for (int i = 0; i < 4; ++i) {
    pool.post([&parts, &loaded, i] {
      parts[static_cast<std::size_t>(i)] = i;
      loaded.count_down();
    });
  }
  loaded.wait();  // or wait_for(1s), or wait(stop_token)
  // [latch end]
  int sum = 0;
  for (const int p : parts) sum += p;
  return sum;
}

int with_a_barrier() {
  // [barrier]
  // Each round every thread works on its part; between the rounds one of them adds up.
  constexpr int threads = 3;
  int parts[threads] = {};
  int total = 0;
  heddle::barrier end_of_round(threads, [&]() noexcept {
    for (int& p : parts) total += std::exchange(p, 0);
  });
  const auto work = [&](int mine) {
    for (int round = 0; round < 10; ++round) {
      parts[mine] += 1;
      end_of_round.arrive_and_wait();
    }
  };
  // [barrier end]
  std::thread a(work, 0);
  std::thread b(work, 1);
  work(2);
  a.join();
  b.join();
  return total;
}

bool with_a_broken_barrier() {
  // [broken]
  heddle::barrier start(3);  // of whom only two will come
  bool told = false;
  std::thread other([&] {
    try {
      start.arrive_and_wait();
    } catch (const heddle::broken_barrier&) {
      told = true;  // the other one has given up
    }
  });
  const bool started = start.arrive_and_wait_for(20ms);
  other.join();
  start.reset();  // and it can be used again
  // [broken end]
  return !started && told;
}

int with_a_semaphore(heddle::thread_pool& pool) {
  // [semaphore]
  heddle::counting_semaphore<> connections(2, "connections");  // the name is for reports
  int answers = 0;
  heddle::mutex mutex;
  for (int i = 0; i < 8; ++i) {
    pool.post([&] {
      connections.acquire();  // at most two are here at once; a spare thread works meanwhile
      const std::scoped_lock lock(mutex);
      ++answers;
      connections.release();
    });
  }
  pool.wait_idle();
  // [semaphore end]
  return answers;
}

int with_a_weighted_semaphore(heddle::thread_pool& pool) {
  // [weighted]
  heddle::weighted_semaphore memory(1'000);  // megabytes
  heddle::latch done(4);
  for (const std::uint64_t need : {100U, 900U, 100U, 300U}) {
    pool.post([&memory, &done, need] {
      {
        const auto mine = memory.hold(need);  // in turn: the 900 are not starved by what is small
        // ... until `mine` gives them back
      }
      done.count_down();
    });
  }
  done.wait();
  memory.resize(200);  // from now on there is less
  // [weighted end]
  try {
    memory.acquire(300);
  } catch (const std::invalid_argument& e) {
    std::printf("%s\n", e.what());
  }
  return static_cast<int>(memory.available());
}

}  // namespace

int main() {
  heddle::thread_pool pool(2);
  const bool right = with_an_event(pool) == 3 && with_a_latch(pool) == 6 &&
                     with_a_barrier() == 30 && with_a_broken_barrier() &&
                     with_a_semaphore(pool) == 8 && with_a_weighted_semaphore(pool) == 200 &&
                     prices().at("thread") == 3;
  return right ? 0 : 1;
}
