// Priorities other than normal: docs/protocols/pool_admission.md.

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::priority;
using heddle::shutdown_mode;
using heddle::thread_pool;

// Against the last searcher, which falls asleep. Fails when it does not look into the lanes once
// more, and when a searcher does not look into them at all.
TEST(PoolLanesModel, ALowTaskIsRun) {
  holds([] {
    thread_pool pool(tiny(1));
    auto f = pool.submit(priority::low, [] { return 1; });
    model::check(f.get() == 1);
  });
}

// The same with the lanes that go before the deque.
TEST(PoolLanesModel, AHighTaskIsRun) {
  holds([] {
    thread_pool pool(tiny(1));
    auto f = pool.submit(priority::high, [] { return 1; });
    model::check(f.get() == 1);
  });
}

// Two tasks of two priorities need both workers. Fails when the last searcher finds work and does
// not look into the lanes before it runs it.
TEST(PoolLanesModel, TwoLevelsRunAtTheSameTime) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        pool.post(priority::low, [&] { m.first(); });
        pool.post(priority::high, [&] { m.second(); });
      },
      one_preemption());
}

// A child goes into its parent's lane, where the other worker finds it. Fails when a push into a
// lane wakes nobody.
TEST(PoolLanesModel, AChildInALaneIsFound) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        pool.post(priority::low, [&] {
          pool.post([&] { m.second(); });
          m.first();
        });
      },
      one_preemption());
}

// Fails when shutdown does not close the lanes.
TEST(PoolLanesModel, CancelAgainstAPush) {
  holds(
      [] {
        thread_pool pool(tiny(1));
        prim::thread submitter([&] {
          try {
            pool.submit(priority::low, [] {}).wait();
          } catch (const heddle::rejected&) {
          }
        });
        model::check(pool.shutdown(shutdown_mode::cancel).completed);
        submitter.join();
      },
      in_two_parts{});
}

// The only worker is busy until the one that was cancelled in the lane is complete. Fails when
// shutdown does not discard what is in the lanes.
TEST(PoolLanesModel, CancelDiscardsWhatIsInALane) {
  holds(
      [] {
        prim::parker discarded;
        thread_pool pool(tiny(1));
        auto f = pool.submit(priority::low, [] {});
        f.on_ready([&]() noexcept { discarded.unpark(); });
        pool.post(priority::high, [&] { discarded.park(); });
        model::check(pool.shutdown(shutdown_mode::cancel).completed);
      },
      in_two_parts{});
}

}  // namespace
