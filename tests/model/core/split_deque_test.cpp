#include <heddle/lockfree/split_deque.hpp>

#include <functional>

#include <heddle/prim/parker.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::split_deque;
using deque = split_deque<prim::cell<int>*>;
using theft = deque::theft;

// A few values, each of which is seen by its taker as it was made, and taken once.
class values {
 public:
  prim::cell<int>* make() {
    cells_[made_].set(1);
    return &cells_[made_++];
  }
  static void take(prim::cell<int>* v) {
    model::check(v->get() == 1, "a value is taken once, and what came before its push is seen");
    v->set(2);
  }
  void check_all_taken() {
    for (int i = 0; i < made_; ++i) model::check(cells_[i].get() == 2, "each value is taken");
  }

 private:
  prim::cell<int> cells_[6];
  int made_ = 0;
};

// The bodies are small.
void holds_further(const std::function<void()>& body) {
  model::options o;
  o.preemptions = 3;
  holds(body, o);
}

void push(deque& d, values& all, int count = 1) {
  for (; count > 0; --count) d.push(all.make());
}

bool pop_one(deque& d) {
  prim::cell<int>* v = nullptr;
  if (!d.pop(v)) return false;
  values::take(v);
  return true;
}

void pop_all(deque& d) {
  while (pop_one(d)) {
  }
  model::check(d.empty(), "a pop fails only when nothing is left");
}

bool steal_one(deque& d) {
  prim::cell<int>* v = nullptr;
  if (d.steal(v) != theft::success) return false;
  values::take(v);
  return true;
}

// As a thief that has asked in vain.
bool raise_and_steal(deque& d) { return d.raise() == theft::success && steal_one(d); }

// The owner's values 0 to `count - 1`, of which half are shared.
void push_asked(deque& d, values& all, int count) {
  push(d, all, count - 1);
  d.ask();
  model::check(d.push(all.make()), "the owner answers");
}

// Fails when the owner takes the last shared value without an exchange.
TEST(SplitDequeModel, TheLastSharedValueGoesToOne) {
  holds_further([] {
    values all;
    deque d(2);
    push_asked(d, all, 1);
    prim::thread thief([&] { steal_one(d); });
    pop_all(d);
    thief.join();
    all.check_all_taken();
  });
}

// Two thieves go by a boundary that the owner takes back. Fails without the fence of steal or of
// take_back, and when take_back keeps what thieves may have reached.
TEST(SplitDequeModel, TheOwnerTakesBackWhatTwoThievesWant) {
  holds_further([] {
    values all;
    deque d(8);
    push(d, all, 4);
    model::check(d.raise() == theft::success, "half is shared");
    model::check(d.size() == 4);
    prim::thread first([&] { steal_one(d); });
    prim::thread second([&] { steal_one(d); });
    pop_all(d);
    first.join();
    second.join();
    all.check_all_taken();
  });
}

// The same with one thief, who is faster than the owner expects.
TEST(SplitDequeModel, AThiefOvertakesTheOwner) {
  holds_further([] {
    values all;
    deque d(8);
    push(d, all, 4);
    model::check(d.raise() == theft::success, "half is shared");
    prim::thread thief([&] {
      for (int i = 0; i < 2; ++i) steal_one(d);
    });
    pop_all(d);
    thief.join();
    all.check_all_taken();
  });
}

// The heart: the owner's pops pay nothing, and a thief takes from what they take. Fails without the
// light or the heavy fence, and when a thief trusts the end that it read before its fence.
TEST(SplitDequeModel, AThiefRaisesBeneathPops) {
  holds_further([] {
    values all;
    deque d(2);
    push(d, all, 2);
    prim::thread thief([&] { raise_and_steal(d); });
    pop_all(d);
    thief.join();
    all.check_all_taken();
  });
}

// Fails when a push publishes its value relaxed, or a thief reads the end relaxed.
TEST(SplitDequeModel, AThiefRaisesBeneathPushes) {
  holds_further([] {
    values all;
    deque d(4);
    prim::thread thief([&] {
      raise_and_steal(d);
      raise_and_steal(d);
    });
    push(d, all, 2);
    pop_one(d);
    push(d, all);
    pop_all(d);
    thief.join();
    all.check_all_taken();
  });
}

// Who shares knows all values below the end, not only the one that it came for. Fails when the
// owner's answer to a claim is published relaxed, or a thief reads the end so.
TEST(SplitDequeModel, AClaimBeneathPushes) {
  holds_further([] {
    values all;
    deque d(4);
    prim::thread thief([&] {
      d.raise();
      steal_one(d);
      steal_one(d);
    });
    push(d, all, 4);
    pop_all(d);
    thief.join();
    all.check_all_taken();
  });
}

