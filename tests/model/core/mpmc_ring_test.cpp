#include <heddle/lockfree/mpmc_ring.hpp>

#include <utility>

#include "queues.hpp"

namespace {

using namespace core_model;
using heddle::mpmc_ring;

// Positions wrap around on the way, and a slot is used again beneath a thread that looks at it.
// Fails when a slot's turn is the same for "to be emptied" and "to be filled next", when a claim is
// stored instead of exchanged, and when the turn goes on before the slot is done.
TEST(MpmcRingModel, CallsThatDoSomethingAreLinearizable) {
  for (const std::size_t capacity : {1U, 2U}) {
    holds([capacity] {
      queue_history calls;
      mpmc_ring<int> ring(capacity);
      prim::thread first([&] {
        calls.push(ring, 1);
        calls.pop(ring);
      });
      prim::thread second([&] {
        calls.push(ring, 2);
        calls.pop(ring);
      });
      calls.push(ring, 3);
      calls.pop(ring);
      first.join();
      second.join();
      while (calls.pop(ring) != 0) {
      }
      model::check(calls.deeds_are_linearizable(capacity));
    });
  }
}

// One producer, one consumer: nobody but the other side can be in the middle of something. Fails
// when a side does not look again after it has lost a race, and when it looks at the wrong turn.
TEST(MpmcRingModel, OneProducerAndOneConsumerAreLinearizable) {
  for (const std::size_t capacity : {1U, 2U}) {
    holds([capacity] {
      queue_history calls;
      mpmc_ring<int> ring(capacity);
      prim::thread consumer([&] {
        for (int i = 0; i < 3; ++i) calls.pop(ring);
      });
      for (int i = 1; i <= 3; ++i) calls.push(ring, i);
      consumer.join();
      calls.pop(ring);
      model::check(calls.linearizable(capacity));
    });
  }
}

// What may keep a ring from saying "true" is a call that is under way. Fails when a consumer
// gives up because another one was faster.
TEST(MpmcRingModel, WhatIsThereIsFound) {
  holds([] {
    mpmc_ring<int> ring(2);
    ring.try_push(1);
    ring.try_push(2);
    int value = 0;
    prim::thread other([&] {
      int theirs = 0;
      model::check(ring.try_pop(theirs), "two elements are enough for two consumers");
    });
    model::check(ring.try_pop(value), "two elements are enough for two consumers");
    other.join();
    prim::thread producer([&] { model::check(ring.try_push(3), "there is room for two"); });
    model::check(ring.try_push(4), "there is room for two");
    producer.join();
    model::check(ring.size() == 2);
  });
}

// Fails when a turn is stored or read relaxed.
TEST(MpmcRingModel, HandsOverWhatCameBefore) {
  holds([] {
    things all;
    mpmc_ring<prim::cell<int>*> ring(1);
    const auto take = [&] {
      prim::cell<int>* thing = nullptr;
      if (ring.try_pop(thing)) things::take(thing);
    };
    prim::thread consumer([&] {
      take();
      take();
    });
    prim::thread producer([&] { ring.try_push(all.made(0)); });
    ring.try_push(all.made(1));
    take();
    consumer.join();
    producer.join();
    take();
    model::check(ring.empty());
  });
}

// Fails when a batch claims more slots than are ready, or does not look at each.
TEST(MpmcRingModel, Batches) {
  holds([] {
    things all;
    mpmc_ring<prim::cell<int>*> ring(2);
    const auto put = [&](int first) {
      prim::cell<int>* const batch[2] = {all.made(first), all.made(first + 1)};
      return ring.push_n(batch, 2);
    };
    const auto take = [&] {
      prim::cell<int>* batch[2] = {};
      const std::size_t count = ring.pop_n(batch, 2);
      for (std::size_t i = 0; i < count; ++i) things::take(batch[i]);
      return count;
    };
    std::size_t in = put(0);
    std::size_t out[2] = {};
    prim::thread consumer([&] { out[0] = take(); });
    std::size_t more = 0;
    prim::thread producer([&] { more = put(2); });
    out[1] = take();
    consumer.join();
    producer.join();
    in += more;
    out[1] += take();
    model::check(in == out[0] + out[1] && ring.empty(), "as much comes out as went in");
  });
}

// Fails when the destructor forgets the elements.
TEST(MpmcRingModel, DestroyedWithElements) {
  holds([] {
    int alive = 0;
    {
      mpmc_ring<counted> ring(2);
      prim::thread other([&] {
        ring.try_push(counted(alive));
        ring.try_pop();
      });
      ring.try_push(counted(alive));
      ring.try_push(counted(alive));
      other.join();
    }
    model::check(alive == 0, "elements are destroyed once");
  });
}

}  // namespace
