#include <heddle/prim/atomic.hpp>
#include <heddle/sync/mutex.hpp>

#include <mutex>
#include <optional>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::mutex;

struct locked_value {
  mutex lock;
  prim::cell<int> value;
  prim::atomic<int> elsewhere{0};

  // Moments in which others meet a lock that is held, even those that spin before they sleep.
  void linger() {
    for (int i = 0; i < 3; ++i) elsewhere.load(prim::relaxed);
  }
  void add() {
    const std::scoped_lock held(lock);
    value.set(value.get() + 1);
    linger();
  }
};

// Fails when lock_slow locks relaxed, append publishes its node relaxed, unlock_slow takes the
// queue relaxed or wakes nobody.
TEST(MutexModel, TwoExclude) {
  holds([] {
    locked_value g;
    prim::thread other([&] { g.add(); });
    g.add();
    other.join();
    model::check(g.value.get() == 2);
  });
}

// Fails when append takes the queue relaxed, or unlock_slow publishes relaxed that it has let go.
TEST(MutexModel, ThreeHandOver) {
  holds([] {
    locked_value g;
    prim::thread second([&] { g.add(); });
    prim::thread third([&] { g.add(); });
    g.add();
    second.join();
    third.join();
    model::check(g.value.get() == 3);
  });
}

// Fails when whoever was chosen in the moment of its deadline goes away without passing the lock
// on, and when withdraw takes or gives back the queue relaxed.
TEST(MutexModel, ADeadlineAgainstUnlock) {
  holds([] {
    locked_value g;
    prim::thread hasty([&] {
      if (!g.lock.try_lock_until(soon())) return;
      g.value.set(g.value.get() + 1);
      g.lock.unlock();
    });
    prim::thread patient([&] { g.add(); });
    g.add();
    hasty.join();
    patient.join();
    model::check(g.value.get() >= 2);
  });
}

// Two sleep behind each other, and a third comes later. Fails when unlock does not hand the end of
// the queue to the new first one.
TEST(MutexModel, TwoSleep) {
  holds([] {
    locked_value g;
    g.lock.lock();
    prim::thread second([&] { g.add(); });
    prim::thread third([&] { g.add(); });
    g.value.set(1);
    g.linger();
    g.lock.unlock();
    g.add();
    second.join();
    third.join();
    model::check(g.value.get() == 4);
  });
}

// The last in the queue leaves, and another comes behind. Fails when withdraw leaves a wrong last
// one.
TEST(MutexModel, TheLastInTheQueueLeaves) {
  holds(
      [] {
        locked_value g;
        g.lock.lock();
        prim::thread patient([&] { g.add(); });
        prim::thread hasty([&] {
          if (g.lock.try_lock_until(soon())) g.lock.unlock();
        });
        prim::thread late([&] { g.add(); });
        g.value.set(1);
        g.linger();
        g.linger();
        g.lock.unlock();
        patient.join();
        hasty.join();
        late.join();
        model::check(g.value.get() == 3);
      },
      one_preemption());
}

// Fails when try_lock locks relaxed.
TEST(MutexModel, TryLock) {
  holds([] {
    locked_value g;
    prim::thread other([&] { g.add(); });
    if (g.lock.try_lock()) {
      g.value.set(g.value.get() + 1);
      g.lock.unlock();
    }
    other.join();
    model::check(g.value.get() >= 1);
  });
}

// Whoever finds itself the last destroys. Fails when unlock touches the word after it has let go.
TEST(MutexModel, TheLastHolderDestroys) {
  holds([] {
    auto* const g = new locked_value;
    const auto leave = [g] {
      g->lock.lock();
      const int left = g->value.get() + 1;
      g->value.set(left);
      g->lock.unlock();
      if (left == 2) delete g;
    };
    prim::thread other(leave);
    leave();
    other.join();
  });
}

}  // namespace
