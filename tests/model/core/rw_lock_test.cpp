#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/rw_lock.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::rw_lock;

// In a model a thread has one slot, and after one counted read the table opens again.
struct read_mostly {
  rw_lock lock;
  prim::cell<int> value;

  // Moments in which others meet a lock that is held, spin, and go to sleep, without costing a
  // preemption.
  void linger() {
    for (int i = 0; i < 3; ++i) prim::yield();
  }
  void add() {
    lock.lock();
    value.set(value.get() + 1);
    lock.unlock();
  }
  void write_slowly() {
    lock.lock();
    value.set(value.get() + 1);
    linger();
    lock.unlock();
  }
  int read() {
    lock.lock_shared();
    const int seen = value.get();
    lock.unlock_shared();
    return seen;
  }
  void read_slowly() {
    lock.lock_shared();
    value.get();
    linger();
    lock.unlock_shared();
  }
  // With both ways to read, where there is no writer in between.
  void read_twice() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    if (!lock.try_lock_shared()) return;
    if (lock.try_lock_shared()) {
      value.get();
      lock.unlock_shared();
    }
    value.get();
    lock.unlock_shared();
  }
  bool nobody_holds_it() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    if (!lock.try_lock()) return false;
    lock.unlock();
    return true;
  }
  // Turns the table off until one more reader was counted.
  void close_table() { add(); }
};

// Exclusion through the table. Fails when enter_table exchanges its slot with less than seq_cst,
// loads the word with less, or does not load it again; when lock_slow claims, await_table looks, or
// used() counts the rows with less; and when give_up empties the slot relaxed.
TEST(RwLockModel, AWriterExcludesAReaderInTheTable) {
  holds([] {
    read_mostly g;
    prim::thread reader([&] { g.read(); });
    g.add();
    reader.join();
    model::check(g.value.get() == 1);
  });
}

// Both ways to read, and back. Fails when unlock releases relaxed, when join acquires relaxed, and
// when leaving readers do not release.
TEST(RwLockModel, WritersAndCountedReadersExclude) {
  holds([] {
    read_mostly g;
    g.close_table();
    prim::thread reader([&] {
      const int first = g.read();
      model::check(g.read() >= first);
    });
    g.add();
    reader.join();
    model::check(g.value.get() == 2);
  });
}

// Three at once, of whom two write. Fails when a claim does not look for readers that an earlier
// one left in the table.
TEST(RwLockModel, TwoWritersAndAReader) {
  holds([] {
    read_mostly g;
    prim::thread writer([&] { g.add(); });
    prim::thread reader([&] { g.read(); });
    g.add();
    writer.join();
    reader.join();
    model::check(g.value.get() == 2);
  });
}

// A writer sleeps until the slot is given up. Fails when sleep_while or give_up does not fence,
// when wake wakes nobody, and when sleep_while does not look at the slot again.
TEST(RwLockModel, AWriterSleepsBehindTheTable) {
  holds([] {
    read_mostly g;
    g.lock.lock_shared();
    prim::thread writer([&] { g.add(); });
    g.value.get();
    g.linger();
    g.lock.unlock_shared();
    writer.join();
    model::check(g.value.get() == 1);
  });
}

// Fails when the last reader does not wake the writer, and when await_counted does not look at the
// word once more under the lock.
TEST(RwLockModel, AWriterSleepsBehindCountedReaders) {
  holds([] {
    read_mostly g;
    g.close_table();
    g.lock.lock_shared();
    prim::thread writer([&] { g.add(); });
    prim::thread reader([&] { g.read_slowly(); });
    g.value.get();
    g.linger();
    g.lock.unlock_shared();
    writer.join();
    reader.join();
    model::check(g.value.get() == 2);
  });
}

// Readers and a writer sleep in the queue. Fails when pass_on wakes nobody, and when the last
// counted reader does not serve those that are left in the queue.
TEST(RwLockModel, TheQueueIsServed) {
  holds([] {
    read_mostly g;
    g.lock.lock();
    prim::thread reader([&] { g.read_slowly(); });
    prim::thread writer([&] { g.add(); });
    g.value.set(1);
    g.linger();
    g.lock.unlock();
    reader.join();
    writer.join();
    model::check(g.value.get() == 2);
  });
}

// Who was overtaken is given the lock. Fails when what is given to a reader is not counted, and
// when what is given to a writer is not claimed.
TEST(RwLockModel, TheOverdueAreServed) {
  holds(
      [] {
        read_mostly g;
        g.lock.lock();
        prim::thread reader([&] { g.read(); });
        prim::thread writer([&] { g.write_slowly(); });
        g.value.set(1);
        g.linger();
        g.lock.unlock();
        g.write_slowly();
        g.write_slowly();
        reader.join();
        writer.join();
        model::check(g.value.get() == 4);
      },
      one_preemption());
}

