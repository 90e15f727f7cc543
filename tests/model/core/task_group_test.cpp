// Groups of tasks: docs/protocols/fork_join.md.

#include <heddle/exec/task_group.hpp>

#include <memory>
#include <utility>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::task_group;
using heddle::thread_pool;

// One task that the waiter claims, or the other worker takes. (At another level than its own, so
// that it does not lie in the waiter's deque.) Fails when the claim is a load and a store, when the
// holder that comes last does not free the cell, or the first one does, and when the wait does not
// wait for a task that was taken.
TEST(TaskGroupModel, ATaskIsClaimedOrTaken) {
  holds(
      [] {
        prim::cell<int> calls{0};
        thread_pool pool(tiny(2));
        pool.post([&] {
          task_group group;
          group.run(heddle::priority::high, [&] { calls.set(calls.get() + 1); });
          group.wait();
          model::check(calls.get() == 1);
        });
      },
      one_preemption());
}

// The same in the waiter's deque, from which it is popped.
TEST(TaskGroupModel, ATaskIsTakenBackOrStolen) {
  holds(
      [] {
        prim::cell<int> calls{0};
        thread_pool pool(tiny(2));
        pool.post([&] {
          task_group group;
          group.run([&] { calls.set(calls.get() + 1); });
          group.wait();
          model::check(calls.get() == 1);
        });
      },
      one_preemption());
}

// The group is gone as soon as the wait for its last task has returned. Fails when end() gives the
// lock up before it has taken the sleepers, or looks at the group behind the lock.
TEST(TaskGroupModel, TheLastTaskAgainstTheEndOfTheGroup) {
  holds(
      [] {
        prim::cell<int> calls{0};
        thread_pool pool(tiny(1));
        {
          const auto group = std::make_unique<task_group>(pool);
          group->run([&] { calls.set(calls.get() + 1); });
          group->wait();
        }
        model::check(calls.get() == 1);
      },
      in_two_parts{});
}

// Fails when cancel() does not claim what it drops.
TEST(TaskGroupModel, CancelAgainstATask) {
  holds(
      [] {
        struct traced {
          explicit traced(prim::cell<int>& c) noexcept : count(&c) {}
          traced(traced&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
          ~traced() {
            if (count != nullptr) count->set(count->get() + 1);
          }
          prim::cell<int>* count;
        };
        prim::cell<int> dropped{0};
        prim::cell<int> calls{0};
        thread_pool pool(tiny(1));
        task_group group(pool);
        group.run([&calls, t = traced(dropped)] { calls.set(calls.get() + 1); });
        group.cancel();
        model::check(!group.wait());
        model::check(dropped.get() == 1);
        model::check(calls.get() <= 1);
      },
      in_two_parts{});
}

// A waiter without a spare sleeps, and nobody else could run the task that comes then. Fails when
// it is not called, and when it sleeps on a task that was added while it lay down. (The task that
// adds it comes to that only when the waiter is about to look, so that one preemption suffices.)
TEST(TaskGroupModel, ASleeperRunsWhatComes) {
  holds(
      [] {
        meeting m;
        prim::parker has_begun, waits, go_on;
        thread_pool pool(tiny(2));
        pool.post([&] {
          task_group group;
          group.run([&] {
            has_begun.unpark();
            go_on.park();
            group.run([&] { m.second(); });
            m.first();
          });
          has_begun.park();
          waits.unpark();
          group.wait();
        });
        waits.park();
        go_on.unpark();
      },
      one_preemption());
}

}  // namespace
