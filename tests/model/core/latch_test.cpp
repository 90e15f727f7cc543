#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/latch.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::latch;

// Fails when count_down is relaxed, when try_wait or a failed append reads relaxed, when the one
// that opens does not acquire, and when it wakes nobody.
TEST(LatchModel, WhatCameBeforeEachCountIsSeen) {
  holds([] {
    latch l(2);
    prim::cell<int> parts[2];
    prim::thread one([&] {
      parts[0].set(1);
      l.count_down();
    });
    prim::thread other([&] {
      parts[1].set(1);
      l.count_down();
    });
    l.wait();
    model::check(parts[0].get() == 1 && parts[1].get() == 1);
    one.join();
    other.join();
  });
}

// Fails when open() does not look whether the word has changed, and wakes the first only.
TEST(LatchModel, EverybodyIsWoken) {
  holds([] {
    latch l(2);
    prim::thread one([&] { l.wait(); });
    prim::thread other([&] { l.arrive_and_wait(); });
    l.count_down();
    one.join();
    other.join();
    model::check(l.try_wait());
  });
}

// Fails when the one that was taken in the moment of its deadline does not receive its wake-up, and
// when withdraw takes the bit away though another sleeps.
TEST(LatchModel, ADeadlineAgainstTheLastCount) {
  holds([] {
    latch l(1);
    prim::thread hasty([&] { l.wait_until(soon()); });
    prim::thread patient([&] { l.wait(); });
    l.count_down();
    hasty.join();
    patient.join();
  });
}

// Fails when a stop that has withdrawn a node does not wake its thread.
TEST(LatchModel, AStopAgainstTheLastCount) {
  holds([] {
    latch l(1);
    prim::stop_source source;
    prim::thread waiting([&] {
      if (!l.wait(source.get_token())) model::check(source.stop_requested());
    });
    prim::thread stopping([&] { source.request_stop(); });
    l.count_down();
    waiting.join();
    stopping.join();
  });
}

// Fails when count_down touches the latch after it can be seen to be open and nobody sleeps, and
// when it wakes under the lock.
TEST(LatchModel, WhoeverSeesItOpenDestroys) {
  holds([] {
    auto* const l = new latch(2);
    prim::thread one([l] { l->count_down(); });
    prim::thread other([l] { l->count_down(); });
    if (model::choose(2) == 0) {
      l->wait();
    } else {
      while (!l->wait_until(soon())) {
      }
    }
    delete l;
    one.join();
    other.join();
  });
}

}  // namespace
