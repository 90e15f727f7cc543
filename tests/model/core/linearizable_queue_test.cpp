#include <heddle/lockfree/linearizable_queue.hpp>

#include "queues.hpp"

namespace {

using namespace core_model;
using heddle::linearizable_queue;

constexpr std::size_t unbounded = 1000;

struct recorded : linearizable_queue<int> {
  bool try_push(int value) {
    push(value);
    return true;
  }
};

// Over the ends of blocks. Fails when a pop takes a slot that a push has not filled, when a push
// fills one that a pop has given up, when emptiness is read off the pushes first, and when a popped
// number is not drawn.
TEST(LinearizableQueueModel, CallsAreLinearizable) {
  holds([] {
    queue_history calls;
    recorded queue;
    prim::thread other([&] {
      calls.push(queue, 1);
      calls.pop(queue);
      calls.push(queue, 2);
    });
    calls.push(queue, 3);
    calls.push(queue, 4);
    calls.pop(queue);
    calls.pop(queue);
    other.join();
    while (calls.pop(queue) != 0) {
    }
    model::check(calls.linearizable(unbounded));
  });
}

TEST(LinearizableQueueModel, TwoProducersAndAConsumer) {
  holds([] {
    queue_history calls;
    recorded queue;
    prim::thread first([&] {
      calls.push(queue, 1);
      calls.push(queue, 2);
    });
    prim::thread second([&] {
      calls.push(queue, 3);
      calls.push(queue, 4);
    });
    calls.pop(queue);
    calls.pop(queue);
    first.join();
    second.join();
    while (calls.pop(queue) != 0) {
    }
    model::check(calls.linearizable(unbounded));
  });
}

// A block is retired while others are in it, or about to enter it. Fails when a call does not
// confirm what it holds, when it lets go before it is done, when what is held is freed, when the
// tail stays at a retired block, and when one of the seq_cst accesses of holding is weaker.
TEST(LinearizableQueueModel, ABlockIsRetiredBeneathCalls) {
  holds([] {
    things all;
    linearizable_queue<prim::cell<int>*> queue;
    const auto take = [&] {
      prim::cell<int>* thing = nullptr;
      if (!queue.try_pop(thing)) return false;
      things::take(thing);
      return true;
    };
    queue.push(all.made(0));
    queue.push(all.made(1));
    prim::thread first([&] {
      take();
      take();
    });
    prim::thread second([&] {
      queue.push(all.made(2));
      take();
    });
    queue.push(all.made(3));
    take();
    first.join();
    second.join();
    while (take()) {
    }
    model::check(all.taken() == 4, "each is taken once");
  });
}

// More calls at the same time than there are records for them. Fails when a group of records is not
// visited.
TEST(LinearizableQueueModel, MoreCallsThanRecords) {
  model::options o;
  o.preemptions = 1;
  holds(
      [] {
        things all;
        linearizable_queue<prim::cell<int>*> queue;
        const auto use = [&](int i) {
          queue.push(all.made(i));
          prim::cell<int>* thing = nullptr;
          if (queue.try_pop(thing)) things::take(thing);
        };
        prim::thread first([&] { use(0); });
        prim::thread second([&] { use(1); });
        prim::thread third([&] { use(2); });
        use(3);
        first.join();
        second.join();
        third.join();
        prim::cell<int>* thing = nullptr;
        while (queue.try_pop(thing)) things::take(thing);
        model::check(all.taken() == 4, "each is taken once");
      },
      o);
}

// Fails when the destructor forgets elements or blocks.
TEST(LinearizableQueueModel, DestroyedWithElements) {
  holds([] {
    int alive = 0;
    {
      linearizable_queue<counted> queue;
      prim::thread consumer([&] { queue.try_pop(); });
      for (int i = 0; i < 5; ++i) queue.emplace(alive);
      consumer.join();
    }
    model::check(alive == 0, "elements are destroyed once");
  });
}

}  // namespace
