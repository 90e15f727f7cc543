// Coroutines that wait elsewhere while their pool ends: docs/protocols/pool_shutdown.md.

#include <heddle/coro/spawn.hpp>

#include <heddle/base/errors.hpp>
#include <heddle/coro/await.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/sync/event.hpp>

#include "pools.hpp"

namespace {

using namespace core_model;
using heddle::manual_reset_event;
using heddle::thread_pool;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::task;

// Fails when the pool's end does not ask for residents, and when who wakes one is refused.
TEST(CoroPoolEndModel, ADrainWaitsForWhoIsWoken) {
  holds(
      [] {
        manual_reset_event event;
        bool ended = false;
        const auto waits = [&]() -> task<> {
          co_await event;
          ended = true;
        };
        prim::thread setter;
        {
          thread_pool pool(tiny(1));
          static_cast<void>(spawn(pool, waits()));
          setter = prim::thread([&] { event.set(); });
        }
        model::check(ended);
        setter.join();
      },
      one_preemption());
}

// It ends on the thread of who opens the event. Fails when nobody looks for quiet behind that.
TEST(CoroPoolEndModel, ADrainWaitsForWhoEndsElsewhere) {
  holds(
      [] {
        manual_reset_event event;
        bool ended = false;
        const auto waits = [&]() -> task<> {
          co_await schedule_on(heddle::inline_executor());
          co_await event;
          ended = true;
        };
        prim::thread setter;
        {
          thread_pool pool(tiny(1));
          static_cast<void>(spawn(pool, waits()));
          setter = prim::thread([&] { event.set(); });
        }
        model::check(ended);
        setter.join();
      },
      one_preemption());
}

// Whoever wakes it, it ends if it has begun.
TEST(CoroPoolEndModel, ACancelAgainstWhoWakesIt) {
  holds(
      [] {
        manual_reset_event event;
        bool ended = false;
        const auto waits = [&]() -> task<> {
          try {
            co_await event;
          } catch (const heddle::cancelled&) {
          }
          ended = true;
        };
        bool has_begun = false;
        const auto begins = [&]() -> task<> {
          has_begun = true;
          co_await waits();
        };
        thread_pool pool(tiny(1));
        static_cast<void>(spawn(pool, begins()));
        prim::thread setter([&] { event.set(); });
        pool.shutdown(heddle::shutdown_mode::cancel);
        model::check(ended == has_begun);
        setter.join();
      },
      one_preemption());
}

}  // namespace
