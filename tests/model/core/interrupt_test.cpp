// A watchdog ends waits: docs/protocols/wait_graph.md. The board is empty in a model, so a delegate
// shows the waits here, under a lock as the board does.
#include <heddle/base/errors.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/completion.hpp>
#include <heddle/sync/mutex.hpp>

#include <cstdlib>
#include <cstring>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::completion;
using heddle::deadlock_error;
using heddle::mutex;
using heddle::wait_kind;
using heddle::wait_record;

class board {
 public:
  void show(wait_record* r) {
    {
      const prim::scoped_lock held(lock_);
      record_.set(r);
    }
    if (r != nullptr) shown_.complete();
  }
  // Until the first wait begins, of which there is only one.
  void await() { heddle::wait_for_completion(shown_, wait_kind::event); }
  // Whether it has ended a wait.
  bool interrupt() {
    const prim::scoped_lock held(lock_);
    wait_record* const r = record_.get();
    if (r == nullptr) return false;
    char* const text = strdup("circle");
    if (r->interrupt(*r, text)) return true;
    std::free(text);
    return false;
  }

 private:
  prim::mutex lock_;
  prim::cell<wait_record*> record_{nullptr};
  completion shown_;
};

// Shows the waits of its thread.
class shown final : public heddle::blocking_delegate {
 public:
  explicit shown(board& b) : board_(b), before_(heddle::exchange_blocking_delegate(this)) {}
  ~shown() { heddle::exchange_blocking_delegate(before_); }
  shown(const shown&) = delete;
  shown& operator=(const shown&) = delete;

  void help(heddle::executor_ref, heddle::job*) noexcept override {}
  void enter(wait_record& r) override { board_.show(&r); }
  void leave(wait_record&) noexcept override { board_.show(nullptr); }

 private:
  board& board_;
  heddle::blocking_delegate* before_;
};

struct guarded {
  mutex lock;
  prim::cell<int> value{0};

  void add() { value.set(value.get() + 1); }
  // False when the wait was interrupted.
  bool add_if_not_told() {
    try {
      lock.lock();
    } catch (const deadlock_error&) {
      return false;
    }
    add();
    lock.unlock();
    return true;
  }
};

// Fails when an interruption wakes a thread whose node it did not withdraw, and when lock_slow goes
// on after one.
TEST(InterruptModel, ALockAgainstUnlock) {
  holds(
      [] {
        board b;
        guarded g;
        bool told = false;
        bool interrupted = false;
        g.lock.lock();
        prim::thread waiter([&] {
          const shown here(b);
          told = !g.add_if_not_told();
        });
        prim::thread dog([&] {
          b.await();
          interrupted = b.interrupt();
        });
        b.await();
        g.add();
        g.lock.unlock();
        waiter.join();
        dog.join();
        model::check(told == interrupted);
        model::check(g.value.get() == (told ? 1 : 2));
        g.lock.lock();
        g.lock.unlock();
      },
      in_two_parts());
}

// One preemption, and the newest values: four threads have many orders.
model::options few_orders() {
  model::options o = one_preemption();
  o.stale_reads = o.spurious_failures = 0;
  return o;
}

// One of two sleepers is told, the other still gets the lock. Fails when an interruption leaves the
// node in the queue.
TEST(InterruptModel, TheOtherSleeperGetsTheLock) {
  holds(
      [] {
        board b;
        guarded g;
        bool told = false;
        g.lock.lock();
        prim::thread waiter([&] {
          const shown here(b);
          told = !g.add_if_not_told();
        });
        prim::thread other([&] {
          g.lock.lock();
          g.add();
          g.lock.unlock();
        });
        prim::thread dog([&] {
          b.await();
          b.interrupt();
        });
        b.await();
        g.lock.unlock();
        waiter.join();
        other.join();
        dog.join();
        model::check(g.value.get() == (told ? 1 : 2));
      },
      few_orders());
}

// Fails when an interruption wakes a thread whose node it did not detach; ends the program when it
// does not look whether the node is attached.
TEST(InterruptModel, AResultAgainstItsMaker) {
  holds([] {
    board b;
    completion event;
    prim::cell<int> result{0};
    bool told = false;
    bool interrupted = false;
    prim::thread waiter([&] {
      const shown here(b);
      try {
        heddle::wait_or_be_interrupted(event, wait_kind::future);
        model::check(result.get() == 1);
      } catch (const deadlock_error&) {
        told = true;
      }
    });
    prim::thread dog([&] {
      b.await();
      interrupted = b.interrupt();
    });
    b.await();
    result.set(1);
    event.complete();
    waiter.join();
    dog.join();
    model::check(told == interrupted);
  });
}

}  // namespace
