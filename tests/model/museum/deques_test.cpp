// Chase and Lev's deque, whose owner works at the bottom and grows the buffer, and whose thieves
// work at the top.
#include <array>
#include <memory>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/thread.hpp>

#include "museum.hpp"

namespace {

namespace prim = heddle::prim;

struct buffer {
  explicit buffer(unsigned n) : capacity(n) {}

  prim::atomic<int>& at(unsigned index) { return slots[index % capacity]; }
  // A buffer twice as large with the same tasks.
  std::unique_ptr<buffer> grown(unsigned top, unsigned bottom) {
    auto larger = std::make_unique<buffer>(2 * capacity);
    for (unsigned i = top; i != bottom; ++i) {
      larger->at(i).store(at(i).load(prim::relaxed), prim::relaxed);
    }
    return larger;
  }

  const unsigned capacity;
  prim::atomic<int> slots[4];
};

// Where a buffer stays until no thief can be reading it; here, until the deque ends.
using kept_buffers = std::array<std::unique_ptr<buffer>, 2>;

// The deque as published for C11: the fences order tasks before the bottom that tells of them, but
// growing stores the new buffer relaxed, and a thief may meet it before any new bottom.
// Source: N. M. Lê, A. Pop, A. Cohen, F. Zappa Nardelli, "Correct and efficient work-stealing for
// weak memory models", PPoPP 2013, figure 1. That the store must release: B. Norris, B. Demsky,
// "CDSchecker: checking concurrent data structures written with C/C++ atomics", OOPSLA 2013.
//
//   owner  copies the tasks into a larger buffer, stores its address
//   thief  reads that address, but the bottom from before it
//   thief  reads a slot whose initialization it need not see
//
// Mended: the address is stored with release, and loaded with acquire.
template <bool mended>
class published_deque {
 public:
  void push(int task) {
    const unsigned bottom = bottom_.load(prim::relaxed);
    const unsigned top = top_.load(prim::acquire);
    buffer* b = buffer_.load(prim::relaxed);
    if (bottom - top == b->capacity) {
      kept_[1] = b->grown(top, bottom);
      b = kept_[1].get();
      buffer_.store(b, mended ? prim::release : prim::relaxed);
    }
    b->at(bottom).store(task, prim::relaxed);
    prim::fence(prim::release);
    bottom_.store(bottom + 1, prim::relaxed);
  }

  int steal() {
    unsigned top = top_.load(prim::acquire);
    prim::fence(prim::seq_cst);
    if (top == bottom_.load(prim::acquire)) return 0;
    buffer* const b = buffer_.load(prim::acquire);
    const int task = b->at(top).load(prim::relaxed);
    const bool stolen = top_.compare_exchange_strong(top, top + 1, prim::seq_cst, prim::relaxed);
    return stolen ? task : 0;
  }

 private:
  kept_buffers kept_{std::make_unique<buffer>(1), nullptr};
  prim::atomic<unsigned> top_{0}, bottom_{0};
  prim::atomic<buffer*> buffer_{kept_[0].get()};
};

template <bool mended>
void grow_before_a_thief() {
  published_deque<mended> deque;
  deque.push(1);
  prim::thread thief([&] {
    const int task = deque.steal();
    heddle::model::check(task == 0 || task == 1, "the oldest task was not the one stolen");
  });
  deque.push(2);
  thief.join();
}

TEST(museum_deques, buffer_published_by_a_relaxed_store) {
  museum::show(&grow_before_a_thief<false>, museum::data_race(), &grow_before_a_thief<true>);
}

// A thief that took several tasks, one exchange of the top each, went on reading from the buffer
// that it had found at first. The owner may have grown since, and used an index again: its task is
// in the new buffer, and in the old one an earlier task, which has run.
// Source: crossbeam-rs/crossbeam, pull request 726 (CVE-2021-32810).
//
//   thief  finds two tasks and their buffer
//   owner  grows, pops down to the second task and that too, pushes another in its place
//   thief  steals the first; reads the second from the old buffer; exchanges the top
//
// Mended: before each exchange the thief makes sure that the buffer is still the deque's.
template <bool mended>
class batched_deque {
 public:
  void push(int task) {
    const unsigned bottom = bottom_.load();
    const unsigned top = top_.load();
    buffer* b = buffer_.load();
    if (bottom - top == b->capacity) {
      kept_[1] = b->grown(top, bottom);
      b = kept_[1].get();
      buffer_.store(b);
    }
    b->at(bottom).store(task);
    bottom_.store(bottom + 1);
  }

  int pop() {
    const unsigned bottom = bottom_.load() - 1;
    bottom_.store(bottom);
    unsigned top = top_.load();
    const int left = static_cast<int>(bottom - top);
    int task = left >= 0 ? buffer_.load()->at(bottom).load() : 0;
    if (left == 0 && !top_.compare_exchange_strong(top, top + 1)) task = 0;
    if (left <= 0) bottom_.store(bottom + 1);
    return task;
  }

  // Takes up to two tasks.
  template <class F>
  void steal_batch(F run) {
    unsigned top = top_.load();
    if (static_cast<int>(bottom_.load() - top) <= 0) return;
    buffer* const b = buffer_.load();
    for (int i = 0; i < 2; ++i) {
      if (static_cast<int>(bottom_.load() - top) <= 0) return;
      const int task = b->at(top).load();
      if (mended && buffer_.load() != b) return;
      if (!top_.compare_exchange_strong(top, top + 1)) return;
      run(task);
      ++top;
    }
  }

 private:
  kept_buffers kept_{std::make_unique<buffer>(2), nullptr};
  prim::atomic<unsigned> top_{0}, bottom_{0};
  prim::atomic<buffer*> buffer_{kept_[0].get()};
};

template <bool mended>
void steal_while_growing() {
  batched_deque<mended> deque;
  prim::atomic<int> runs[5];
  const auto run = [&](int task) {
    heddle::model::check(task == 0 || runs[task].fetch_add(1) == 0, "a task ran twice");
  };
  deque.push(1);
  deque.push(2);
  prim::thread thief([&] { deque.steal_batch(run); });
  deque.push(3);
  run(deque.pop());
  run(deque.pop());
  deque.push(4);
  thief.join();
}

TEST(museum_deques, buffer_grows_under_a_thief_of_several) {
  museum::show(&steal_while_growing<false>, museum::assertion("a task ran twice"),
               &steal_while_growing<true>);
}

}  // namespace
