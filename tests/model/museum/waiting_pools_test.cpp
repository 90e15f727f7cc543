// Pools whose threads wait for a condition variable.
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/condition_variable.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/thread.hpp>

#include "museum.hpp"

namespace {

namespace prim = heddle::prim;

// A pool sometimes hung in its destructor: the flag that ends the workers was an atomic, so it was
// changed, and the workers notified, without the mutex.
// Source: bshoshany/thread-pool, issue 93.
//
//   worker      holds the mutex, reads `running` as true
//   destructor  stores false and notifies: nobody waits yet
//   worker      begins to wait; the destructor joins it
//
// Mended: the flag changes under the mutex, so not between a worker's look and its wait.
template <bool mended>
class ending_pool {
 public:
  ending_pool() : worker_([this] { work(); }) {}
  ~ending_pool() {
    if constexpr (mended) {
      const prim::scoped_lock lock(mutex_);
      running_.store(false);
    } else {
      running_.store(false);
    }
    available_.notify_all();
    worker_.join();
  }

 private:
  void work() {
    const prim::scoped_lock lock(mutex_);
    while (running_.load()) available_.wait(mutex_);
  }

  prim::mutex mutex_;
  prim::condition_variable available_;
  prim::atomic<bool> running_{true};
  prim::thread worker_;
};

template <bool mended>
void shutdown() {
  const ending_pool<mended> pool;
}

TEST(museum_waiting_pools, notify_without_the_mutex_at_shutdown) {
  museum::show(&shutdown<false>, museum::deadlock(), &shutdown<true>);
}

// Two threads may wait for all tasks at once, but the worker that ended the last one notified as if
// there were one.
// Source: bshoshany/thread-pool, issue 110.
//
//   first, second  find a task unfinished, and wait
//   worker         ends it, and notifies one of them
//   the other      waits for a notification that nobody will send
//
// Mended: everybody whose condition may have come true is notified.
template <bool mended>
class waited_pool {
 public:
  void submit() {
    const prim::scoped_lock lock(mutex_);
    ++tasks_;
    available_.notify_one();
  }

  void run_one_task() {
    const prim::scoped_lock lock(mutex_);
    while (tasks_ == 0) available_.wait(mutex_);
    if (--tasks_ != 0) return;
    if constexpr (mended) {
      done_.notify_all();
    } else {
      done_.notify_one();
    }
  }

  void wait_for_tasks() {
    const prim::scoped_lock lock(mutex_);
    while (tasks_ != 0) done_.wait(mutex_);
  }

 private:
  prim::mutex mutex_;
  prim::condition_variable available_, done_;
  int tasks_ = 0;
};

template <bool mended>
void wait_twice_in_a_pool() {
  waited_pool<mended> pool;
  prim::thread worker([&] { pool.run_one_task(); });
  prim::thread first([&] { pool.wait_for_tasks(); });
  pool.submit();
  pool.wait_for_tasks();
  first.join();
  worker.join();
}

TEST(museum_waiting_pools, two_waiters_for_all_tasks_one_stranded) {
  museum::show(&wait_twice_in_a_pool<false>, museum::deadlock(), &wait_twice_in_a_pool<true>);
}

}  // namespace
