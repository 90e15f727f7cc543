#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

#include <stdexcept>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::weighted_semaphore;

// Fails when release does not serve, and when it serves one only.
TEST(WeightedSemaphoreModel, OneReleaseServesTwo) {
  holds([] {
    weighted_semaphore s(2);
    prim::cell<int> data;
    s.acquire(2);
    const auto read = [&] {
      s.acquire(1);
      model::check(data.get() == 1);
    };
    prim::thread one(read);
    prim::thread other(read);
    data.set(1);
    s.release(2);
    one.join();
    other.join();
    model::check(s.held() == 2);
  });
}

// Once the large one is in the queue, nobody has a unit before it. Fails when release does not
// serve.
TEST(WeightedSemaphoreModel, ALargeRequestKeepsItsTurn) {
  holds([] {
    weighted_semaphore s(2);
    s.acquire(1);
    prim::atomic<bool> served{false};
    prim::thread large([&] {
      s.acquire(2);
      served.store(true, prim::relaxed);
      s.release(2);
    });
    prim::thread small([&] {
      const bool after_it = !s.try_acquire(1);  // one is free: so the large one is in the queue
      if (!after_it) s.release(1);
      s.acquire(1);
      if (after_it) model::check(served.load(prim::relaxed), "it was overtaken");
      s.release(1);
    });
    s.release(1);
    large.join();
    small.join();
    model::check(s.held() == 0);
  });
}

// Fails when whoever leaves the queue does not serve those behind it, and when one that was served
// in the moment of its deadline goes away without its units.
TEST(WeightedSemaphoreModel, TheFirstGivesUp) {
  holds([] {
    weighted_semaphore s(2);
    s.acquire(1);
    bool had = false;
    prim::thread hasty([&] { had = s.try_acquire_until(2, soon()); });
    prim::thread patient([&] { s.acquire(1); });
    patient.join();
    hasty.join();
    model::check(!had && s.held() == 2);
  });
}

// Fails when a stop takes back what has been given.
TEST(WeightedSemaphoreModel, AStopAgainstRelease) {
  holds([] {
    weighted_semaphore s(2);
    s.acquire(2);
    prim::stop_source source;
    prim::thread stoppable([&] {
      if (s.acquire(2, source.get_token())) s.release(2);
    });
    prim::thread patient([&] {
      s.acquire(1);
      s.release(1);
    });
    prim::thread stopping([&] { source.request_stop(); });
    s.release(2);
    stoppable.join();
    patient.join();
    stopping.join();
    model::check(s.held() == 0);
  });
}

// Nobody waits for what cannot come. Fails when resize does not look into the queue, and when it
// refuses without a wake-up.
TEST(WeightedSemaphoreModel, ResizeRefusesWhatHasBecomeImpossible) {
  holds([] {
    weighted_semaphore s(3);
    s.acquire(1);
    bool refused = false;
    prim::thread large([&] {
      try {
        s.acquire(3);
      } catch (const std::invalid_argument&) {
        refused = true;
      }
    });
    prim::thread small([&] {
      s.acquire(1);
      s.release(1);
    });
    s.resize(2);
    large.join();
    small.join();
    model::check(refused && s.held() == 1);
  });
}

// Fails when release touches the semaphore after the units can be had, and when it wakes under the
// lock.
TEST(WeightedSemaphoreModel, WhoeverHasTheUnitsDestroys) {
  holds([] {
    auto* const s = new weighted_semaphore(1);
    s->acquire(1);
    prim::thread giver([s] { s->release(1); });
    s->acquire(1);
    delete s;
    giver.join();
  });
}

}  // namespace
