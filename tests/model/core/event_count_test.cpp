#include <heddle/prim/atomic.hpp>
#include <heddle/sync/event_count.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::event_count;

// Fails when the fence of prepare_wait or of notify goes or is weaker, and when notify wakes
// nobody.
TEST(EventCountModel, NoWakeUpIsLost) {
  holds([] {
    event_count events;
    prim::atomic<int> ready{0};
    prim::thread notifier([&] {
      ready.store(1, prim::relaxed);
      events.notify_one();
    });
    events.await([&] { return ready.load(prim::relaxed) == 1; });
    notifier.join();
  });
}

// Two conditions that come true one after the other. Fails when wait does not compare the
// epoch.
TEST(EventCountModel, TwoWaitersTwoNotifications) {
  holds([] {
    event_count events;
    prim::atomic<int> stage{0};
    prim::thread second([&] {
      events.await([&] { return stage.load(prim::relaxed) != 0; });
      stage.store(2, prim::relaxed);
      events.notify_all();
    });
    stage.store(1, prim::relaxed);
    events.notify_all();
    events.await([&] { return stage.load(prim::relaxed) == 2; });
    second.join();
  });
}

// Fails when notify_all wakes the first only.
TEST(EventCountModel, AllAreWoken) {
  holds([] {
    event_count events;
    prim::atomic<int> ready{0};
    const auto until_ready = [&] { events.await([&] { return ready.load(prim::relaxed) == 1; }); };
    prim::thread one(until_ready);
    prim::thread other(until_ready);
    ready.store(1, prim::relaxed);
    events.notify_all();
    one.join();
    other.join();
  });
}

// A waiter at its deadline neither swallows the wake-up of another nor leaves its node behind.
// Fails when the one that was chosen in the last moment does not take its token.
TEST(EventCountModel, ADeadlineAgainstNotifyOne) {
  holds([] {
    event_count events;
    prim::atomic<int> ready{0};
    const auto is_ready = [&] { return ready.load(prim::relaxed) == 1; };
    prim::thread patient([&] { events.await(is_ready); });
    prim::thread hasty([&] {
      if (events.await_until(soon(), is_ready)) events.notify_one();
    });
    ready.store(1, prim::relaxed);
    events.notify_one();
    hasty.join();
    patient.join();
  });
}

// What was written before notify is seen by whoever was woken: it reads the newest value, since the
// wake-up orders it. Fails when wait does not compare the epoch.
TEST(EventCountModel, TheWokenSeeThePredicate) {
  holds([] {
    event_count events;
    prim::cell<int> data;
    prim::atomic<int> ready{0};
    prim::thread notifier([&] {
      data.set(1);
      ready.store(1, prim::release);
      events.notify_one();
    });
    const auto key = events.prepare_wait();
    if (ready.load(prim::acquire) == 1) {
      events.cancel_wait();
    } else {
      events.wait(key);
      model::check(ready.load(prim::acquire) == 1, "the notification came after the write");
    }
    model::check(data.get() == 1);
    notifier.join();
  });
}

}  // namespace
