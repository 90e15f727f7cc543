// Pools whose queue is bounded: docs/protocols/pool_admission.md.

#include <optional>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::future;
using heddle::thread_pool;
using heddle::when_full;

heddle::thread_pool_options room_for_one(when_full overflow) {
  auto o = tiny(1);
  o.queue_capacity = 1;
  o.overflow = overflow;
  return o;
}

// Submits a task that counts its runs; nothing when the pool no longer takes it.
std::optional<future<void>> submit_one(thread_pool& pool, prim::cell<int>& runs) {
  try {
    return pool.submit([&] { runs.set(runs.get() + 1); });
  } catch (const heddle::rejected&) {
    return std::nullopt;
  }
}

// Fails when a task that leaves the queue wakes no submitter.
TEST(PoolBoundedModel, ASubmitterWaitsForRoom) {
  holds(
      [] {
        prim::cell<int> runs;
        thread_pool pool(room_for_one(when_full::block));
        submit_one(pool, runs);
        submit_one(pool, runs);
        submit_one(pool, runs)->get();
        model::check(runs.get() == 3);
      },
      in_two_parts{});
}

// Fails when a task that leaves the queue wakes no submitter.
TEST(PoolBoundedModel, TwoSubmittersWaitForRoom) {
  holds(
      [] {
        prim::cell<int> runs;
        thread_pool pool(room_for_one(when_full::block));
        prim::thread other([&] { submit_one(pool, runs)->get(); });
        submit_one(pool, runs);
        submit_one(pool, runs)->get();
        other.join();
        model::check(runs.get() == 3);
      },
      one_preemption());
}

// The worker is busy until the submitter, for whom there is no room, is sent away. Fails when
// shutdown wakes no submitter.
TEST(PoolBoundedModel, ShutdownFreesASubmitter) {
  holds(
      [] {
        prim::parker begun, refused;
        prim::cell<int> runs;
        thread_pool pool(room_for_one(when_full::block));
        pool.post([&] {
          begun.unpark();
          refused.park();
        });
        begun.park();
        auto waits = submit_one(pool, runs);
        prim::thread submitter([&] {
          model::check(!submit_one(pool, runs), "there was no room");
          refused.unpark();
        });
        model::check(pool.shutdown().completed);
        submitter.join();
        model::check(waits->ready() && runs.get() == 1);
      },
      in_two_parts{});
}

// The last task may leave the pool by being dropped, by a submitter that is then refused. Fails
// when drop_oldest does not check whether all is quiet.
TEST(PoolBoundedModel, DropOldestAgainstShutdown) {
  holds(
      [] {
        prim::cell<int> runs;
        thread_pool pool(room_for_one(when_full::drop_oldest));
        prim::thread submitter([&] {
          auto one = submit_one(pool, runs);
          auto two = submit_one(pool, runs);
          if (one) one->wait();
          if (two) two->wait();
          const int done = (one && !one->failed() ? 1 : 0) + (two && !two->failed() ? 1 : 0);
          model::check(runs.get() == done, "what was accepted is run or cancelled");
        });
        model::check(pool.shutdown().completed);
        submitter.join();
      },
      in_two_parts{});
}

// A task in its caller's stead is one of the pool's: its child is run or refused. Fails when
// run_in_caller does not count the task under the lock that closes the queue.
TEST(PoolBoundedModel, RunInCallerAgainstShutdown) {
  holds(
      [] {
        prim::cell<int> runs;
        thread_pool pool(room_for_one(when_full::run_in_caller));
        prim::thread submitter([&] {
          std::optional<future<void>> child;
          try {
            pool.post([] {});
            pool.post([&] {
              if (!pool.worker_index()) child = submit_one(pool, runs);
            });
          } catch (const heddle::rejected&) {
          }
          if (child) child->get();
        });
        model::check(pool.shutdown().completed);
        submitter.join();
      },
      in_two_parts{});
}

}  // namespace
