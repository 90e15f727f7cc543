#include <heddle/prim/atomic.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/completion.hpp>

#include <memory>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::completion;
using heddle::wait_for_completion;
using heddle::wait_kind;
using heddle::waiter;

// A waiter that ends its own life when it is woken, as continuations do.
struct mortal final : waiter {
  explicit mortal(int& count) noexcept
      : waiter([](waiter* w) noexcept {
          auto* const self = static_cast<mortal*>(w);
          ++self->woken;
          delete self;
        }),
        woken(count) {}
  int& woken;
};

// A waiter that the test attaches, and gives up when it is not needed.
struct attached_waiter {
  int woken = 0;
  mortal* node = new mortal(woken);

  bool attach(completion& event) {
    if (event.attach(*node)) return true;
    delete node;
    return false;
  }
  bool detach(completion& event) {
    if (!event.detach(*node)) return false;
    delete node;
    return true;
  }
};

// Fails when the exchange of complete has no release or no acquire, when attach publishes relaxed,
// and when complete wakes nobody.
TEST(CompletionModel, WhatCameBeforeIsSeen) {
  holds([] {
    completion event;
    prim::cell<int> result;
    prim::thread producer([&] {
      result.set(1);
      event.complete();
    });
    if (event.done()) model::check(result.get() == 1);
    wait_for_completion(event, wait_kind::future);
    model::check(event.done() && result.get() == 1);
    producer.join();
  });
}

// Fails when a failed attach reads the word relaxed.
TEST(CompletionModel, AttachOrDone) {
  holds([] {
    completion event;
    prim::cell<int> result;
    attached_waiter first, second;
    prim::thread producer([&] {
      result.set(1);
      event.complete();
    });
    bool attached = false;
    prim::thread other([&] { attached = second.attach(event); });
    const bool mine = first.attach(event);
    if (!mine) model::check(result.get() == 1);
    producer.join();
    other.join();
    model::check(first.woken == (mine ? 1 : 0) && second.woken == (attached ? 1 : 0),
                 "whoever was attached is woken once, and nobody else");
  });
}

// Fails when detach publishes the shorter list relaxed.
TEST(CompletionModel, EachWaiterLeavesOnce) {
  holds([] {
    completion event;
    attached_waiter first, second, third;
    first.attach(event);
    second.attach(event);
    bool first_detached = false;
    prim::thread leaver([&] { first_detached = first.detach(event); });
    bool third_attached = false;
    prim::thread joiner([&] { third_attached = third.attach(event); });
    event.complete();
    leaver.join();
    joiner.join();
    model::check(first.woken == (first_detached ? 0 : 1));
    model::check(second.woken == 1);
    model::check(third.woken == (third_attached ? 1 : 0));
  });
}

// Fails when detach takes the list's lock relaxed.
TEST(CompletionModel, TwoLeaveAtOnce) {
  holds([] {
    completion event;
    attached_waiter nodes[3];
    for (auto& n : nodes) n.attach(event);
    bool gone = false;
    prim::thread leaver([&] { gone = nodes[2].detach(event); });
    const bool mine = nodes[1].detach(event);
    leaver.join();
    model::check(mine && gone, "nothing has happened yet");
    event.complete();
    model::check(nodes[0].woken == 1 && nodes[1].woken == 0 && nodes[2].woken == 0);
  });
}

// Fails when detach puts the word back as it was, marks and all, and when complete forgets them.
TEST(CompletionModel, MarksAreKept) {
  holds([] {
    using marks = completion::marks;
    completion event(marks::first);
    attached_waiter first, second;
    first.attach(event);
    second.attach(event);
    prim::thread leaver([&] { first.detach(event); });
    prim::thread marker([&] {
      const auto before = event.set(marks::second, prim::acq_rel);
      model::check(before.has(marks::first) && !before.has(marks::second));
    });
    const auto before = event.complete(marks::third);
    model::check(before.has(marks::first) && !before.has(marks::third) && !before.done());
    leaver.join();
    marker.join();
    const auto now = event.look(prim::acquire);
    model::check(now.done() && now.has(marks::first | marks::second | marks::third));
    model::check(second.woken == 1);
  });
}

// Two marks and the event: whoever comes last may clear up. Fails when setting a mark, or
// completing, has no release or no acquire.
TEST(CompletionModel, TheLastOfThreeIsAlone) {
  holds([] {
    using marks = completion::marks;
    completion event;
    prim::cell<int> traces[3];
    int alone = 0;
    const auto clear_up = [&] {
      for (auto& t : traces) model::check(t.get() == 1);
      ++alone;
    };
    prim::thread one([&] {
      traces[0].set(1);
      const auto before = event.set(marks::first, prim::acq_rel);
      if (before.done() && before.has(marks::second)) clear_up();
    });
    prim::thread two([&] {
      traces[1].set(1);
      const auto before = event.set(marks::second, prim::acq_rel);
      if (before.done() && before.has(marks::first)) clear_up();
    });
    traces[2].set(1);
    if (event.complete().has(marks::first | marks::second)) clear_up();
    one.join();
    two.join();
    model::check(alone == 1);
  });
}

// The node is gone as soon as the wait returns. Fails when a wait that ran out of time does not
// take the wake-up that is on its way.
TEST(CompletionModel, TimedWaitersLeaveInTime) {
  holds([] {
    completion event;
    prim::cell<int> result;
    prim::thread producer([&] {
      result.set(1);
      event.complete();
    });
    if (wait_for_completion(event, wait_kind::future, soon())) model::check(result.get() == 1);
    prim::thread other([&] { wait_for_completion(event, wait_kind::future); });
    other.join();
    producer.join();
  });
}

// Fails when the stop callback wakes though it could not detach the node.
TEST(CompletionModel, StopOrDone) {
  holds([] {
    completion event;
    prim::stop_source stop;
    prim::thread producer([&] { event.complete(); });
    prim::thread stopper([&] { stop.request_stop(); });
    if (!wait_for_completion(event, wait_kind::future, stop.get_token())) {
      model::check(stop.stop_requested());
    } else {
      model::check(event.done());
    }
    producer.join();
    stopper.join();
  });
}

}  // namespace
