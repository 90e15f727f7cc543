// The ring of tasks that a worker fills and other workers steal from.
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/thread.hpp>

#include "museum.hpp"

namespace {

namespace prim = heddle::prim;

// The indices of a run queue had 16 bits. A thief that was held up between its look and its
// exchange for as long as the owner took to push and pop 65,536 tasks found the index that it
// expected, and stole a task that had run.
// Source: tokio-rs/tokio, issue 5041.
//
//   thief  reads the head and the task there
//   owner  pops that task, and goes on until its index has come round
//   thief  exchanges the head: it looks untouched
//
// Mended: indices so wide that none comes round while a thread lies between two instructions.
template <unsigned modulus>
class run_queue {
 public:
  static constexpr int empty = -1;

  // The owner's. There is always room in this exhibit.
  void push(int task) {
    const unsigned tail = tail_.load(prim::relaxed);
    slots_[tail % capacity].store(task, prim::relaxed);
    tail_.store((tail + 1) % modulus, prim::release);
  }

  // The owner's and the thief's.
  int take() {
    unsigned head = head_.load(prim::acquire);
    if (head == tail_.load(prim::acquire)) return empty;
    const int task = slots_[head % capacity].load(prim::relaxed);
    const bool taken =
        head_.compare_exchange_strong(head, (head + 1) % modulus, prim::acq_rel, prim::relaxed);
    return taken ? task : empty;
  }

 private:
  static constexpr unsigned capacity = 2;

  prim::atomic<unsigned> head_{0}, tail_{0};
  prim::atomic<int> slots_[capacity];
};

template <bool mended>
void index_that_wraps() {
  constexpr int tasks = 5;
  run_queue<mended ? 1u << 16 : 4> queue;
  prim::atomic<int> runs[tasks];
  const auto run_one = [&] {
    const int task = queue.take();
    if (task == queue.empty) return;
    heddle::model::check(runs[task].fetch_add(1) == 0, "a task ran twice");
  };
  queue.push(0);
  prim::thread thief(run_one);
  for (int i = 1; i < tasks; ++i) {
    run_one();
    queue.push(i);
  }
  thief.join();
}

TEST(museum_run_queues, index_that_wraps) {
  museum::show(&index_that_wraps<false>, museum::assertion("a task ran twice"),
               &index_that_wraps<true>);
}

// A thief of several tasks claims them by moving the head, and then copies them. The owner counted
// the claimed slots as free at once.
// Source: tokio-rs/tokio, issues 2364 and 2382, pull request 2387.
//
//   thief  claims a slot
//   owner  sees the head past that slot, and pushes the next task but one into it
//   thief  copies the slot
//
// Mended: a second index tells how far thieves have finished; the owner asks that one for room.
template <bool mended>
class claimed_queue {
 public:
  bool push(int task) {
    const unsigned tail = tail_.load(prim::relaxed);
    const unsigned first_in_use = (mended ? copied_ : claimed_).load(prim::acquire);
    if (tail - first_in_use == capacity) return false;
    slots_[tail % capacity].set(task);
    tail_.store(tail + 1, prim::release);
    return true;
  }

  // There is one thief in this exhibit.
  int steal() {
    const unsigned head = claimed_.load(prim::relaxed);
    if (head == tail_.load(prim::acquire)) return 0;
    claimed_.store(head + 1, prim::release);
    const int task = slots_[head % capacity].get();
    copied_.store(head + 1, prim::release);
    return task;
  }

 private:
  static constexpr unsigned capacity = 2;

  prim::atomic<unsigned> claimed_{0}, copied_{0}, tail_{0};
  prim::cell<int> slots_[capacity];
};

template <bool mended>
void slot_in_two_hands() {
  claimed_queue<mended> queue;
  queue.push(1);
  prim::thread thief([&] {
    const int task = queue.steal();
    heddle::model::check(task == 1, "another task came than the one claimed");
  });
  queue.push(2);
  queue.push(3);
  thief.join();
}

TEST(museum_run_queues, slots_overwritten_while_being_stolen) {
  museum::show(&slot_in_two_hands<false>, museum::data_race(), &slot_in_two_hands<true>);
}

}  // namespace