// Fails when a thief publishes the boundary relaxed.
TEST(SplitDequeModel, OneRaisesAndAnotherSteals) {
  holds_further([] {
    values all;
    deque d(4);
    prim::thread first([&] { d.raise(); });
    prim::thread second([&] {
      steal_one(d);
      steal_one(d);
    });
    push(d, all, 3);
    first.join();
    second.join();
    pop_all(d);
    all.check_all_taken();
  });
}

// One thief may stand still with its claim while the owner answers it and another claims anew.
// Fails when two may claim at a time.
TEST(SplitDequeModel, TwoThievesRaise) {
  holds_further([] {
    values all;
    deque d(4);
    push(d, all, 2);
    prim::thread first([&] { raise_and_steal(d); });
    prim::thread second([&] { raise_and_steal(d); });
    pop_all(d);
    first.join();
    second.join();
    all.check_all_taken();
  });
}

// A boundary is taken back, and raised again, while a thief goes by the old one.
TEST(SplitDequeModel, TakenBackAndRaisedAgain) {
  holds_further([] {
    values all;
    deque d(4);
    push(d, all, 3);
    model::check(d.raise() == theft::success, "half is shared");
    prim::thread first([&] { steal_one(d); });
    prim::thread second([&] { raise_and_steal(d); });
    pop_all(d);
    first.join();
    second.join();
    all.check_all_taken();
  });
}

// Fails when what was shared on request is published relaxed, or the boundary is read so.
TEST(SplitDequeModel, AThiefAsks) {
  holds_further([] {
    values all;
    deque d(2);
    d.ask();
    prim::thread thief([&] {
      steal_one(d);
      d.ask();
      steal_one(d);
    });
    push(d, all, 2);
    pop_one(d);
    push(d, all);
    pop_all(d);
    thief.join();
    all.check_all_taken();
  });
}

// Fails when the new buffer is published, or read, relaxed, and when it is freed too early.
TEST(SplitDequeModel, GrowsBeneathAThief) {
  holds_further([] {
    values all;
    deque d(1);
    push_asked(d, all, 1);
    prim::thread thief([&] {
      steal_one(d);
      raise_and_steal(d);
    });
    push(d, all, 2);
    thief.join();
    pop_all(d);
    all.check_all_taken();
  });
}

// The slot that a thief has read is used again before its exchange. Fails when steal reads the slot
// after its exchange.
TEST(SplitDequeModel, ASlotIsUsedAgainBeneathAThief) {
  holds_further([] {
    values all;
    deque d(1);
    push_asked(d, all, 1);
    prim::thread thief([&] { steal_one(d); });
    for (int i = 0; i < 2; ++i) {
      pop_one(d);
      push(d, all);
    }
    thief.join();
    pop_all(d);
    all.check_all_taken();
  });
}

// The owner changes what belongs to its newest value for as long as it keeps it: pieces of a loop,
// of which it takes the first one off. Fails when keeps_newest has no fence, does not look at the
// boundary, or takes a claim for none.
TEST(SplitDequeModel, TheNewestIsKeptWhileItsOwnerChangesIt) {
  holds_further([] {
    prim::cell<int> pieces(0);
    prim::atomic<int> first{1};
    prim::cell<int> taken_from(0);
    deque d(2);
    d.push(&pieces);
    prim::thread thief([&] {
      prim::cell<int>* v = nullptr;
      if (d.raise() == theft::success && d.steal(v) == theft::success)
        taken_from.set(first.load(prim::relaxed));
    });
    int own = 0;
    bool gone = false;
    while (own != 2 && !gone) {
      prim::cell<int>* v = nullptr;
      first.store(own + 2, prim::relaxed);
      if (!d.keeps_newest()) {
        gone = !d.pop(v);
        if (!gone) d.push(v);
      }
      if (!gone) ++own;
    }
    thief.join();
    const int from = taken_from.get();
    model::check(from == own + 1 || (gone ? from == own + 2 : from == 0),
                 "each piece is the owner's or the thief's, but for the one it was about to take");
  });
}

// How a worker falls asleep beside a deque whose owner does not fence: it asks, fences for both,
// and looks. Fails without the fence of push.
TEST(SplitDequeModel, WhoAskedIsWokenOrSees) {
  holds_further([] {
    values all;
    deque d(2);
    prim::parker bed;
    prim::thread sleeper([&] {
      d.ask();
      model::check(prim::heavy_fence());
      if (d.empty()) bed.park();
      while (!steal_one(d)) {
        if (d.raise() == theft::empty) prim::pause();
      }
    });
    if (d.push(all.make())) bed.unpark();
    sleeper.join();
    all.check_all_taken();
  });
}

}  // namespace
