#include <heddle/lockfree/ws_deque.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::ws_deque;
using deque = ws_deque<prim::cell<int>*>;
using theft = deque::theft;

// A few values, each of which counts how often it was taken, and by whom without a data race.
struct values {
  prim::cell<int> taken[3];

  // By whoever took the value: sees the owner's write, and is the only one.
  static void take(prim::cell<int>* v) {
    model::check(v->get() == 1, "a value is taken once, and what came before its push is seen");
    v->set(2);
  }
  prim::cell<int>* made(int i) {
    taken[i].set(1);
    return &taken[i];
  }
  bool all_taken(int count) {
    for (int i = 0; i < count; ++i) {
      if (taken[i].get() != 2) return false;
    }
    return true;
  }
};

void steal_into(deque& d, int& thefts) {
  prim::cell<int>* v = nullptr;
  if (d.steal(v) == theft::success) {
    values::take(v);
    ++thefts;
  }
}

// Fails when pop's exchange is replaced by a store.
TEST(WsDequeModel, LastElementGoesToOne) {
  holds([] {
    values all;
    deque d(2);
    d.push(all.made(0));
    int thefts = 0;
    bool popped = false;
    prim::thread thief([&] { steal_into(d, thefts); });
    prim::thread owner([&] {
      prim::cell<int>* v = nullptr;
      popped = d.pop(v);
      if (popped) values::take(v);
    });
    thief.join();
    owner.join();
    model::check(popped + thefts == 1, "the last element goes to one");
    model::check(all.all_taken(1) && d.empty());
  });
}

// Fails when push or pop publishes `bottom` relaxed, or a fence goes.
TEST(WsDequeModel, PushPopAndSteal) {
  holds([] {
    values all;
    deque d(2);
    int thefts = 0;
    int pops = 0;
    prim::thread thief([&] {
      steal_into(d, thefts);
      steal_into(d, thefts);
    });
    prim::cell<int>* v = nullptr;
    d.push(all.made(0));
    d.push(all.made(1));
    if (d.pop(v)) {
      values::take(v);
      ++pops;
    }
    thief.join();
    while (d.pop(v)) {
      values::take(v);
      ++pops;
    }
    model::check(pops + thefts == 2 && all.all_taken(2), "each value is taken once");
  });
}

// Fails when the new buffer is published, or read, relaxed, and when it is freed too early.
TEST(WsDequeModel, GrowsBeneathAThief) {
  holds([] {
    values all;
    deque d(1);
    int thefts = 0;
    d.push(all.made(0));
    prim::thread thief([&] {
      steal_into(d, thefts);
      steal_into(d, thefts);
    });
    d.push(all.made(1));
    d.push(all.made(2));
    thief.join();
    int pops = 0;
    for (prim::cell<int>* v = nullptr; d.pop(v); ++pops) values::take(v);
    model::check(pops + thefts == 3 && all.all_taken(3), "each value is taken once");
  });
}

// The slot that a thief has read is used again before its exchange. Fails when steal reads the slot
// after its exchange.
TEST(WsDequeModel, ASlotIsUsedAgainBeneathAThief) {
  holds([] {
    values all;
    deque d(1);
    int thefts = 0;
    int pops = 0;
    d.push(all.made(0));
    prim::thread thief([&] { steal_into(d, thefts); });
    prim::cell<int>* v = nullptr;
    for (int i = 1; i <= 2; ++i) {
      if (d.pop(v)) {
        values::take(v);
        ++pops;
      }
      d.push(all.made(i));
    }
    thief.join();
    while (d.pop(v)) {
      values::take(v);
      ++pops;
    }
    model::check(pops + thefts == 3 && all.all_taken(3), "each value is taken once");
  });
}

// Fails when steal's exchange is replaced by a store.
TEST(WsDequeModel, TwoThieves) {
  holds([] {
    values all;
    deque d(2);
    d.push(all.made(0));
    d.push(all.made(1));
    int thefts[2] = {};
    prim::thread first([&] { steal_into(d, thefts[0]); });
    prim::thread second([&] { steal_into(d, thefts[1]); });
    prim::cell<int>* v = nullptr;
    const bool popped = d.pop(v);
    if (popped) values::take(v);
    first.join();
    second.join();
    int pops = popped ? 1 : 0;
    for (; d.pop(v); ++pops) values::take(v);
    model::check(pops + thefts[0] + thefts[1] == 2 && all.all_taken(2), "each value is taken once");
  });
}

// Fails when steal leaves the last element to the owner.
TEST(WsDequeModel, EmptyIsTrue) {
  holds([] {
    values all;
    deque d(2);
    d.push(all.made(0));
    d.push(all.made(1));
    prim::thread thief([&] {
      prim::cell<int>* v = nullptr;
      model::check(d.steal(v) == theft::success, "nobody else takes the older one of two");
      values::take(v);
    });
    prim::cell<int>* v = nullptr;
    model::check(d.pop(v), "nobody else takes the newer one of two");
    values::take(v);
    thief.join();
  });
}

}  // namespace