// A writer that gives up behind a reader in the table leaves the lock as it was, and wakes who came
// meanwhile. Fails when it forgets that there are readers in the table, and when it does not serve
// the queue.
TEST(RwLockModel, ADeadlineBehindTheTable) {
  holds([] {
    read_mostly g;
    g.lock.lock_shared();
    prim::thread hasty([&] {
      if (!g.lock.try_lock_until(soon())) return;
      g.value.set(g.value.get() + 1);
      g.lock.unlock();
    });
    prim::thread patient([&] { g.add(); });
    g.value.get();
    g.lock.unlock_shared();
    hasty.join();
    patient.join();
    model::check(g.value.get() >= 1);
  });
}

// The same behind a counted reader, and in the queue. Fails when whoever was chosen in the moment
// of its deadline goes away without trying, and when a withdrawn writer stays awaited.
TEST(RwLockModel, ADeadlineAgainstTheLastCountedReader) {
  holds([] {
    read_mostly g;
    g.close_table();
    g.lock.lock_shared();
    prim::thread hasty([&] {
      if (!g.lock.try_lock_until(soon())) return;
      g.value.set(g.value.get() + 1);
      g.lock.unlock();
    });
    prim::thread reader([&] { g.read(); });
    g.value.get();
    g.lock.unlock_shared();
    hasty.join();
    reader.join();
    model::check(g.value.get() >= 1);
  });
}

// Readers that give up in the queue. Fails when withdraw leaves the bit of the queue behind, or
// takes it away while another sleeps.
TEST(RwLockModel, ADeadlineInTheQueue) {
  holds([] {
    read_mostly g;
    g.lock.lock();
    prim::thread hasty([&] {
      if (!g.lock.try_lock_shared_until(soon())) return;
      g.value.get();
      g.lock.unlock_shared();
    });
    prim::thread writer([&] { g.add(); });
    g.value.set(1);
    g.linger();
    g.lock.unlock();
    hasty.join();
    writer.join();
    model::check(g.value.get() == 2);
    model::check(g.nobody_holds_it());
  });
}

// Fails when a stop wakes nobody, and when a writer that it ended keeps its claim.
TEST(RwLockModel, AStopAgainstTheReader) {
  holds([] {
    read_mostly g;
    prim::stop_source source;
    g.lock.lock_shared();
    prim::thread writer([&] {
      if (!g.lock.lock(source.get_token())) return;
      g.value.set(1);
      g.lock.unlock();
    });
    prim::thread stopping([&] { source.request_stop(); });
    g.value.get();
    g.lock.unlock_shared();
    writer.join();
    stopping.join();
    model::check(g.nobody_holds_it());
  });
}

// Fails when try_lock does not look into the table after its claim, or keeps the claim that it
// gives up.
TEST(RwLockModel, TryLock) {
  holds([] {
    read_mostly g;
    prim::thread reader([&] {
      if (g.lock.try_lock_shared()) {
        g.value.get();
        g.lock.unlock_shared();
      }
    });
    if (g.lock.try_lock()) {
      g.value.set(1);
      g.lock.unlock();
    }
    reader.join();
    model::check(g.nobody_holds_it());
  });
}

// A thread that reads twice has its slot once, and is counted once.
TEST(RwLockModel, AThreadReadsTwice) {
  holds([] {
    read_mostly g;
    prim::thread writer([&] { g.add(); });
    g.read_twice();
    writer.join();
    model::check(g.value.get() == 1);
  });
}

// A reader holds two locks, of which one fills its slot, and lets go in either order.
TEST(RwLockModel, AThreadReadsTwoLocks) {
  holds([] {
    read_mostly a;
    read_mostly b;
    prim::thread writer([&] {
      a.add();
      b.add();
    });
    a.lock.lock_shared();
    if (b.lock.try_lock_shared()) {
      a.value.get();
      a.lock.unlock_shared();
      b.value.get();
      b.lock.unlock_shared();
    } else {
      a.lock.unlock_shared();
    }
    writer.join();
    model::check(a.value.get() == 1 && b.value.get() == 1);
  });
}

// Whoever finds itself the last destroys. Fails when give_up, leave_slow or unlock touch the lock
// after they have let go.
TEST(RwLockModel, AReaderInTheTableThenDestroyed) {
  holds([] {
    auto* const g = new read_mostly;
    g->lock.lock_shared();
    prim::thread writer([g] {
      g->add();
      delete g;
    });
    g->value.get();
    g->lock.unlock_shared();
    writer.join();
  });
}

TEST(RwLockModel, ACountedReaderThenDestroyed) {
  holds([] {
    auto* const g = new read_mostly;
    g->close_table();
    g->lock.lock_shared();
    prim::thread writer([g] {
      g->add();
      delete g;
    });
    g->value.get();
    g->lock.unlock_shared();
    writer.join();
  });
}

TEST(RwLockModel, TheLastWriterDestroys) {
  holds([] {
    auto* const g = new read_mostly;
    const auto leave = [g] {
      g->lock.lock();
      const int left = g->value.get() + 1;
      g->value.set(left);
      g->lock.unlock();
      if (left == 2) delete g;
    };
    prim::thread other(leave);
    leave();
    other.join();
  });
}

}  // namespace
