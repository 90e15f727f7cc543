// Coroutines that wait elsewhere while their pool ends: docs/protocols/coroutines.md.

#include <heddle/coro/spawn.hpp>

#include <optional>

#include <heddle/base/errors.hpp>
#include <heddle/coro/await.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/sync/event.hpp>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::cancelled;
using heddle::future;
using heddle::inline_executor;
using heddle::manual_reset_event;
using heddle::strand;
using heddle::thread_pool;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::task;

task<bool> goes_on_behind(manual_reset_event& event) {
  try {
    co_await event;
  } catch (const cancelled&) {
    co_return false;
  }
  co_return true;
}

// The pool accepts it or refuses it; it ends, and is told of. Fails when the task does not keep the
// pool's core, or gives it up before its end.
TEST(CoroPoolEndModel, WhoIsWokenFindsThePoolOrNot) {
  holds(
      [] {
        manual_reset_event event;
        future<bool> result;
        prim::thread setter;
        {
          thread_pool pool(tiny(1));
          result = spawn(pool, goes_on_behind(event));
          setter = prim::thread([&] { event.set(); });
        }
        setter.join();
        model::check(result.ready());
        static_cast<void>(result.get());
      },
      one_preemption());
}

// Nobody holds the pool any more but the task that was woken and whoever wakes it.
TEST(CoroPoolEndModel, TheLastToGoIsTheTask) {
  holds(
      [] {
        manual_reset_event event;
        std::optional<thread_pool> pool(tiny(1));
        future<bool> first = spawn(*pool, goes_on_behind(event));
        future<bool> second = spawn(*pool, goes_on_behind(event));
        pool->wait_idle();
        pool.reset();
        prim::thread setter([&] { event.set(); });
        model::check(!first.get());
        model::check(!second.get());
        setter.join();
      },
      one_preemption());
}

// A task of the pool's own destroys it meanwhile. Fails when such a pool still accepts.
TEST(CoroPoolEndModel, WhoIsWokenWhileAWorkerDestroysThePool) {
  holds(
      [] {
        manual_reset_event event;
        prim::parker given;
        std::optional<thread_pool> pool(tiny(1, 1));
        future<bool> result = spawn(*pool, goes_on_behind(event));
        future<void> destroyed = pool->submit([&] {
          given.park();
          pool.reset();
        });
        given.unpark();
        prim::thread setter([&] { event.set(); });
        static_cast<void>(result.get());
        destroyed.get();
        setter.join();
      },
      one_preemption());
}

// The same for one that has come there. Fails when it does not take a reference with it, or gives
// it back as it arrives.
TEST(CoroPoolEndModel, WhoHasComeToThePoolIsWoken) {
  holds(
      [] {
        manual_reset_event event;
        inline_executor here;
        bool ended = false;
        const auto comes = [&](thread_pool& to) -> task<> {
          co_await schedule_on(to);
          static_cast<void>(co_await goes_on_behind(event));
          ended = true;
        };
        prim::thread setter;
        {
          thread_pool pool(tiny(1));
          static_cast<void>(spawn(here, comes(pool)));
          setter = prim::thread([&] { event.set(); });
        }
        setter.join();
        model::check(ended);
      },
      one_preemption());
}

// Fails when the strand does not keep the pool's core.
TEST(CoroPoolEndModel, WhoIsWokenFindsAStrandOnThePool) {
  holds(
      [] {
        manual_reset_event event;
        future<bool> result;
        prim::thread setter;
        {
          thread_pool pool(tiny(1));
          result = spawn(strand(pool), goes_on_behind(event));
          setter = prim::thread([&] { event.set(); });
        }
        setter.join();
        model::check(result.ready());
      },
      one_preemption());
}

}  // namespace
