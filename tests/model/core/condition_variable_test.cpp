#include <heddle/sync/condition_variable.hpp>

#include <memory>
#include <mutex>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::condition_variable;
using heddle::mutex;

struct shared {
  mutex lock;
  prim::cell<bool> ready{false};
  prim::cell<int> returned{0};
  condition_variable changed;

  void set_ready() {
    const std::scoped_lock held(lock);
    ready.set(true);
  }
  void wait() {
    std::unique_lock held(lock);
    changed.wait(held, [&] { return ready.get(); });
    returned.set(returned.get() + 1);
  }
};

// Fails when wait lets the lock go before it is in the list, and when it counts itself after it has
// let the lock go.
TEST(ConditionVariableModel, ANotificationAfterTheUnlockIsNotMissed) {
  holds([] {
    shared s;
    prim::thread waiting([&] { s.wait(); });
    s.set_ready();
    s.changed.notify_one();
    waiting.join();
    model::check(s.returned.get() == 1);
  });
}

// Under the lock: whom notify_all moves into the lock's queue is woken by the unlock. Fails when
// notify moves a node and does not look whether the lock was free, and when it moves one only.
TEST(ConditionVariableModel, AllAreWokenThroughTheLock) {
  holds([] {
    shared s;
    prim::thread first([&] { s.wait(); });
    prim::thread second([&] { s.wait(); });
    {
      const std::scoped_lock held(s.lock);
      s.ready.set(true);
      s.changed.notify_all();
    }
    first.join();
    second.join();
    model::check(s.returned.get() == 2);
  });
}

// Two wait, one with a deadline, and one notification: it reaches the patient one, or the hasty one
// was notified, finds what it waited for, and passes it on. Fails when notify_one counts as its
// choice a node that has given up.
TEST(ConditionVariableModel, ADeadlineSwallowsNoNotification) {
  holds([] {
    shared s;
    prim::thread hasty([&] {
      std::unique_lock held(s.lock);
      if (s.changed.wait_until(held, soon())) s.changed.notify_one();
    });
    prim::thread patient([&] { s.wait(); });
    s.set_ready();
    s.changed.notify_one();
    hasty.join();
    patient.join();
    model::check(s.returned.get() == 1);
  });
}

// Fails when give_up does not look whether a notifier has chosen the node, and when a waiter that
// was chosen in the moment of its deadline does not wait for its wake-up.
TEST(ConditionVariableModel, ADeadlineAgainstANotification) {
  holds([] {
    shared s;
    prim::thread hasty([&] {
      std::unique_lock held(s.lock);
      s.changed.wait_until(held, soon(), [&] { return s.ready.get(); });
      s.returned.set(1);
    });
    s.set_ready();
    s.changed.notify_one();
    hasty.join();
    model::check(s.returned.get() == 1);
  });
}

// Fails when the stop wakes a waiter that it did not take out of the list.
TEST(ConditionVariableModel, AStopAgainstANotification) {
  holds([] {
    shared s;
    prim::stop_source stop;
    prim::thread waiting([&] {
      std::unique_lock held(s.lock);
      s.changed.wait(held, stop.get_token(), [&] { return s.ready.get(); });
      s.returned.set(1);
    });
    prim::thread stopper([&] { stop.request_stop(); });
    s.set_ready();
    s.changed.notify_one();
    waiting.join();
    stopper.join();
    model::check(s.returned.get() == 1);
  });
}

// Destroyed behind notify_all, under the lock that the waiters have yet to get, while one of them
// is giving up. Fails when a chosen waiter touches the condition variable again, when the
// destructor does not wait, and when a waiter that gives up counts itself out before it has left
// the list.
TEST(ConditionVariableModel, DestroyedBehindTheNotification) {
  holds([] {
    mutex lock;
    auto changed = std::make_unique<condition_variable>();
    prim::cell<bool> waiting{false};
    prim::thread hasty([&, c = changed.get()] {
      std::unique_lock held(lock);
      waiting.set(true);
      c->wait_until(held, soon());
    });
    {
      const std::scoped_lock held(lock);
      if (waiting.get()) {
        changed->notify_all();
        changed.reset();
      }
    }
    hasty.join();
  });
}

}  // namespace
