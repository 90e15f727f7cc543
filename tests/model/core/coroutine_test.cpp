#include <heddle/base/errors.hpp>
#include <heddle/coro/await.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/with_timeout.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/timers.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/stop_token.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::cancelled;
using heddle::counting_semaphore;
using heddle::future;
using heddle::inline_executor;
using heddle::manual_reset_event;
using heddle::promise;
using heddle::coro::acquire;
using heddle::coro::gather;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;

// The task goes on on its own thread, which may be about to suspend it, or asleep. Fails when
// post() wakes nobody, when it does not release, and when begin() does not count itself as one
// party.
TEST(CoroutineModel, AnEventIsSetWhileTheTaskIsSuspended) {
  holds([] {
    manual_reset_event event;
    prim::cell<int> data;
    prim::thread setter([&] {
      data.set(1);
      event.set();
    });
    const auto body = [&]() -> task<int> {
      co_await event;
      co_return data.get();
    };
    model::check(sync_wait(body()) == 1);
    setter.join();
  });
}

// Either of them ends the wait, once. Fails when the callback does not withdraw, and when end()
// does not wait for it.
TEST(CoroutineModel, AnEventAgainstAStop) {
  holds(
      [] {
        manual_reset_event event;
        prim::stop_source stop;
        prim::thread setter([&] { event.set(); });
        prim::thread stopper([&] { stop.request_stop(); });
        const auto body = [&]() -> task<bool> {
          try {
            co_await event;
          } catch (const cancelled&) {
            co_return false;
          }
          co_return true;
        };
        model::check(sync_wait(body(), stop.get_token()) || stop.stop_requested());
        setter.join();
        stopper.join();
      },
      in_two_parts());
}

// The task ends on the thread that sets the promise, and its frame is freed there. Fails when
// whoever arrives first lets the task go on.
TEST(CoroutineModel, AFutureTakesTheTaskToAnotherThread) {
  holds([] {
    promise<int> p;
    future<int> source = p.get_future();
    inline_executor here;
    const auto body = [&]() -> task<int> { co_return 1 + co_await source; };
    prim::thread setter([&] { p.set_value(1); });
    future<int> result = spawn(here, body());
    model::check(result.get() == 2);
    setter.join();
  });
}

// The parent goes on when the second child has ended, on whatever thread. Fails when the first lets
// it go on, and when nobody does.
TEST(CoroutineModel, TwoChildrenEndOnTwoThreads) {
  holds(
      [] {
        manual_reset_event first;
        manual_reset_event second;
        inline_executor here;
        const auto child = [](manual_reset_event& gate) -> task<int> {
          co_await gate;
          co_return 1;
        };
        const auto parent = [&]() -> task<int> {
          const auto [a, b] = co_await gather(child(first), child(second));
          co_return a + b;
        };
        prim::thread one([&] { first.set(); });
        prim::thread other([&] { second.set(); });
        model::check(spawn(here, parent()).get() == 2);
        one.join();
        other.join();
      },
      in_two_parts());
}

// The permit may be snatched when the task has left the queue for it, and the stop may come then.
// Fails when chosen() goes on without a permit, when it does not go back into the queue, and when
// it does not look for a stop behind that.
TEST(CoroutineModel, APermitAgainstAThiefAndAStop) {
  holds(
      [] {
        counting_semaphore<> permits(0);
        prim::stop_source stop;
        bool stolen = false;
        prim::thread giver([&] { permits.release(); });
        prim::thread thief([&] {
          stolen = permits.try_acquire();
          stop.request_stop();
        });
        const auto body = [&]() -> task<> { co_await acquire(permits); };
        bool had = true;
        try {
          sync_wait(body(), stop.get_token());
        } catch (const cancelled&) {
          had = false;
        }
        giver.join();
        thief.join();
        model::check(permits.available() == 1 - (stolen ? 1 : 0) - (had ? 1 : 0));
      },
      in_two_parts());
}

// The time runs out as the task ends. Fails when end() frees what the timers' thread is in, and
// when a link that was taken back keeps its reference.
TEST(CoroutineModel, ATimeoutAgainstTheEnd) {
  holds(
      [] {
        heddle::timer_queue timers;
        prim::stop_source parents;
        const prim::stop_token parents_stop = parents.get_token();
        auto* const limit = heddle::detail::time_limit::make();
        limit->begin(timers, soon(), &parents_stop);
        prim::thread stopper([&] { parents.request_stop(); });
        const prim::stop_token token = limit->token();
        if (limit->end()) {
          while (!token.stop_requested()) prim::pause();
        }
        stopper.join();
      },
      one_preemption());
}

}  // namespace
