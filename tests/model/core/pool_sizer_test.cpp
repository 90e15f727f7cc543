// The thread that finds a pool's size, asleep and awake: docs/protocols/pool_sizing.md.

#include <memory>

#include <heddle/sync/blocking_region.hpp>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::thread_pool;
namespace sizing = heddle::sizing;

// Begins with `First` workers, and wants `Then`: as soon as work waits, if that is more.
template <int First, int Then>
class step_law final : public sizing::law {
 public:
  sizing::choice first(double, int, int) override { return {First, sizing::cause::start, {}, {}}; }
  sizing::choice next(const sizing::window& now) override {
    if (Then > First && now.queued == 0) return {now.size, sizing::cause::nothing_new, {}, {}};
    return {Then, sizing::cause::trial, {}, {}};
  }
};

template <int First, int Then>
heddle::thread_pool_options stepping() {
  auto o = tiny(0);
  o.sizing = {.min = 1, .max = 3, .make_law = []() -> std::unique_ptr<sizing::law> {
                return std::make_unique<step_law<First, Then>>();
              }};
  return o;
}

// The sizer reads every counter of the pool in each window, so that only orders are explored. A
// window ends when nothing else can happen.
model::options orders_only() {
  auto o = one_preemption();
  o.stale_reads = o.spurious_failures = o.timeouts = 0;
  return o;
}

// Several windows pass, and the sizer rests.
void pause_for_some_windows() {
  prim::parker nobody;
  nobody.park_until(prim::deadline_after(std::chrono::milliseconds(50)));
}

// Each thread runs until it waits; a timeout lets a window end early.
model::options voluntary_switches(unsigned timeouts = 0) {
  auto o = orders_only();
  o.preemptions = 0;
  o.timeouts = timeouts;
  return o;
}

// Fails when stop_workers does not wake the sizer.
TEST(PoolSizerModel, DestroyedAtOnce) {
  holds([] { const thread_pool pool(stepping<1, 2>()); }, one_preemption());
}

// Two tasks that need each other, and one worker: the sizer has to see that one waits. Fails when
// wake_one does not rouse the sizer.
TEST(PoolSizerModel, IsAwakeWhileWorkWaits) {
  holds(
      [] {
        meeting m;
        thread_pool pool(stepping<1, 2>());
        pool.post([&] { m.first(); });
        pool.post([&] { m.second(); });
      },
      orders_only());
}

// The sizer may rest while one task runs for long beside a free worker. Fails when a wake-up does
// not rouse a sizer that rests beside a task.
TEST(PoolSizerModel, RestsBesideALongTask) {
  holds(
      [] {
        prim::parker begun, ended;
        meeting m;
        thread_pool pool(stepping<2, 3>());
        pool.post([&] {
          begun.unpark();
          ended.park();
        });
        begun.park();
        pause_for_some_windows();
        pool.post([&] { m.first(); });
        pool.post([&] {
          m.second();
          ended.unpark();
        });
      },
      voluntary_switches());
}

// Fails when set_on does not wake the sizer.
TEST(PoolSizerModel, OffAndOnAgain) {
  holds(
      [] {
        meeting m;
        thread_pool pool(stepping<1, 2>());
        pool.set_sizing(false);
        pool.post([&] { m.first(); });
        pool.post([&] { m.second(); });
        pool.set_sizing(true);
      },
      orders_only());
}

// A worker waits, its slot goes, and what it had submitted must not go with it. Fails when
// set_limit does not give the deque away.
TEST(PoolSizerModel, ASlotThatGoesLeavesItsJobs) {
  holds(
      [] {
        meeting m;
        thread_pool pool(stepping<2, 1>());
        pool.post([&] {
          pool.post([&] { m.second(); });
          const heddle::blocking_scope scope;
          m.first();
        });
      },
      voluntary_switches(1));
}

}  // namespace
