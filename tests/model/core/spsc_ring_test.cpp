#include <heddle/lockfree/spsc_ring.hpp>

#include <iterator>

#include "queues.hpp"

namespace {

using namespace core_model;
using heddle::spsc_ring;
using ring_of_things = spsc_ring<prim::cell<int>*>;

void take_all(ring_of_things& ring, int count) {
  prim::cell<int>* thing = nullptr;
  while (count > 0) {
    if (ring.try_pop(thing)) {
      things::take(thing);
      --count;
    } else {
      prim::pause();
    }
  }
}

// Positions wrap around on the way. Fails when a side takes the other's position from its copy
// although that says full or empty, and when it moves its own on before it is done with the slot.
TEST(SpscRingModel, CallsAreLinearizable) {
  for (const std::size_t capacity : {1U, 2U}) {
    holds([capacity] {
      queue_history calls;
      spsc_ring<int> ring(capacity);
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

// Fails when either side publishes its position, or reads the other's, relaxed.
TEST(SpscRingModel, HandsOverWhatCameBefore) {
  holds([] {
    things all;
    ring_of_things ring(1);
    prim::thread consumer([&] { take_all(ring, 3); });
    for (int i = 0; i < 3; ++i) {
      prim::cell<int>* const thing = all.made(i);
      while (!ring.try_push(thing)) prim::pause();
    }
    consumer.join();
    model::check(all.taken() == 3 && ring.empty());
  });
}

// Fails when a batch publishes its position, or reads the other's, relaxed, and when it takes more
// than there is.
TEST(SpscRingModel, Batches) {
  holds([] {
    things all;
    ring_of_things ring(2);
    prim::thread consumer([&] {
      prim::cell<int>* taken[2] = {};
      for (std::size_t left = 3; left > 0;) {
        const std::size_t count = ring.pop_n(taken, 2);
        for (std::size_t i = 0; i < count; ++i) things::take(taken[i]);
        left -= count;
        if (count == 0) prim::pause();
      }
    });
    prim::cell<int>* const batch[3] = {all.made(0), all.made(1), all.made(2)};
    for (std::size_t put = 0; put < 3;) {
      const std::size_t count = ring.push_n(batch + put, 3 - put);
      put += count;
      if (count == 0) prim::pause();
    }
    consumer.join();
    model::check(all.taken() == 3);
  });
}

// Fails when size reads the producer's position first, or the consumer's relaxed.
TEST(SpscRingModel, SizeIsNeverMoreThanThereIs) {
  holds([] {
    spsc_ring<int> ring(2);
    prim::thread consumer([&] {
      int value = 0;
      while (!ring.try_pop(value)) prim::pause();
    });
    prim::thread watcher([&] { model::check(ring.size() <= 1); });
    ring.try_push(1);
    consumer.join();
    watcher.join();
    model::check(ring.empty());
  });
}

// Fails when the destructor forgets the elements.
TEST(SpscRingModel, DestroyedWithElements) {
  holds([] {
    int alive = 0;
    {
      spsc_ring<counted> ring(2);
      prim::thread consumer([&] { ring.try_pop(); });
      ring.try_emplace(alive);
      ring.try_emplace(alive);
      consumer.join();
    }
    model::check(alive == 0, "elements are destroyed once");
  });
}

}  // namespace
