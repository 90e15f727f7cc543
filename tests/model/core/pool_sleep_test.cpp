// Who sleeps and who is woken: docs/protocols/pool_sleep.md.

#include <heddle/prim/atomic.hpp>

#include <optional>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::thread_pool;

// Fails when notify has no fence, when the last one to fall asleep does not look once more, and
// when a waker wakes nobody.
TEST(PoolSleepModel, OneTaskIsRun) {
  holds([] {
    thread_pool pool(tiny(1));
    auto f = pool.submit([] { return 1; });
    model::check(f.get() == 1);
  });
}

// Fails when wake_one wakes nobody.
TEST(PoolSleepModel, TwoWorkersTwoTasks) {
  holds(
      [] {
        thread_pool pool(tiny(2));
        auto one = pool.submit([] { return 1; });
        auto two = pool.submit([] { return 2; });
        model::check(one.get() + two.get() == 3);
      },
      one_preemption());
}

// Two tasks that need both workers. Fails when the last searcher finds work and does not wake the
// next one.
TEST(PoolSleepModel, TwoTasksRunAtTheSameTime) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        pool.post([&] { m.first(); });
        pool.post([&] { m.second(); });
      },
      in_two_parts{});
}

// Fails when a submission from inside wakes nobody.
TEST(PoolSleepModel, AChildIsStolen) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        pool.post([&] {
          pool.post([&] { m.second(); });
          m.first();
        });
      },
      in_two_parts{});
}

// Fails when a worker that falls asleep does not look into its inbox once more, and when wake_slot
// wakes nobody.
TEST(PoolSleepModel, PlacedTasksAreRunWhereTheyBelong) {
  holds(
      [] {
        thread_pool pool(tiny(2));
        auto one = pool.submit_to(0, [&] { return pool.worker_index(); });
        auto two = pool.submit_to(1, [&] { return pool.worker_index(); });
        model::check(one.get() == 0u && two.get() == 1u);
      },
      in_two_parts{});
}

// Two threads submit. Fails when the last searcher finds work and does not wake the next one.
TEST(PoolSleepModel, TwoSubmitters) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        prim::thread other([&] { pool.post([&] { m.first(); }); });
        pool.post([&] { m.second(); });
        other.join();
      },
      one_preemption());
}

// A chain of two. Fails when the last searcher finds work and does not wake the next one.
TEST(PoolSleepModel, ABatchRunsAtTheSameTime) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        std::vector<std::function<void()>> tasks{[&] { m.first(); }, [&] { m.second(); }};
        pool.post_bulk(tasks);
      },
      one_preemption());
}

// Strict order: one queue, no deques. Fails when a submission from inside wakes nobody.
TEST(PoolSleepModel, FirstInFirstOut) {
  holds(
      [] {
        auto o = tiny(2);
        o.schedule = heddle::scheduling::fifo;
        meeting m;
        thread_pool pool(std::move(o));
        pool.post([&] {
          pool.post([&] { m.second(); });
          m.first();
        });
      },
      one_preemption());
}

// What a pool that follows the cores is told. Set by the body before anybody asks.
unsigned cores = 2;

heddle::thread_pool_options following() {
  auto o = tiny(0);
  cores = 2;
  o.core_count = []() noexcept { return cores; };
  return o;
}

// Time for the pool to ask again.
void two_seconds_pass() {
  prim::parker nobody;
  nobody.park_until(prim::deadline_after(std::chrono::seconds(2)));
}

model::options few() {
  model::options o = one_preemption();
  o.stale_reads = o.spurious_failures = 0;
  return o;
}

// A worker is taken away while a task comes for it. Fails when set_limit does not wake the thread
// of a slot above the limit.
TEST(PoolSleepModel, FewerCores) {
  holds(
      [] {
        thread_pool pool(following());
        two_seconds_pass();
        cores = 1;
        auto f = pool.submit([] { return 1; });
        try {
          model::check(pool.submit_to(1, [] { return 2; }).get() == 2);
        } catch (const std::invalid_argument&) {
          model::check(pool.size() == 1);
        }
        model::check(f.get() == 1);
      },
      few());
}

// Two tasks need the worker that comes back. Fails when set_limit does not look again.
TEST(PoolSleepModel, MoreCores) {
  holds(
      [] {
        meeting m;
        thread_pool pool(following());
        two_seconds_pass();
        cores = 1;
        pool.submit([] {}).get();
        two_seconds_pass();
        cores = 2;
        pool.post([&] { m.first(); });
        pool.post([&] { m.second(); });
      },
      few());
}

}  // namespace
