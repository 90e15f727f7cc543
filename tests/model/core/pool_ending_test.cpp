// The end of a pool, and waiting for the end of its tasks: docs/protocols/pool_shutdown.md.

#include <heddle/prim/atomic.hpp>

#include <memory>
#include <optional>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::shutdown_mode;
using heddle::thread_pool;

// Fails when stop_workers wakes nobody.
TEST(PoolEndingModel, DestroyedAtOnce) {
  holds([] { thread_pool pool(tiny(2)); }, in_two_parts{});
}

// Fails when a thread that falls asleep does not check whether all is quiet.
TEST(PoolEndingModel, TheDestructorDrains) {
  holds([] {
    prim::cell<int> runs;
    {
      thread_pool pool(tiny(1));
      pool.post([&] {
        runs.set(1);
        pool.post([&] { runs.set(runs.get() + 1); });
      });
    }
    model::check(runs.get() == 2, "what tasks submit is run, too");
  });
}

// Fails when stop_workers wakes nobody.
TEST(PoolEndingModel, DestroyedRightAfterTheLastGet) {
  holds(
      [] {
        auto pool = std::make_unique<thread_pool>(tiny(2));
        auto f = pool->submit([] { return 1; });
        model::check(f.get() == 1);
        pool.reset();
      },
      in_two_parts{});
}

// Fails when the queue is not closed.
TEST(PoolEndingModel, DrainAgainstSubmit) {
  holds([] {
    thread_pool pool(tiny(1));
    prim::cell<int> runs;
    bool accepted = false;
    prim::thread submitter([&] {
      try {
        pool.submit([&] { runs.set(1); }).get();
        accepted = true;
      } catch (const heddle::rejected&) {
      }
    });
    model::check(pool.shutdown().completed);
    submitter.join();
    model::check(runs.get() == (accepted ? 1 : 0), "accepted work is run");
  });
}

// Fails when the queue is not closed.
TEST(PoolEndingModel, CancelAgainstSubmit) {
  holds(
      [] {
        thread_pool pool(tiny(1));
        prim::cell<int> runs;
        auto f = pool.submit([&] { runs.set(1); });
        prim::thread submitter([&] {
          try {
            pool.post([] {});
          } catch (const heddle::rejected&) {
          }
        });
        model::check(pool.shutdown(shutdown_mode::cancel).completed);
        model::check(f.ready(), "every accepted task's future is ready");
        model::check(runs.get() == (f.failed() ? 0 : 1));
        submitter.join();
      },
      in_two_parts{});
}

// Running work hears of the cancellation. Fails when cancel does not trip the stop source.
TEST(PoolEndingModel, CancelStopsWhatRuns) {
  holds([] {
    thread_pool pool(tiny(1));
    heddle::prim::parker stopped;
    auto f = pool.submit([&](heddle::prim::stop_token stop) {
      const auto wake = [&]() noexcept { stopped.unpark(); };
      const heddle::prim::stop_callback<decltype(wake)> callback(stop, wake);
      stopped.park();
    });
    model::check(pool.shutdown(shutdown_mode::cancel).completed && f.ready());
  });
}

// Fails when a thread that has left is joined by nobody.
TEST(PoolEndingModel, TwoShutDown) {
  holds(
      [] {
        thread_pool pool(tiny(1));
        pool.post([] {});
        prim::thread other([&] { model::check(pool.shutdown().completed); });
        model::check(pool.shutdown().completed);
        other.join();
      },
      in_two_parts{});
}

// A limit that comes while the task runs; then the rest. Fails when a missed limit is reported as
// success.
TEST(PoolEndingModel, ADeadlineThenADrain) {
  holds([] {
    thread_pool pool(tiny(1));
    auto f = pool.submit([] { return 1; });
    if (pool.shutdown(shutdown_mode::drain, soon()).completed) {
      model::check(f.ready());
    } else {
      model::check(pool.shutdown().completed && f.ready());
    }
  });
}

// Fails when who has registered does not look itself.
TEST(PoolEndingModel, WaitIdleFromOutside) {
  holds(
      [] {
        thread_pool pool(tiny(1));
        auto f = pool.submit([] { return 1; });
        model::check(pool.wait_idle() && f.ready(),
                     "idle means that all that was accepted is done");
      },
      in_two_parts{});
}

// Fails when the waiting task is not counted among those that wait.
TEST(PoolEndingModel, WaitIdleFromInside) {
  holds(
      [] {
        thread_pool pool(tiny(1, 1));
        prim::cell<int> runs;
        auto f = pool.submit([&] {
          pool.post([&] { runs.set(1); });
          pool.wait_idle();
          model::check(runs.get() == 1, "only the waiting task itself is left");
        });
        f.get();
      },
      in_two_parts{});
}

// Two tasks wait, each for all but those that wait. Fails when quiet is when one task is left.
TEST(PoolEndingModel, TwoWaitIdleInside) {
  holds(
      [] {
        thread_pool pool(tiny(1, 1));
        auto one = pool.submit([&] { pool.wait_idle(); });
        auto two = pool.submit([&] { pool.wait_idle(); });
        one.get();
        two.get();
      },
      one_preemption());
}

// A task drops the last reference to its own pool, or the submitter does. Fails when a thread gives
// up its reference before it has left, and when the count of
// references goes down without release or acquire.
TEST(PoolEndingModel, ATaskDestroysItsPool) {
  holds(
      [] {
        struct shared {
          prim::atomic<int> owners{2};
          thread_pool pool{tiny(2)};
          void drop() {
            if (owners.fetch_sub(1, prim::acq_rel) == 1) delete this;
          }
        };
        auto* const s = new shared;
        s->pool.post([s] { s->drop(); });
        s->drop();
      },
      in_two_parts{});
}

}  // namespace
