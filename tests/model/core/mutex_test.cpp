#include <heddle/prim/atomic.hpp>
#include <heddle/sync/mutex.hpp>

#include <mutex>
#include <optional>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::mutex;

struct guarded {
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

// Fails when the fast lock or unlock is relaxed, and when unlock forgets who waits.
TEST(MutexModel, TwoExclude) {
  holds([] {
    guarded g;
    prim::thread other([&] { g.add(); });
    g.add();
    other.join();
    model::check(g.value.get() == 2);
  });
}

// Fails when the queue is changed without its bit, and when unlock_slow wakes nobody.
TEST(MutexModel, ThreeHandOver) {
  holds([] {
    guarded g;
    prim::thread second([&] { g.add(); });
    prim::thread third([&] { g.add(); });
    g.add();
    second.join();
    third.join();
    model::check(g.value.get() == 3);
  });
}

// Fails when whoever was chosen in the moment of its deadline goes away without passing the lock
// on.
TEST(MutexModel, ADeadlineAgainstUnlock) {
  holds([] {
    guarded g;
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

// Two sleep behind each other. Fails when a change of the queue's end is not seen by the next one.
TEST(MutexModel, TwoSleep) {
  holds([] {
    guarded g;
    g.lock.lock();
    prim::thread second([&] { g.add(); });
    prim::thread third([&] { g.add(); });
    g.value.set(1);
    g.linger();
    g.lock.unlock();
    second.join();
    third.join();
    model::check(g.value.get() == 3);
  });
}

// Fails when withdraw leaves its node in the queue, or keeps a wrong last one.
TEST(MutexModel, TwoDeadlines) {
  holds(
      [] {
        guarded g;
        g.lock.lock();
        prim::thread hasty([&] {
          if (g.lock.try_lock_until(soon())) g.lock.unlock();
        });
        prim::thread patient([&] { g.add(); });
        g.value.set(1);
        g.lock.unlock();
        hasty.join();
        patient.join();
        model::check(g.value.get() == 2);
      },
      [] {
        model::options o;
        o.timeouts = 2;
        return o;
      }());
}

// Fails when try_lock takes a lock that is held.
TEST(MutexModel, TryLock) {
  holds([] {
    guarded g;
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
    auto* const g = new guarded;
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
