#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/semaphore.hpp>

#include <stdexcept>

#include "meeting.hpp"

namespace {

using namespace core_model;
using heddle::binary_semaphore;
using heddle::counting_semaphore;

// Fails when release gives its permit relaxed, when try_acquire takes it relaxed, and when give
// wakes nobody.
TEST(SemaphoreModel, APermitBringsWhatCameBefore) {
  holds([] {
    binary_semaphore s(0);
    prim::cell<int> data;
    prim::thread giver([&] {
      data.set(1);
      s.release();
    });
    s.acquire();
    model::check(data.get() == 1);
    giver.join();
  });
}

// A lock made of a semaphore, with one who overtakes. Fails when append does not look at the word
// under the lock, and when give gives its permits relaxed.
TEST(SemaphoreModel, ThreeHandOver) {
  holds([] {
    binary_semaphore s(1);
    prim::cell<int> guarded;
    const auto add = [&] {
      s.acquire();
      guarded.set(guarded.get() + 1);
      s.release();
    };
    prim::thread second(add);
    prim::thread third(add);
    add();
    second.join();
    third.join();
    model::check(guarded.get() == 3 && s.available() == 1);
  });
}

// Fails when give takes one sleeper whatever it gives.
TEST(SemaphoreModel, TwoPermitsFreeTwo) {
  holds([] {
    counting_semaphore<> s(0);
    prim::thread one([&] { s.acquire(); });
    prim::thread other([&] { s.acquire(); });
    s.release(2);
    one.join();
    other.join();
    model::check(s.available() == 0);
  });
}

// Fails when whoever was taken in the moment of its deadline goes away without its permit, and when
// it does not receive the wake-up that is on its way.
TEST(SemaphoreModel, ADeadlineAgainstRelease) {
  holds([] {
    counting_semaphore<> s(0);
    prim::thread hasty([&] {
      if (s.try_acquire_until(soon())) s.release();
    });
    prim::thread patient([&] { s.acquire(); });
    if (model::choose(2) == 0) let_others_sleep();
    s.release();
    hasty.join();
    patient.join();
    model::check(s.available() == 0);
  });
}

// Fails when a stop wakes the one that a permit was given to, which then goes away without it: the
// wake-up was for whoever is next in the queue, too.
TEST(SemaphoreModel, AStopAgainstRelease) {
  holds([] {
    counting_semaphore<> s(0);
    prim::stop_source source;
    prim::thread stoppable([&] {
      if (s.acquire(source.get_token())) s.release();
    });
    prim::thread patient([&] { s.acquire(); });
    if (model::choose(2) == 0) let_others_sleep();
    prim::thread stopping([&] { source.request_stop(); });
    s.release();
    stoppable.join();
    patient.join();
    stopping.join();
    model::check(s.available() == 0);
  });
}

// The last in the queue leaves. Fails when withdraw leaves the bit behind, or takes it away while
// another sleeps.
TEST(SemaphoreModel, TheBitGoesWithTheQueue) {
  holds([] {
    counting_semaphore<> s(0);
    prim::thread hasty([&] {
      if (s.try_acquire_until(soon())) s.release();
    });
    prim::thread patient([&] { s.acquire(); });
    s.release();
    patient.join();
    hasty.join();
    model::check(s.try_acquire() == false);
    s.release();
    model::check(s.try_acquire());
  });
}

// Two sleepers that may give up, two givers. Fails when give wakes nobody, and when withdraw leaves
// the bit behind.
TEST(SemaphoreModel, NeverOverTheMaximum) {
  holds([] {
    binary_semaphore s(0);
    int refused = 0;
    bool got[2] = {};
    prim::thread one([&] { got[0] = s.try_acquire_until(soon()); });
    prim::thread other([&] { got[1] = s.try_acquire_until(soon()); });
    const auto give = [&] {
      try {
        s.release();
      } catch (const std::overflow_error&) {
        ++refused;
      }
    };
    prim::thread giver(give);
    give();
    giver.join();
    one.join();
    other.join();
    model::check(s.available() <= 1, "over the maximum");
    model::check(int{got[0]} + int{got[1]} + s.available() + refused == 2, "a permit is lost");
  });
}

// Fails when release touches the semaphore after the permit can be taken and nobody sleeps.
TEST(SemaphoreModel, WhoeverHasThePermitDestroys) {
  holds([] {
    auto* const s = new binary_semaphore(0);
    prim::thread giver([s] { s->release(); });
    s->acquire();
    delete s;
    giver.join();
  });
}

// Fails when give wakes under the lock.
TEST(SemaphoreModel, TheLastOfTwoDestroys) {
  holds([] {
    auto* const s = new counting_semaphore<>(0);
    prim::atomic<int> left{2};
    const auto take = [s, &left] {
      s->acquire();
      if (left.fetch_sub(1, prim::acq_rel) == 1) delete s;
    };
    prim::thread one(take);
    prim::thread giver([s] { s->release(2); });
    take();
    one.join();
    giver.join();
  });
}

}  // namespace
