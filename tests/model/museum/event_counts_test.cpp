// Sleeping protocols: how a thread announces that it is about to sleep, and how others find out.
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/prim/thread.hpp>

#include "museum.hpp"

namespace {

namespace prim = heddle::prim;

// Whoever unlocked a mutex exchanged its flag and then looked for sleepers; whoever wanted it
// announced that it sleeps and then looked at the flag again. Only the latter had a fence between,
// and a read-modify-write, even a sequentially consistent one, is none.
// Source: uxlfoundation/oneTBB, pull request 2136.
//
//   unlocker  exchanges the flag, and its processor keeps that to itself for now
//   waiter    announces itself, still reads the flag as set, sleeps
//   unlocker  reads, from before the announcement, that nobody sleeps
//
// Mended: a sequentially consistent fence on either side; one of the two sees the other.
template <bool mended>
void unlock_for_a_sleeper() {
  prim::atomic<bool> locked{true};
  prim::atomic<int> sleepers{0};
  prim::parker sleeper;
  prim::thread waiter([&] {
    sleepers.store(1, prim::relaxed);
    prim::fence(prim::seq_cst);
    while (locked.load(prim::acquire)) sleeper.park();
  });
  locked.exchange(false);
  if constexpr (mended) prim::fence(prim::seq_cst);
  if (sleepers.load(prim::relaxed) != 0) sleeper.unpark();
  waiter.join();
}

TEST(museum_event_counts, fence_missing_before_the_look_for_sleepers) {
  museum::show(&unlock_for_a_sleeper<false>, museum::deadlock(), &unlock_for_a_sleeper<true>);
}

// An event count kept, in one word, an epoch and the number of threads that are about to sleep but
// have not decided yet. A wake-up goes to one of those first: its change of the epoch keeps that
// thread awake. Whoever cancelled its sleep subtracted itself and raised the epoch, by one addition
// over the whole word.
// Source: taskflow/taskflow, issue 518.
//
//   worker     prepares to sleep while the epoch is at its highest, finds work, cancels: the sum
//              carries out of the epoch into the neighbouring field
//   worker     looks for more work, and sleeps
//   submitter  hands its wake-up to the thread about to sleep that the word tells of
//
// Mended: the epoch wraps around within its own bits.
template <bool mended>
class event_count {
 public:
  // To be followed by cancel() or commit().
  unsigned prepare() { return state_.fetch_add(one_waiter) & epoch_mask; }

  void cancel(unsigned key) {
    unsigned s = state_.load();
    do {
      if ((s & epoch_mask) != key) return;  // a wake-up was for this thread, and took it off
    } while (!state_.compare_exchange_weak(s, next_epoch(s - one_waiter)));
  }

  void commit(unsigned key) {
    unsigned s = state_.load();
    do {
      if ((s & epoch_mask) != key) return;
    } while (!state_.compare_exchange_weak(s, (s - one_waiter) | asleep));
    parker_.park();
  }

  void notify() {
    unsigned s = state_.load();
    for (;;) {
      if ((s & waiters_mask) != 0) {
        if (state_.compare_exchange_weak(s, next_epoch(s - one_waiter))) return;
      } else if ((s & asleep) != 0) {
        if (!state_.compare_exchange_weak(s, next_epoch(s & ~asleep))) continue;
        parker_.unpark();
        return;
      } else {
        return;
      }
    }
  }

 private:
  static constexpr unsigned epoch_mask = 7;  // 32 bits there
  static constexpr unsigned one_waiter = 8;
  static constexpr unsigned waiters_mask = 7 * one_waiter;
  static constexpr unsigned asleep = 64;

  static unsigned next_epoch(unsigned s) {
    return mended ? (s & ~epoch_mask) | ((s + 1) & epoch_mask) : s + 1;
  }

  prim::atomic<unsigned> state_{epoch_mask};
  prim::parker parker_;
};

template <bool mended>
void epoch_at_its_highest() {
  event_count<mended> work;
  prim::atomic<int> tasks{1};
  prim::thread submitter([&] {
    tasks.fetch_add(1);
    work.notify();
  });
  for (int done = 0; done < 2;) {
    const unsigned key = work.prepare();
    if (tasks.load() > done) {
      work.cancel(key);
      ++done;
    } else {
      work.commit(key);
    }
  }
  submitter.join();
}

TEST(museum_event_counts, epoch_that_overflows) {
  museum::show(&epoch_at_its_highest<false>, museum::deadlock(), &epoch_at_its_highest<true>);
}

// A pool counted its sleepers beside a flag and an auto-reset event for each. A worker that found
// work just before it slept, when somebody had claimed it as a sleeper already, left the event set.
// The next sleep then ended at once, with the flag up; and the one after counted the same worker
// again.
// Source: lewissbaker/cppcoro, issue 114.
//
//   worker     announces its sleep; submitter claims and wakes it; worker takes the task instead
//   worker     announces its sleep, is back at once, announces it again: two sleepers are counted
//   submitter  claims a sleeper that nobody is; there, it looks for that sleeper for ever
//
// Mended: only a flag that was down counts.
template <bool mended>
class sleepers {
 public:
  void announce() {
    if (!flag_.exchange(true) || !mended) count_.fetch_add(1);
  }
  void sleep() { event_.park(); }

  // False when there was no sleeper left to claim.
  bool claim() {
    int n = count_.load();
    do {
      if (n == 0) return false;
    } while (!count_.compare_exchange_strong(n, n - 1));
    heddle::model::check(flag_.exchange(false), "a sleeper is counted that does not sleep");
    return true;
  }
  void wake_one() {
    if (claim()) event_.unpark();
  }

 private:
  prim::atomic<bool> flag_{false};
  prim::atomic<int> count_{0};
  prim::parker event_;
};

template <bool mended>
void two_tasks_for_a_sleeper() {
  sleepers<mended> idle;
  prim::atomic<int> tasks{0};
  prim::thread submitter([&] {
    for (int i = 0; i < 2; ++i) {
      tasks.fetch_add(1);
      idle.wake_one();
    }
  });
  for (int done = 0; done < 2;) {
    idle.announce();
    if (tasks.load() > done) {
      idle.claim();  // itself
      ++done;
    } else {
      idle.sleep();
    }
  }
  submitter.join();
}

TEST(museum_event_counts, stale_event_miscounts_sleepers) {
  museum::show(&two_tasks_for_a_sleeper<false>, museum::assertion("counted that does not sleep"),
               &two_tasks_for_a_sleeper<true>);
}

}  // namespace
