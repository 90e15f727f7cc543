#include <heddle/queue/bounded_queue.hpp>

#include <optional>
#include <utility>

#include "queues.hpp"

namespace {

using namespace core_model;
using heddle::bounded_queue;

// An item that moves as one does that may throw: the queue keeps it under a lock.
struct heavy {
  explicit heavy(int v) : value(v) {}
  heavy(heavy&& other) noexcept(false) : value(other.value) {}
  int value;
};

// The consumer may sleep before either put, and positions wrap around on the way. Fails when
// has_put wakes nobody, when announce sets its bit without looking whether the tail has moved, and
// when a turn is stored or read relaxed.
TEST(BoundedQueueModel, AConsumerSleepsAndGetsAll) {
  for (const std::size_t capacity : {1U, 3U}) {
    holds([capacity] {
      things all;
      bounded_queue<prim::cell<int>*> queue(capacity);
      prim::thread consumer([&] {
        for (int i = 0; i < 2; ++i) things::take(*queue.get());
      });
      queue.put(all.made(0));
      queue.put(all.made(1));
      consumer.join();
      model::check(all.taken() == 2 && queue.empty());
    });
  }
}

// Two consumers sleep; the second put may come before the first one's sleeper is awake. Fails when
// relay wakes nobody, or sets no bit.
TEST(BoundedQueueModel, TwoConsumersSleepAndEachGetsOne) {
  holds([] {
    bounded_queue<int> queue(2);
    const auto take = [&] { model::check(queue.get().has_value()); };
    prim::thread one(take);
    prim::thread other(take);
    queue.put(1);
    queue.put(2);
    one.join();
    other.join();
    model::check(queue.empty());
  });
}

// Fails when has_taken wakes nobody, and when a get in its middle is taken for a full queue.
TEST(BoundedQueueModel, ProducersSleepUntilThereIsRoom) {
  holds([] {
    bounded_queue<int> queue(1);
    const auto put = [&](int i) { model::check(queue.put(i)); };
    prim::thread one([&] { put(1); });
    prim::thread other([&] { put(2); });
    model::check(*queue.get() + *queue.get() == 3);
    one.join();
    other.join();
    model::check(queue.empty());
  });
}

// Both sides may sleep, and a get that sees a put in its middle waits for it. Linearizable, order
// and all.
TEST(BoundedQueueModel, PutsAndGetsAreInOneOrder) {
  holds([] {
    bounded_queue<int> queue(1);
    prim::thread producer([&] {
      for (int i = 1; i <= 3; ++i) queue.put(i);
    });
    for (int i = 1; i <= 3; ++i) model::check(queue.get() == i, "first in, first out");
    producer.join();
  });
}

// What a put that was accepted brings is taken, what a refused one brings is not; nobody sleeps
// behind the end. Fails when close wakes nobody or only one side, when append does not look whether
// the queue is closed, when a put overlooks the bit, and when a get that finds the end does not
// look whether a put is in its middle.
TEST(BoundedQueueModel, CloseAgainstPutAndGet) {
  holds([] {
    things all;
    bounded_queue<prim::cell<int>*> queue(1);
    bool accepted = false;
    bool accepted_next = false;
    prim::thread producer([&] {
      accepted = queue.put(all.made(0));
      accepted_next = queue.put(all.made(1));
    });
    prim::thread closer([&] { queue.close(); });
    int taken = 0;
    while (const auto thing = queue.get()) {
      things::take(*thing);
      ++taken;
    }
    producer.join();
    closer.join();
    model::check(taken == int{accepted} + int{accepted_next}, "as much comes out as went in");
    model::check(!queue.put(all.made(2)) && !queue.get());
  });
}

// Two on each side at the end.
TEST(BoundedQueueModel, CloseWakesEverybody) {
  holds([] {
    bounded_queue<int> queue(1);
    int got = 0;
    bool first = false;
    prim::thread consumer([&] {
      while (queue.get()) ++got;
    });
    prim::thread producer([&] { first = queue.put(1); });
    const bool second = queue.put(2);
    queue.close();
    producer.join();
    consumer.join();
    model::check(got == int{first} + int{second});
  });
}

// A consumer that gives up swallows no wake-up: the patient one gets the item, or the hasty one
// does. Fails when withdraw leaves nobody to be woken by clearing the bit while another sleeps, and
// when one that was chosen goes away without relay.
TEST(BoundedQueueModel, ADeadlineAgainstPut) {
  holds([] {
    bounded_queue<int> queue(1);
    prim::thread hasty([&] {
      if (queue.try_get_until(soon())) queue.put(3);
    });
    prim::thread patient([&] { model::check(queue.get().has_value()); });
    queue.put(1);
    hasty.join();
    patient.join();
    model::check(queue.empty());
  });
}

TEST(BoundedQueueModel, ADeadlineAgainstGet) {
  holds([] {
    bounded_queue<int> queue(1);
    queue.put(1);
    bool in_time = false;
    prim::thread hasty([&] { in_time = queue.try_put_until(2, soon()); });
    prim::thread patient([&] { queue.put(3); });
    model::check(queue.get().has_value());
    model::check(queue.get().has_value());
    patient.join();
    hasty.join();
    model::check(queue.length() == (in_time ? 1U : 0U));
  });
}

// The same with a stop.
TEST(BoundedQueueModel, AStopAgainstPut) {
  holds([] {
    bounded_queue<int> queue(1);
    prim::stop_source source;
    std::optional<int> got;
    prim::thread stoppable([&] { got = queue.get(source.get_token()); });
    prim::thread stopping([&] { source.request_stop(); });
    queue.put(1);
    stoppable.join();
    stopping.join();
    model::check(queue.length() == (got ? 0U : 1U));
  });
}

// Fails when task_done wakes nobody, when the bit of a joiner gets lost in a task_done, and when
// the word moves relaxed.
TEST(BoundedQueueModel, JoinAgainstTaskDone) {
  holds([] {
    bounded_queue<int> queue(2);
    prim::cell<int> work;
    queue.put(1);
    queue.put(2);
    prim::thread worker([&] {
      queue.get();
      queue.task_done();
      queue.get();
      work.set(1);
      queue.task_done();
    });
    bool in_time = false;
    prim::thread hasty([&] { in_time = queue.join_until(soon()); });
    queue.join();
    model::check(work.get() == 1);
    worker.join();
    hasty.join();
  });
}

// One item is open all the time until the second one is done. Fails when join reads the tail before
// it reads what is done.
TEST(BoundedQueueModel, JoinedMeansThatAllWasDoneAtOnce) {
  holds([] {
    bounded_queue<int> queue(2);
    prim::cell<int> work;
    queue.put(1);
    queue.get();
    prim::thread worker([&] {
      queue.put(2);
      queue.task_done();
      queue.get();
      work.set(1);
      queue.task_done();
    });
    queue.join();
    model::check(work.get() == 1);
    worker.join();
  });
}

// Fails when task_done wakes under the lock.
TEST(BoundedQueueModel, WhoeverHasJoinedDestroys) {
  holds([] {
    auto* const queue = new bounded_queue<int>(1);
    queue->put(1);
    queue->get();
    prim::thread worker([queue] { queue->task_done(); });
    prim::thread hasty([queue] { static_cast<void>(queue->join_until(soon())); });
    queue->join();
    hasty.join();
    delete queue;
    worker.join();
  });
}

// Fails when a get that is told of the end does not meet the closer's lock.
TEST(BoundedQueueModel, WhoeverIsToldOfTheEndDestroys) {
  holds([] {
    auto* const queue = new bounded_queue<int>(1);
    prim::thread producer([queue] {
      queue->put(1);
      queue->close();
    });
    int got = 0;
    while (queue->get()) ++got;
    delete queue;
    producer.join();
    model::check(got == 1);
  });
}

// Fails when a put that is told of the end does not meet the closer's lock.
TEST(BoundedQueueModel, WhoeverIsRefusedDestroys) {
  holds([] {
    auto* const queue = new bounded_queue<heavy>(1);
    prim::thread closer([queue] { queue->close(); });
    if (queue->try_put(heavy(1))) closer.join();
    delete queue;
    if (closer.joinable()) closer.join();
  });
}

// Fails when the ends are moved without the lock.
TEST(BoundedQueueModel, ItemsUnderALock) {
  holds([] {
    bounded_queue<heavy> queue(1);
    bool accepted = false;
    prim::thread producer([&] { accepted = queue.put(heavy(1)); });
    prim::thread closer([&] { queue.close(); });
    int taken = 0;
    while (queue.get()) ++taken;
    producer.join();
    closer.join();
    model::check(taken == int{accepted});
  });
}

// Portions: one that waits for room in the middle. Fails when a batch claims more than is ready.
TEST(BoundedQueueModel, Batches) {
  holds([] {
    things all;
    bounded_queue<prim::cell<int>*> queue(2);
    prim::thread producer([&] {
      prim::cell<int>* const batch[3] = {all.made(0), all.made(1), all.made(2)};
      model::check(queue.put_n(batch, 3) == 3);
      queue.close();
    });
    for (;;) {
      prim::cell<int>* batch[2] = {};
      const std::size_t count = queue.get_n(batch, 2);
      if (count == 0) break;
      for (std::size_t i = 0; i < count; ++i) things::take(batch[i]);
    }
    producer.join();
    model::check(all.taken() == 3);
  });
}

}  // namespace
