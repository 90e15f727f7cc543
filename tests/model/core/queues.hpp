// What the models of rings and queues share.
#pragma once

#include <cstddef>
#include <deque>

#include <heddle/model/linearizable.hpp>

#include "core.hpp"

namespace core_model {

// A call of a queue and how it ended.
struct queue_call {
  enum kind { push, pop } what;
  bool done;
  int value;   // of a call that did something
  int number;  // of one that did nothing
};

// A queue as calls one by one see it. Of the calls that did nothing only one is judged.
struct fifo {
  std::size_t capacity;
  int judged = -1;
  std::deque<int> elements = {};

  bool apply(const queue_call& call) {
    if (!call.done) {
      if (call.number != judged) return true;
      return call.what == queue_call::push ? elements.size() == capacity : elements.empty();
    }
    if (call.what == queue_call::push) {
      elements.push_back(call.value);
      return elements.size() <= capacity;
    }
    if (elements.empty() || elements.front() != call.value) return false;
    elements.pop_front();
    return true;
  }
};

// What queues promise that do not pay for a full fence: the calls that did something can be put in
// one order, and so can they together with any one that did nothing. (Two of those, "full" on one
// thread and "empty" on another, may each be right and not fit into one order: store buffering.)
class queue_history {
 public:
  template <class Queue>
  bool push(Queue& queue, int value) {
    return record([&] { return queue_call{queue_call::push, queue.try_push(value), value, 0}; });
  }

  // 0 when there was nothing.
  template <class Queue>
  int pop(Queue& queue) {
    int value = 0;
    record([&] {
      const bool done = queue.try_pop(value);
      return queue_call{queue_call::pop, done, value, 0};
    });
    return value;
  }

  bool linearizable(std::size_t capacity) const {
    if (!deeds_are_linearizable(capacity)) return false;
    for (int judged = 0; judged < failed_; ++judged) {
      if (!calls_.linearizable(fifo{capacity, judged})) return false;
    }
    return true;
  }

  // Only of the calls that did something.
  bool deeds_are_linearizable(std::size_t capacity) const {
    return calls_.linearizable(fifo{capacity});
  }

 private:
  template <class F>
  bool record(F f) {
    return calls_
        .record([&] {
          queue_call call = f();
          if (!call.done) call.number = failed_++;
          return call;
        })
        .done;
  }

  model::history<queue_call> calls_;
  int failed_ = 0;
};

// Things whose state the taker may touch only if what came before the push is seen: each is made by
// its producer, and taken once.
struct things {
  prim::cell<int> states[4];

  prim::cell<int>* made(int i) {
    states[i].set(1);
    return &states[i];
  }
  static void take(prim::cell<int>* thing) {
    model::check(thing->get() == 1, "a thing is taken once, and what came before its push is seen");
    thing->set(2);
  }
  int taken() const {
    int count = 0;
    for (const auto& state : states) count += state.get() == 2;
    return count;
  }
};

// Counts itself, so that what is neither taken nor destroyed, or destroyed twice, is seen.
class counted {
 public:
  explicit counted(int& alive) : alive_(&alive) { ++alive; }
  counted(counted&& other) noexcept : alive_(other.alive_) { ++*alive_; }
  counted& operator=(counted&&) noexcept { return *this; }
  ~counted() { --*alive_; }

 private:
  int* alive_;
};

}  // namespace core_model
