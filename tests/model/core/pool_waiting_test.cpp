// Waiting inside of tasks, and who stands in: docs/protocols/pool_sleep.md.

#include <heddle/future/promise.hpp>

#include <optional>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::future;
using heddle::promise;
using heddle::thread_pool;

// One worker, which has to do the child's work itself. Fails when help does not run the task.
TEST(PoolWaitingModel, AWaiterRunsWhatItWaitsFor) {
  holds([] {
    thread_pool pool(tiny(1));
    auto f = pool.submit([&] { return pool.submit([] { return 1; }).get() + 1; });
    model::check(f.get() == 2);
  });
}

// The child may be run by the waiter, or stolen; then the waiter sleeps. Fails when the claim is a
// load and a store.
TEST(PoolWaitingModel, AChildIsHelpedOrStolen) {
  holds(
      [] {
        thread_pool pool(tiny(2));
        auto f = pool.submit([&] { return pool.submit([] { return 1; }).get() + 1; });
        model::check(f.get() == 2);
      },
      one_preemption());
}

// A task put back by a waiter that looked for tombstones is found. Fails when bury_tombstones does
// not notify.
TEST(PoolWaitingModel, APutBackTaskIsFound) {
  holds(
      [] {
        meeting m;
        thread_pool pool(tiny(2));
        pool.post([&] {
          pool.post([&] { m.second(); });
          pool.submit([] {}).get();
          m.first();
        });
      },
      one_preemption());
}

// The only worker waits for what a task behind it does. Fails when enter_wait wakes nobody.
TEST(PoolWaitingModel, ASpareStandsIn) {
  holds(
      [] {
        promise<int> p;
        auto result = p.get_future();
        thread_pool pool(tiny(1, 1));
        auto waiter = pool.submit([&] { return result.get(); });
        pool.post([&] { p.set_value(1); });
        model::check(waiter.get() == 1);
      },
      in_two_parts{});
}

// The same, with the task that ends the wait in front of the waiting worker alone. Fails when
// enter_wait does not look into its inbox.
TEST(PoolWaitingModel, ASpareStandsInForAPlacedTask) {
  holds(
      [] {
        promise<int> p;
        auto result = p.get_future();
        thread_pool pool(tiny(1, 1));
        auto waiter = pool.submit([&] { return result.get(); });
        auto placed = pool.submit_to(0, [&] { p.set_value(1); });
        model::check(waiter.get() == 1);
      },
      in_two_parts{});
}

// The wait ends while its slot is given away. Fails when leave_wait takes a slot that is held.
TEST(PoolWaitingModel, TheSlotIsTakenBackOrNot) {
  holds(
      [] {
        promise<int> p;
        auto result = p.get_future();
        thread_pool pool(tiny(1, 1));
        pool.post([&] { result.get(); });
        pool.post([] {});
        p.set_value(1);
      },
      in_two_parts{});
}

// A spare's time is over while it is chosen. Fails when spare_leaves does not look whether it was.
TEST(PoolWaitingModel, ASpareLeavesOrIsAdopted) {
  model::options bounds;
  bounds.preemptions = 1;
  holds(
      [] {
        promise<int> p;
        auto result = p.get_future();
        auto o = tiny(1, 1);
        o.spare_keep_alive = std::chrono::milliseconds(1);
        thread_pool pool(std::move(o));
        pool.post([&] { result.get(); });
        pool.post([&] { p.set_value(1); });
        pool.submit([] {}).get();
      },
      bounds);
}

// A spare is on its way out, and counts as a thread until it is gone, when another is needed. Fails
// when a thread that has left does not look whether somebody waits for its place.
TEST(PoolWaitingModel, ASpareIsNeededWhileOneLeaves) {
  auto bounds = one_preemption();
  bounds.stale_reads = bounds.spurious_failures = 0;
  holds(
      [] {
        promise<int> p, q;
        auto first = p.get_future();
        auto second = q.get_future();
        auto o = tiny(1, 1);
        o.spare_keep_alive = std::chrono::milliseconds(1);
        thread_pool pool(std::move(o));
        pool.post([&] { first.get(); });
        pool.submit([&] { p.set_value(1); }).get();
        pool.post([&] { second.get(); });
        pool.post([&] { q.set_value(1); });
      },
      bounds);
}

// At the cap of spares the wait fails, and then nothing has changed. Fails when the thread is left
// without its delegate, so that it cannot help any more.
TEST(PoolWaitingModel, NoSpareIsLeft) {
  holds([] {
    promise<int> p;
    auto result = p.get_future();
    auto o = tiny(1, 0);
    o.when_starved = heddle::at_spare_cap::fail;
    thread_pool pool(std::move(o));
    auto f = pool.submit([&] {
      try {
        return result.get();
      } catch (const heddle::would_starve&) {
        return pool.submit([] { return 0; }).get();
      }
    });
    p.set_value(1);
    f.get();
  });
}

// No memory or no thread can be had at one moment, for an orphan at last: that must not be the end
// of everything. The waiting task has a limit, which lets it go on. Fails when the orphan of a
// refused thread is not laid down again.
TEST(PoolWaitingModel, AThreadIsRefused) {
  model::options bounds;
  bounds.preemptions = 1;
  bounds.allocation_failures = 1;
  holds(
      [] {
        try {
          promise<int> p;
          auto result = p.get_future();
          thread_pool pool(tiny(1, 1));
          auto waiter = pool.submit([&] { return result.wait_until(soon()); });
          pool.post([] {});
          waiter.get();
        } catch (const std::bad_alloc&) {
        } catch (const std::system_error&) {
        }
      },
      bounds);
}

}  // namespace
