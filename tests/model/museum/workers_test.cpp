// How a worker is started and ended, and how many a notification wakes.
#include <utility>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/prim/thread.hpp>

#include "museum.hpp"

namespace {

namespace prim = heddle::prim;

// Whoever needs a worker first starts it and writes its handle beside its state; whoever shuts the
// pool down takes the state and, if there was a worker, joins by that handle. The exchanges of the
// state ordered nothing, so the handle could be read before it was written: the join hung.
// Source: uxlfoundation/oneTBB, pull request 739.
//
//   starter   writes the handle, changes the state to running
//   shutdown  changes the state to ended, and learns that it was running
//   shutdown  reads the handle: nothing says that it has been written
//
// Mended: the starter's change releases, that of the shutdown acquires.
template <bool mended>
void shut_down_a_new_worker() {
  enum : int { none, running, ended };
  constexpr auto order = mended ? prim::acq_rel : prim::relaxed;
  prim::atomic<int> state{none};
  prim::cell<int> handle{0};
  prim::thread starter([&] {
    handle.set(42);
    int expected = none;
    if (!state.compare_exchange_strong(expected, running, order, prim::relaxed)) handle.set(0);
  });
  if (state.exchange(ended, order) == running) {
    heddle::model::check(handle.get() == 42, "the worker's handle is missing");
  }
  starter.join();
}

TEST(museum_workers, nothing_orders_a_worker_before_its_shutdown) {
  museum::show(&shut_down_a_new_worker<false>, museum::data_race(), &shut_down_a_new_worker<true>);
}

// A notification of all waiters wakes them in batches, and lets go of the lock in between. A waiter
// of the first batch may wait again in that time, and be in a later batch of the same notification.
// Source: tokio-rs/tokio, issue 5396.
//
//   notifier  takes the first batch off the list, unlocks, wakes it
//   waiter    returns from its first wait and enters its second: it is on the list again
//   notifier  locks, and finds a further batch
//
// Mended: the notification takes the whole list off at once, and wakes from that.
struct waiter {
  prim::parker* thread = nullptr;
  waiter* next = nullptr;
  prim::atomic<bool> notified{false};
};

template <bool mended>
class notification {
 public:
  void wait(prim::parker& own_thread) {
    waiter self;
    self.thread = &own_thread;
    {
      const prim::scoped_lock lock(mutex_);
      self.next = waiters_;
      waiters_ = &self;
    }
    waits.fetch_add(1);
    while (!self.notified.load(prim::acquire)) own_thread.park();
  }

  void notify_all() {
    if constexpr (mended) {
      waiter* all = nullptr;
      {
        const prim::scoped_lock lock(mutex_);
        std::swap(all, waiters_);
      }
      while (all != nullptr) wake(std::exchange(all, all->next));
    } else {
      while (waiter* const batch = take_one()) wake(batch);
    }
  }

  prim::atomic<int> waits{0};

 private:
  waiter* take_one() {
    const prim::scoped_lock lock(mutex_);
    waiter* const first = waiters_;
    if (first != nullptr) waiters_ = first->next;
    return first;
  }

  static void wake(waiter* w) {
    prim::parker* const thread = w->thread;
    w->notified.store(true, prim::release);
    thread->unpark();
  }

  prim::mutex mutex_;
  waiter* waiters_ = nullptr;
};

template <bool mended>
void wait_twice() {
  notification<mended> event;
  prim::atomic<int> notifications{0};
  prim::parker own;
  prim::thread waiting([&] {
    for (int i = 1; i <= 2; ++i) {
      event.wait(own);
      heddle::model::check(notifications.load() >= i, "one notification ended two waits");
    }
  });
  for (int i = 1; i <= 2; ++i) {
    while (event.waits.load() < i) prim::pause();
    notifications.store(i);
    event.notify_all();
  }
  waiting.join();
}

TEST(museum_workers, one_notification_wakes_two_sequential_waits) {
  museum::show(&wait_twice<false>, museum::assertion("ended two waits"), &wait_twice<true>);
}

}  // namespace
