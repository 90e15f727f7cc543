// Latches and scopes whose owner goes on, and destroys them, as soon as it sees that all is done.
#include <memory>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/condition_variable.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/prim/thread.hpp>

#include "museum.hpp"

namespace {

namespace prim = heddle::prim;

// A job lies on its owner's stack and so does its latch, which knew whom to wake. Whoever had run
// the job set the latch, and only then asked it.
// Source: rayon-rs/rayon, issue 739.
//
//   runner  sets the latch
//   owner   happens to look, sees it set, and leaves: the latch is gone
//   runner  reads from the latch whom to wake
//
// Mended: what is needed for waking is read before the latch is set.
template <bool mended>
class latch {
 public:
  explicit latch(prim::parker& owner) : owner_(&owner) {}

  void set() {
    if constexpr (mended) {
      prim::parker* const owner = owner_.get();
      set_.store(true, prim::release);
      owner->unpark();
    } else {
      set_.store(true, prim::release);
      owner_.get()->unpark();
    }
  }

  bool is_set() const { return set_.load(prim::acquire); }

 private:
  prim::atomic<bool> set_{false};
  prim::cell<prim::parker*> owner_;
};

template <bool mended>
void job_on_the_stack() {
  prim::parker owner;  // belongs to the worker's record, which outlives its jobs
  auto job = std::make_unique<latch<mended>>(owner);
  prim::thread runner([&job = *job] { job.set(); });
  while (!job->is_set()) owner.park();
  job.reset();
  runner.join();
}

TEST(museum_latches, fields_read_after_set) {
  museum::show(&job_on_the_stack<false>, museum::use_after_free(), &job_on_the_stack<true>);
}

// With that mended, what was read in time was the address of the owner's own handle to its pool.
// The pool lives on, as the runner belongs to it; the handle dies with the owner's thread. Source:
// rayon-rs/rayon, issue 913, pull request 934.
//
//   runner  finds out where the owner keeps its handle, and sets the latch
//   owner   sees it set, leaves, and its thread ends
//   runner  reads the handle, to wake whoever sleeps in that pool
//
// Mended: the runner follows the handle before it sets the latch.
struct owner_record {
  explicit owner_record(prim::parker& p) : pool(&p) {}

  prim::cell<prim::parker*> pool;
};

template <bool mended>
void owner_ends() {
  prim::parker pool;
  prim::atomic<bool> set{false};
  auto owner = std::make_unique<owner_record>(pool);
  prim::thread runner([&set, &owner = *owner] {
    if constexpr (mended) {
      prim::parker* const sleeper = owner.pool.get();
      set.store(true, prim::release);
      sleeper->unpark();
    } else {
      set.store(true, prim::release);
      owner.pool.get()->unpark();
    }
  });
  while (!set.load(prim::acquire)) pool.park();
  owner.reset();
  runner.join();
}

TEST(museum_latches, owner_dies_between_set_and_wake) {
  museum::show(&owner_ends<false>, museum::use_after_free(), &owner_ends<true>);
}

// A job may also run in another pool than its owner's. Then the whole pool that is to be told can
// end between set and wake, since the owner may be the last to use it.
// Source: rayon-rs/rayon, pull request 740, the other half of issue 739.
//
//   runner  knows the owner's pool, and sets the latch
//   owner   sees it set, leaves, and gives up the last reference to its pool
//   runner  wakes a thread of that pool
//
// Mended: the runner holds a reference of its own while it sets the latch and wakes.
struct pool_record {
  prim::parker sleeper;
  prim::atomic<int> references{1};

  void hold() { references.fetch_add(1, prim::relaxed); }
  void drop() {
    if (references.fetch_sub(1, prim::acq_rel) == 1) delete this;
  }
};

template <bool mended>
void job_in_another_pool() {
  auto* const pool = new pool_record;
  prim::atomic<bool> set{false};
  prim::thread runner([&] {
    if constexpr (mended) pool->hold();
    set.store(true, prim::release);
    pool->sleeper.unpark();
    if constexpr (mended) pool->drop();
  });
  while (!set.load(prim::acquire)) pool->sleeper.park();
  pool->drop();
  runner.join();
}

TEST(museum_latches, another_pool_dies_between_set_and_wake) {
  museum::show(&job_in_another_pool<false>, museum::use_after_free(), &job_in_another_pool<true>);
}

// A scope of asynchronous work counted its operations in an atomic, and woke its waiter under a
// mutex; but the waiter, too, looked at the atomic.
// Source: NVIDIA/stdexec, pull request 1731.
//
//   operation  counts down to zero
//   waiter     takes the mutex, sees zero, leaves, and destroys the scope
//   operation  locks the scope's mutex
//
// Mended: the count changes under the mutex; the waiter cannot see zero before the operation has
// unlocked, which is the last that it does.
template <bool mended>
class scope {
 public:
  void complete() {
    if constexpr (mended) {
      const prim::scoped_lock lock(mutex_);
      if (active_.fetch_sub(1) == 1) empty_.notify_all();
    } else {
      if (active_.fetch_sub(1) != 1) return;
      const prim::scoped_lock lock(mutex_);
      empty_.notify_all();
    }
  }

  void wait_until_empty() {
    const prim::scoped_lock lock(mutex_);
    while (active_.load() != 0) empty_.wait(mutex_);
  }

 private:
  prim::mutex mutex_;
  prim::condition_variable empty_;
  prim::atomic<int> active_{2};
};

template <bool mended>
void leave_scope() {
  auto work = std::make_unique<scope<mended>>();
  prim::thread operation([&work = *work] { work.complete(); });
  work->complete();
  work->wait_until_empty();
  work.reset();
  operation.join();
}

TEST(museum_latches, scope_destroyed_between_decrement_and_lock) {
  museum::show(&leave_scope<false>, museum::use_after_free(), &leave_scope<true>);
}

}  // namespace
