#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/timers.hpp>

#include <new>
#include <optional>
#include <system_error>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::inline_executor;
using heddle::periodic_options;
using heddle::periodic_timer;
using heddle::timer_queue;

// Fails when the thread posts what is not due, and when nobody wakes it at the end of the queue.
TEST(TimersModel, RunsWhenItsTimeHasCome) {
  holds([] {
    timer_queue timers;
    const prim::time_point when = soon();
    prim::cell<int> result;
    auto f = timers.schedule_at(inline_executor(), when, [&] {
      model::check(prim::clock::now() >= when, "not before its time");
      result.set(1);
    });
    f.get();
    model::check(result.get() == 1);
  });
}

// The thread sleeps for good when something earlier comes. Fails when arming does not wake it, and
// when the time it wakes at is noted after the mutex was unlocked.
TEST(TimersModel, AnEarlierOneWakesTheThread) {
  holds([] {
    timer_queue timers;
    auto last = timers.schedule_at(inline_executor(), prim::never, [] {});
    timers.schedule_at(inline_executor(), soon(), [] {}).get();
    model::check(!last.ready());
    last.cancel();
  });
}

// The first two at once. Fails when the queue publishes what it consists of by an exchange that
// does not release, or finds it by one, or by a load, that does not acquire.
TEST(TimersModel, TwoThreadsAreTheFirst) {
  holds([] {
    timer_queue timers;
    prim::thread other([&] {
      model::check(timers.pending() <= 1);
      auto f = timers.schedule_at(inline_executor(), prim::never, [] {});
      model::check(f.cancel());
    });
    auto f = timers.schedule_at(inline_executor(), prim::never, [] {});
    other.join();
    model::check(timers.pending() == 1);
    model::check(f.cancel());
  });
}

// Fails when the thread forgets that there is more to wait for.
TEST(TimersModel, TwoThreadsSchedule) {
  holds(
      [] {
        timer_queue timers;
        auto last = timers.schedule_at(inline_executor(), prim::never, [] {});
        prim::thread other([&] { timers.schedule_at(inline_executor(), soon(), [] {}).get(); });
        timers.schedule_at(inline_executor(), soon(), [] {}).get();
        other.join();
        model::check(last.cancel());
      },
      in_two_parts{});
}

// Fails when a link that was taken out by the thread is taken out again by cancel.
TEST(TimersModel, CancelAgainstItsTime) {
  holds([] {
    timer_queue timers;
    bool ran = false;
    auto f = timers.schedule_at(inline_executor(), soon(), [&] { ran = true; });
    const bool cancelled = f.cancel();
    f.wait();
    model::check(cancelled != ran, "one of the two");
    model::check(timers.pending() == 0, "and it is out of the queue");
  });
}

// The future is gone before its time, or not. Fails when the last future to go cancels.
TEST(TimersModel, FutureDropped) {
  holds(
      [] {
        timer_queue timers;
        prim::atomic<bool> ran{false};
        {
          auto dropped = timers.schedule_at(inline_executor(), soon(),
                                            [&] { ran.store(true, prim::release); });
        }
        prim::thread other([&] { timers.schedule_at(inline_executor(), soon(), [] {}).get(); });
        other.join();
        model::check(ran.load(prim::acquire), "earlier ones run first");
      },
      in_two_parts{});
}

// Fails when the end of a queue does not wait for the thread.
TEST(TimersModel, DestroyedBeforeOrAtTheTime) {
  holds([] {
    std::optional<timer_queue> timers(std::in_place);
    bool ran = false;
    auto f = timers->schedule_at(inline_executor(), soon(), [&] { ran = true; });
    timers.reset();
    model::check(f.ready(), "it has run or is cancelled");
    model::check(ran == !f.failed());
  });
}

// Fails when the thread has no reference to the core.
TEST(TimersModel, DestroyedByItsOwnWork) {
  holds([] {
    std::optional<timer_queue> timers(std::in_place);
    auto f = timers->schedule_at(inline_executor(), soon(), [&] { timers.reset(); });
    f.get();
  });
}

