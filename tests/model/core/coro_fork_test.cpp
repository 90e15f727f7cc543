// Fork and join of coroutines: docs/protocols/coroutines.md.

#include <heddle/coro/fork.hpp>

#include <stdexcept>
#include <utility>

#include <heddle/coro/await.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/prim/cell.hpp>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::manual_reset_event;
using heddle::thread_pool;
using heddle::coro::fork;
using heddle::coro::fork_join;
using heddle::coro::join;
using heddle::coro::spawn;
using heddle::coro::task;

// Nobody takes the rest, though somebody looks for it as the first task ends. Fails when that one
// does not take it back.
TEST(CoroForkModel, ATaskTakesTheRestBack) {
  holds(
      [] {
        thread_pool pool(tiny(2));
        prim::cell<int> data[2];
        const auto sets = [&](int i) -> task<> {
          data[i].set(1);
          co_return;
        };
        const auto parent = [&]() -> task<int> {
          co_await fork_join(sets(0), sets(1));
          co_return data[0].get() + data[1].get();
        };
        model::check(spawn(pool, parent()).get() == 2);
      },
      one_preemption());
}

// The first task ends before the join, or behind it. Fails when a lane that a fork opened tells
// nobody, when a thief does not count, when the join goes on regardless, and when the task goes on
// with what was taken, or lets nobody go on.
TEST(CoroForkModel, TheRestIsTakenFromATasksLeaf) {
  holds(
      [] {
        meeting m;
        prim::cell<int> data;
        thread_pool pool(tiny(2));
        const auto first = [&]() -> task<> {
          m.first();
          co_return;
        };
        const auto second = [&]() -> task<> {
          m.second();
          data.set(1);
          co_return;
        };
        const auto parent = [&]() -> task<int> {
          co_await fork_join(second(), first());
          co_return data.get();
        };
        model::check(spawn(pool, parent()).get() == 1);
      },
      one_preemption());
}

// The worker goes on with the rest when the first task waits; another thread ends that wait, and
// the task comes back to the worker before the join, or behind it. Fails when the rest stays in the
// lane, and when who takes it from there does not count.
TEST(CoroForkModel, ATaskThatWaitsLeavesTheRest) {
  holds(
      [] {
        manual_reset_event gate;
        prim::cell<int> data;
        thread_pool pool(tiny(1));
        prim::thread setter([&] { gate.set(); });
        const auto waits = [&]() -> task<> {
          co_await gate;
          data.set(1);
        };
        const auto nothing = []() -> task<> { co_return; };
        const auto parent = [&]() -> task<int> {
          co_await fork_join(waits(), nothing());
          co_return data.get();
        };
        model::check(spawn(pool, parent()).get() == 1);
        setter.join();
      },
      one_preemption());
}

// Two tasks wait, and end on two workers, each of which may be the last. Fails when the parent is
// touched behind the count.
TEST(CoroForkModel, TwoTasksEndOnTwoThreads) {
  holds(
      [] {
        manual_reset_event gate;
        thread_pool pool(tiny(2));
        const auto waits = [&]() -> task<int> {
          co_await gate;
          co_return 1;
        };
        const auto opens = [&]() -> task<> {
          gate.set();
          co_return;
        };
        const auto [a, b, c] = spawn(pool, fork_join(waits(), waits(), opens())).get();
        model::check(a + b == 2);
      },
      one_preemption());
}

// One task fails as another begins to wait, and makes the token by which it is told. Fails when a
// failure does not look for a token.
TEST(CoroForkModel, AFailureAgainstAWait) {
  holds(
      [] {
        manual_reset_event never;
        meeting m;
        thread_pool pool(tiny(2));
        const auto waits = [&]() -> task<> {
          m.second();
          co_await never;
        };
        const auto fails = [&]() -> task<> {
          m.first();
          throw std::runtime_error("first");
          co_return;
        };
        bool thrown = false;
        try {
          spawn(pool, fork_join(waits(), fails())).get();
        } catch (const std::runtime_error&) {
          thrown = true;
        }
        model::check(thrown);
      },
      one_preemption());
}

// The job that the rest was taken from ends first. Fails when a visit is counted behind the theft,
// or not at all.
TEST(CoroForkModel, APoolDrainsWhatWasTaken) {
  holds(
      [] {
        bool ended = false;
        thread_pool pool(tiny(2));
        const auto nothing = []() -> task<> { co_return; };
        const auto ends = [&]() -> task<> {
          ended = true;
          co_return;
        };
        static_cast<void>(spawn(pool, fork_join(nothing(), ends())));
        pool.shutdown(heddle::shutdown_mode::drain);
        model::check(ended);
      },
      one_preemption());
}

// A task ends as its child does, which waited; each may be last, and whoever awaits the task goes
// on behind both. Fails when the task does not wait at its end, when its last child lets nobody go
// on, or touches it behind the count.
TEST(CoroForkModel, ATaskEndsAsItsChildDoes) {
  holds(
      [] {
        manual_reset_event gate;
        prim::cell<int> data;
        thread_pool pool(tiny(1));
        prim::thread setter([&] { gate.set(); });
        const auto child = [&]() -> task<> {
          co_await gate;
          data.set(1);
        };
        const auto parent = [&]() -> task<> { co_await fork(child()); };
        const auto outer = [&]() -> task<int> {
          co_await parent();
          co_return data.get();
        };
        model::check(spawn(pool, outer()).get() == 1);
        setter.join();
      },
      one_preemption());
}

// The parent is taken, and lets go of the handle as the child ends. Fails when both destroy
// the frame, or none does, and when the join does not wait.
TEST(CoroForkModel, AHandleGoesAsTheChildEnds) {
  holds(
      [] {
        struct noted {
          explicit noted(int& c) noexcept : count(&c) { ++c; }
          noted(noted&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
          ~noted() {
            if (count != nullptr) --*count;
          }
          int* count;
        };
        int alive = 0;
        meeting m;
        prim::cell<int> data;
        thread_pool pool(tiny(2));
        const auto child = [&](noted) -> task<int> {
          m.second();
          data.set(1);
          co_return 1;
        };
        const auto parent = [&]() -> task<int> {
          {
            const auto handle = co_await fork(child(noted(alive)));
            m.first();
          }
          co_await join();
          co_return data.get();
        };
        model::check(spawn(pool, parent()).get() == 1);
        model::check(alive == 0);
      },
      one_preemption());
}

// The child begins to wait as its parent fails. Fails when who makes the token does not look for
// that, and when the parent does not tell.
TEST(CoroForkModel, ATaskFailsAgainstAWait) {
  holds(
      [] {
        manual_reset_event never;
        meeting m;
        thread_pool pool(tiny(2));
        const auto waits = [&]() -> task<> {
          m.second();
          co_await never;
        };
        const auto parent = [&]() -> task<> {
          co_await fork(waits());
          m.first();
          throw std::runtime_error("parent");
        };
        bool thrown = false;
        try {
          spawn(pool, parent()).get();
        } catch (const std::runtime_error&) {
          thrown = true;
        }
        model::check(thrown);
      },
      one_preemption());
}

}  // namespace
