#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/barrier.hpp>

#include "core.hpp"

namespace {

using namespace core_model;
using heddle::barrier;
using heddle::broken_barrier;

struct sums_up {
  prim::cell<int>* parts;
  prim::cell<int>* sum;
  void operator()() noexcept { sum->set(parts[0].get() + parts[1].get()); }
};

// Two phases: the step sees both parts, both see the step. Fails when the phase advances before the
// step has run, and when nobody is woken.
TEST(BarrierModel, TheStepRunsBetweenThePhases) {
  holds([] {
    prim::cell<int> parts[2];
    prim::cell<int> sum;
    barrier<sums_up> b(2, {parts, &sum});
    const auto two_phases = [&](int i) {
      for (int r = 1; r <= 2; ++r) {
        parts[i].set(r);
        b.arrive_and_wait();
        model::check(sum.get() == 2 * r);
      }
    };
    prim::thread other([&] { two_phases(1); });
    two_phases(0);
    other.join();
  });
}

// Fails when the first waiter only is woken, and when what is missing is not counted anew.
TEST(BarrierModel, ThreeMeet) {
  holds(
      [] {
        barrier b(3);
        prim::atomic<int> arrived{0};
        const auto meet = [&] {
          arrived.fetch_add(1, prim::relaxed);
          b.arrive_and_wait();
          model::check(arrived.load(prim::relaxed) == 3);
        };
        prim::thread one(meet);
        prim::thread other(meet);
        meet();
        one.join();
        other.join();
      },
      in_two_parts());
}

// Fails when one who gives up does not look whether the phase has been completed meanwhile, and
// when it leaves without breaking it.
TEST(BarrierModel, ADeadlineBreaksThePhaseOrNot) {
  holds([] {
    barrier b(2);
    int passed = 0;
    int broken = 0;
    prim::thread other([&] {
      try {
        b.arrive_and_wait();
        ++passed;
      } catch (const broken_barrier&) {
        ++broken;
      }
    });
    try {
      b.arrive_and_wait_until(soon()) ? ++passed : ++broken;
    } catch (const broken_barrier&) {
      ++broken;
    }
    other.join();
    model::check(passed == 2 || broken == 2, "they agree");
    model::check(b.broken() == (broken == 2));
  });
}

// Fails when the one that was taken in the moment of the stop does not receive its wake-up, or is
// not told that the phase is broken.
TEST(BarrierModel, AStopAgainstAbort) {
  holds([] {
    barrier b(3);
    prim::stop_source source;
    int freed = 0;
    prim::thread patient([&] {
      try {
        b.arrive_and_wait();
        model::fail("the third never comes");
      } catch (const broken_barrier&) {
        ++freed;
      }
    });
    prim::thread stoppable([&] {
      try {
        model::check(!b.arrive_and_wait(source.get_token()));
      } catch (const broken_barrier&) {
      }
      ++freed;
    });
    prim::thread stopping([&] { source.request_stop(); });
    b.abort();
    patient.join();
    stoppable.join();
    stopping.join();
    model::check(freed == 2 && b.broken());
  });
}

// Fails when abort does not wake, or a step that ends after it completes the phase all the same.
TEST(BarrierModel, AbortAgainstTheLastArrival) {
  holds([] {
    prim::cell<int> parts[2];
    prim::cell<int> sum;
    barrier<sums_up> b(2, {parts, &sum});
    int passed = 0;
    const auto meet = [&] {
      try {
        b.arrive_and_wait();
        ++passed;
      } catch (const broken_barrier&) {
      }
    };
    prim::thread one(meet);
    prim::thread other(meet);
    b.abort();
    one.join();
    other.join();
    model::check(passed == 0 || passed == 2, "they agree");
  });
}

// One waits in the phase that reset ends, or meets the main thread in the next. Fails when reset
// does not wake those who wait, and when it does not count anew.
TEST(BarrierModel, ResetAgainstAWait) {
  holds([] {
    barrier b(2);
    bool passed = false;
    prim::thread other([&] {
      try {
        b.arrive_and_wait();
        passed = true;
      } catch (const broken_barrier&) {
      }
    });
    b.reset();
    auto mine = b.arrive();
    other.join();
    model::check(b.wait_until(mine, prim::time_point::min()) == passed, "they agree");
    model::check(!b.broken());
  });
}

// Fails when the last to arrive touches the barrier after it has woken the others, and when it
// wakes them under the lock.
TEST(BarrierModel, WhoeverHasPassedDestroys) {
  holds([] {
    auto* const b = new barrier(2);
    prim::thread other([b] {
      if (model::choose(2) == 0) {
        static_cast<void>(b->arrive());
      } else {
        b->arrive_and_drop();
      }
    });
    b->arrive_and_wait();
    delete b;
    other.join();
  });
}

}  // namespace