// A future outlives the queue. Fails when an armed link has no reference to the core.
TEST(TimersModel, CancelAgainstTheEndOfTheQueue) {
  holds([] {
    std::optional<timer_queue> timers(std::in_place);
    auto f = timers->schedule_at(inline_executor(), prim::never, [] {});
    prim::thread other([&] { f.cancel(); });
    timers.reset();
    other.join();
    model::check(f.ready() && f.failed());
  });
}

periodic_options first_at_once() {
  periodic_options o;
  o.first_after = prim::clock::duration::zero();
  return o;
}

// Fails when a run that was under way is not waited for, when a timer that was cancelled meanwhile
// is armed again, and when cancelling leaves it armed.
TEST(TimersModel, NothingRunsAfterTheHandle) {
  holds([] {
    timer_queue timers;
    prim::cell<int> runs;
    {
      const periodic_timer timer = timers.schedule_every(
          inline_executor(), std::chrono::milliseconds(1), [&] { runs.set(runs.get() + 1); });
      prim::thread idler([] { prim::yield(); });
      idler.join();
    }
    model::check(timers.pending() == 0, "it is out of the queue");
    runs.set(0);
  });
}

// Keeps one job, for a thread that runs it.
class clerk {
 public:
  heddle::executor_ref executor() noexcept {
    return {this, [](void* self, heddle::job* j) noexcept {
              static_cast<clerk*>(self)->mail_.store(j, prim::release);
            }};
  }
  void run() noexcept {
    heddle::job* const j = mail_.exchange(nullptr, prim::acquire);
    if (j != nullptr) j->run(j, heddle::verb::run);
  }

 private:
  prim::atomic<heddle::job*> mail_{nullptr};
};

// A thread runs what was posted while two others cancel it. Fails when a run does not look at the
// phase at its beginning, and when nobody waits for it.
TEST(TimersModel, CancelAgainstARun) {
  holds([] {
    clerk work;
    timer_queue timers;
    prim::cell<int> runs;
    periodic_timer timer = timers.schedule_every(
        work.executor(), std::chrono::hours::max(), [&] { runs.set(runs.get() + 1); },
        first_at_once());
    prim::thread runner([&] { work.run(); });
    prim::thread other([&] { timer.cancel(); });
    timer.stop();
    model::check(timer.ended() && timers.pending() == 0);
    model::check(runs.get() <= 1);
    runs.set(2);
    other.join();
    runner.join();
    work.run();
    model::check(runs.get() == 2, "nothing runs after stop()");
  });
}

// Fails when the run's end does not see that the queue has ended.
TEST(TimersModel, TheQueueEndsDuringARun) {
  holds([] {
    std::optional<timer_queue> timers(std::in_place);
    prim::cell<int> runs;
    periodic_timer timer = timers->schedule_every(inline_executor(), std::chrono::milliseconds(1),
                                                  [&] { runs.set(runs.get() + 1); });
    timers.reset();
    model::check(timer.ended());
  });
}

// Whatever cannot be had, nothing is left over.
TEST(TimersModel, NoMemoryOrNoThread) {
  model::options o;
  o.allocation_failures = 1;
  holds(
      [] {
        timer_queue timers;
        const auto attempt = [](auto schedule) {
          try {
            schedule();
          } catch (const std::bad_alloc&) {
          } catch (const std::system_error&) {
          }
        };
        bool ran = false;
        attempt([&] {
          timers.schedule_at(inline_executor(), soon(), [&] { ran = true; }).get();
          model::check(ran);
        });
        attempt([&] {
          const auto timer =
              timers.schedule_every(inline_executor(), std::chrono::hours::max(), [] {});
          model::check(timers.pending() == 1);
        });
        model::check(timers.pending() == 0);
      },
      o);
}

}  // namespace
