#include <heddle/lockfree/mpmc_queue.hpp>

#include "queues.hpp"

namespace {

using namespace core_model;
using heddle::mpmc_queue;

constexpr std::size_t unlimited = 1000;

// Each of the many atomics of a queue may be read stale: one at a time, then, in the larger bodies.
model::options one_stale_read() {
  model::options o;
  o.stale_reads = 1;
  o.spurious_failures = 0;
  return o;
}

struct queue_of_things : mpmc_queue<prim::cell<int>*> {
  using mpmc_queue::consumer;
  using mpmc_queue::producer;
};

bool take(queue_of_things::consumer& from) {
  prim::cell<int>* thing = nullptr;
  if (!from.try_pop(thing)) return false;
  things::take(thing);
  return true;
}

// A producer whose calls are recorded.
struct recorded_producer {
  explicit recorded_producer(mpmc_queue<int>& queue) : producer(queue) {}
  bool try_push(int value) {
    producer.push(value);
    return true;
  }
  mpmc_queue<int>::producer producer;
};

// Over a block's end; positions wrap around on the way. Fails when a claim is stored instead of
// exchanged, when a consumer takes the tail it remembers for the newest, and when the tail is
// published before the slot is filled.
TEST(MpmcQueueModel, WhatOneProducerPushesIsLinearizable) {
  holds(
      [] {
        queue_history calls;
        mpmc_queue<int> queue;
        recorded_producer producer(queue);
        const auto pop_two = [&] {
          mpmc_queue<int>::consumer from(queue);
          calls.pop(from);
          calls.pop(from);
        };
        prim::thread first(pop_two);
        prim::thread second(pop_two);
        for (int i = 1; i <= 3; ++i) calls.push(producer, i);
        first.join();
        second.join();
        mpmc_queue<int>::consumer from(queue);
        calls.pop(from);
        model::check(calls.linearizable(unlimited));
      },
      one_stale_read());
}

// A block is used again, or freed, while its last consumer may still be in it. Fails when a block
// is reclaimed although a slot is not emptied, when that is told before the element is out, or read
// or told relaxed; and when the head that covers a block is moved or read relaxed.
TEST(MpmcQueueModel, ABlockIsUsedAgainBehindItsConsumers) {
  holds(
      [] {
        things all;
        queue_of_things queue;
        queue_of_things::producer producer(queue);
        producer.push(all.made(0));
        producer.push(all.made(1));
        int taken[3] = {};
        prim::thread first([&] {
          queue_of_things::consumer from(queue);
          taken[0] = take(from);
        });
        prim::thread second([&] {
          queue_of_things::consumer from(queue);
          taken[1] = take(from) + take(from);
        });
        producer.push(all.made(2));
        producer.push(all.made(3));
        first.join();
        second.join();
        queue_of_things::consumer from(queue);
        while (take(from)) ++taken[2];
        model::check(taken[0] + taken[1] + taken[2] == 4 && all.taken() == 4, "each is taken once");
      },
      one_stale_read());
}

// Three blocks through a table of one. Fails when the new table is published or read relaxed, when
// its entries are not copied, and when an entry is used again before its block is reclaimed.
TEST(MpmcQueueModel, TheTableGrowsBeneathAConsumer) {
  holds([] {
    queue_history calls;
    mpmc_queue<int> queue;
    recorded_producer producer(queue);
    calls.push(producer, 1);
    prim::thread consumer([&] {
      mpmc_queue<int>::consumer from(queue);
      for (int i = 0; i < 3; ++i) calls.pop(from);
    });
    for (int i = 2; i <= 5; ++i) calls.push(producer, i);
    consumer.join();
    mpmc_queue<int>::consumer from(queue);
    while (calls.pop(from) != 0) {
    }
    model::check(calls.linearizable(unlimited));
  });
}

// Fails when a consumer does not visit every lane, gives up after a lost race, or reads the list of
// lanes or a tail relaxed.
TEST(MpmcQueueModel, WhatWasPushedBeforeIsFound) {
  holds([] {
    things all;
    queue_of_things queue;
    const auto push = [&](int i) {
      queue_of_things::producer producer(queue);
      producer.push(all.made(i));
    };
    prim::thread other([&] { push(1); });
    push(0);
    queue_of_things::consumer from(queue);
    model::check(take(from), "what this thread has pushed is there");
    other.join();
    push(2);
    prim::thread competitor([&] {
      queue_of_things::consumer theirs(queue);
      model::check(take(theirs), "two elements are enough for two consumers");
    });
    model::check(take(from), "two elements are enough for two consumers");
    competitor.join();
    model::check(all.taken() == 3);
  });
}

// One lane, from thread to thread. Fails when its owner's leaving or its new owner's coming is
// relaxed, and when two can own it.
TEST(MpmcQueueModel, ALaneIsGivenToTheNextProducer) {
  holds([] {
    things all;
    queue_of_things queue;
    const auto push = [&](int i) {
      queue_of_things::producer producer(queue);
      producer.push(all.made(i));
    };
    push(0);
    prim::thread first([&] { push(1); });
    prim::thread second([&] { push(2); });
    first.join();
    second.join();
    queue_of_things::consumer from(queue);
    while (take(from)) {
    }
    model::check(all.taken() == 3, "nothing is lost");
  });
}

// Fails when a batch claims more than there is, or does not find its blocks.
TEST(MpmcQueueModel, Batches) {
  holds(
      [] {
        things all;
        queue_of_things queue;
        const auto take_batch = [&] {
          queue_of_things::consumer from(queue);
          prim::cell<int>* batch[3] = {};
          const std::size_t count = from.pop_n(batch, 3);
          for (std::size_t i = 0; i < count; ++i) things::take(batch[i]);
        };
        prim::thread first(take_batch);
        prim::thread second(take_batch);
        prim::cell<int>* const batch[4] = {all.made(0), all.made(1), all.made(2), all.made(3)};
        queue_of_things::producer(queue).push_n(batch, 4);
        first.join();
        second.join();
        queue_of_things::consumer from(queue);
        while (take(from)) {
        }
        model::check(all.taken() == 4, "each is taken once");
      },
      one_stale_read());
}

// Threads without consumer objects share a memory of where to look. Fails when that is passed on
// relaxed.
TEST(MpmcQueueModel, SharedCursors) {
  holds([] {
    things all;
    queue_of_things queue;
    const auto take_one = [&] {
      prim::cell<int>* thing = nullptr;
      if (queue.try_pop(thing)) things::take(thing);
    };
    prim::thread producer([&] {
      queue_of_things::producer to(queue);
      to.push(all.made(0));
      take_one();
      to.push(all.made(1));
    });
    take_one();
    producer.join();
    take_one();
    take_one();
    model::check(all.taken() == 2);
  });
}

// Fails when the destructor forgets elements, blocks or tables.
TEST(MpmcQueueModel, DestroyedWithElements) {
  holds([] {
    int alive = 0;
    {
      mpmc_queue<counted> queue;
      prim::thread consumer([&] { mpmc_queue<counted>::consumer(queue).try_pop(); });
      mpmc_queue<counted>::producer producer(queue);
      for (int i = 0; i < 5; ++i) producer.emplace(alive);
      consumer.join();
    }
    model::check(alive == 0, "elements are destroyed once");
  });
}

}  // namespace
