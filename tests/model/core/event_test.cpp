#include <heddle/prim/atomic.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/event.hpp>

#include "meeting.hpp"

namespace {

using namespace core_model;
using heddle::auto_reset_event;
using heddle::manual_reset_event;

// Fails when set() is relaxed, when is_set() or a failed append reads relaxed, and when set() wakes
// nobody.
TEST(EventModel, ASetBringsWhatCameBefore) {
  holds([] {
    manual_reset_event event;
    prim::cell<int> data;
    const auto read = [&] {
      event.wait();
      model::check(data.get() == 1);
    };
    prim::thread sleeper(read);
    if (model::choose(2) == 0) let_others_sleep();
    prim::thread setter([&] {
      data.set(1);
      event.set();
    });
    read();
    sleeper.join();
    setter.join();
  });
}

// Fails when set() wakes the first only.
TEST(EventModel, ASetFreesAllThoughItIsTakenBack) {
  holds([] {
    manual_reset_event event;
    prim::atomic<int> waiting{0};
    const auto wait = [&] {
      waiting.fetch_add(1, prim::relaxed);
      event.wait();
    };
    prim::thread one(wait);
    prim::thread other(wait);
    event.set();
    one.join();
    other.join();
    event.reset();
    model::check(!event.is_set());
  });
}

// Waits, resets and looks for work, as loops around an event do. Fails when set() returns at once
// because it is set already, and when reset() is relaxed.
TEST(EventModel, AResetSeesWhatCameBeforeEachSet) {
  holds([] {
    manual_reset_event event;
    prim::atomic<int> work[2]{};
    const auto bring = [&](int i) {
      work[i].store(1, prim::relaxed);
      event.set();
    };
    prim::thread one([&] { bring(0); });
    prim::thread other([&] { bring(1); });
    while (work[0].load(prim::relaxed) + work[1].load(prim::relaxed) < 2) {
      event.wait();
      event.reset();
    }
    one.join();
    other.join();
  });
}

// Fails when the one that was taken in the moment of its deadline does not receive its wake-up, and
// when withdraw takes the bit away though another sleeps.
TEST(EventModel, ADeadlineAgainstSet) {
  holds([] {
    manual_reset_event event;
    prim::thread hasty([&] { event.wait_until(soon()); });
    prim::thread patient([&] { event.wait(); });
    event.set();
    hasty.join();
    patient.join();
    model::check(event.wait_until(prim::time_point::min()));
  });
}

// Fails when a stop that has withdrawn a node does not wake its thread.
TEST(EventModel, AStopAgainstSet) {
  holds([] {
    manual_reset_event event;
    prim::stop_source source;
    prim::thread waiting([&] {
      if (!event.wait(source.get_token())) model::check(source.stop_requested());
    });
    prim::thread stopping([&] { source.request_stop(); });
    event.set();
    waiting.join();
    stopping.join();
  });
}

// Fails when set() touches the event after it can be seen to be set and nobody sleeps, and when it
// wakes under the lock.
TEST(EventModel, WhoeverSeesItSetDestroys) {
  holds([] {
    auto* const event = new manual_reset_event;
    prim::thread setter([event] { event->set(); });
    if (model::choose(2) == 0) {
      event->wait();
    } else {
      while (!event->wait_until(soon())) {
      }
    }
    delete event;
    setter.join();
  });
}

// One set() for each: who passes first sets it for the other. Fails when set() does not come to the
// queue.
TEST(EventModel, AnAutoResetEventFreesOne) {
  holds([] {
    auto_reset_event event;
    prim::atomic<int> passed{0};
    const auto pass = [&] {
      event.wait();
      if (passed.fetch_add(1, prim::relaxed) == 0) event.set();
    };
    prim::thread one(pass);
    prim::thread other(pass);
    event.set();
    one.join();
    other.join();
    model::check(!event.reset(), "each set was taken");
  });
}

// Fails when set() returns at once because it is set already.
TEST(EventModel, AnAutoResetEventBringsWhatCameBeforeEachSet) {
  holds([] {
    auto_reset_event event;
    prim::atomic<int> work[2]{};
    const auto bring = [&](int i) {
      work[i].store(1, prim::relaxed);
      event.set();
    };
    prim::thread one([&] { bring(0); });
    prim::thread other([&] { bring(1); });
    while (work[0].load(prim::relaxed) + work[1].load(prim::relaxed) < 2) event.wait();
    one.join();
    other.join();
  });
}

}  // namespace
