// A queue that can be full, and the four things that a pool can do about one task more.

#include <cstdio>
#include <latch>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <heddle/exec/thread_pool.hpp>

namespace {

heddle::thread_pool_options bounded(heddle::when_full overflow) {
  // [options]
  heddle::thread_pool_options options;
  options.workers = 1;
  options.queue_capacity = 2;   // tasks that wait for their turn
  options.overflow = overflow;  // what happens to one more
  // [options end]
  return options;
}

// A pool whose worker is busy until told otherwise. A std::latch is a wait that Heddle does not
// see, so no spare stands in.
struct busy_pool {
  explicit busy_pool(heddle::when_full overflow) : pool(bounded(overflow)) {
    pool.post([this] {
      begun.count_down();
      free.wait();
    });
    begun.wait();
  }
  std::latch begun{1}, free{1};
  heddle::thread_pool pool;
};

bool blocks() {
  heddle::thread_pool pool(bounded(heddle::when_full::block));
  long sum = 0;  // one worker, so it needs no lock
  // [block]
  for (long i = 0; i < 10'000; ++i) {
    pool.post([&sum, i] { sum += i; });  // never more than two wait; the producer waits instead
  }
  // [block end]
  pool.wait_idle();
  const auto seen = pool.statistics();
  std::printf("block: all %llu ran\n", static_cast<unsigned long long>(seen.completed));
  return sum == 49'995'000 && seen.over_capacity == 0;
}

bool rejects() {
  busy_pool busy(heddle::when_full::reject);
  auto& pool = busy.pool;
  bool refused = false;
  // [reject]
  for (int i = 0; i < 3; ++i) {
    try {
      pool.post([] {});
    } catch (const heddle::rejected& e) {
      std::printf("reject: %s\n", e.what());
      refused = true;  // nothing was accepted; shed load, or try again later
    }
  }
  // [reject end]
  busy.free.count_down();
  return refused && pool.statistics().refused == 1;
}

bool runs_in_the_caller() {
  busy_pool busy(heddle::when_full::run_in_caller);
  auto& pool = busy.pool;
  // [run_in_caller]
  std::vector<heddle::future<std::thread::id>> where;
  for (int i = 0; i < 3; ++i) where.push_back(pool.submit(std::this_thread::get_id));
  const bool here = where.back().ready() && where.back().get() == std::this_thread::get_id();
  // [run_in_caller end]
  std::printf("run_in_caller: the third ran here: %s\n", here ? "yes" : "no");
  busy.free.count_down();
  return here && pool.statistics().ran_in_caller == 1;
}

bool drops_the_oldest() {
  busy_pool busy(heddle::when_full::drop_oldest);
  auto& pool = busy.pool;
  // [drop_oldest]
  std::vector<heddle::future<int>> readings;
  for (int i = 0; i < 5; ++i) readings.push_back(pool.submit([i] { return i; }));
  const bool first_is_gone = readings[0].failed();  // with heddle::cancelled
  // [drop_oldest end]
  busy.free.count_down();
  std::printf("drop_oldest: the last is %d\n", readings[4].get());
  return first_is_gone && readings[2].failed() && readings[3].get() == 3 &&
         pool.statistics().dropped == 3;
}

bool workers_never_wait() {
  heddle::thread_pool pool(bounded(heddle::when_full::block));
  // [workers]
  auto parent = pool.submit([&pool] {
    int sum = 0;
    std::vector<heddle::future<int>> children;
    for (int i = 0; i < 10; ++i) children.push_back(pool.submit([i] { return i; }));
    for (auto& child : children) sum += child.get();
    return sum;
  });
  // [workers end]
  const int sum = parent.get();
  std::printf("a task's own tasks: %llu above the bound\n",
              static_cast<unsigned long long>(pool.statistics().over_capacity));
  return sum == 45 && pool.statistics().over_capacity != 0;
}

}  // namespace

int main() {
  const bool right[] = {blocks(), rejects(), runs_in_the_caller(), drops_the_oldest(),
                        workers_never_wait()};
  for (const bool each : right) {
    if (!each) return 1;
  }
}
