// Objects that die as soon as their last waiter has returned, while those who woke it may still be
// on their way out of set(), release() or count_down().

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>
#include <heddle/sync/barrier.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/semaphore.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;

constexpr int rounds = 400;

// Makes an object anew in each round; `wake` runs on another thread, `wait` here, and with its
// return the object is gone.
template <class T, class Make, class Wake, class Wait>
void dies_after_its_last_wait(Make make, Wake wake, Wait wait) {
  const heddle_test::watchdog dog;
  std::atomic<T*> shared{nullptr};
  std::atomic<int> woken{0};
  std::thread waker([&] {
    for (int r = 0; r < rounds; ++r) {
      T* object = nullptr;
      while ((object = shared.exchange(nullptr)) == nullptr) std::this_thread::yield();
      wake(*object);
      ++woken;
    }
  });
  for (int r = 0; r < rounds; ++r) {
    std::unique_ptr<T> object = make();
    shared = object.get();
    if (r % 4 == 0) std::this_thread::sleep_for(20us);
    wait(*object);
    object.reset();
  }
  waker.join();
  EXPECT_EQ(woken, rounds);
}

TEST(lifetime, events_die_after_their_last_wait) {
  using manual = heddle::manual_reset_event;
  using automatic = heddle::auto_reset_event;
  dies_after_its_last_wait<manual>([] { return std::make_unique<manual>(); },
                                   [](manual& e) { e.set(); }, [](manual& e) { e.wait(); });
  dies_after_its_last_wait<manual>([] { return std::make_unique<manual>(); },
                                   [](manual& e) { e.set(); },
                                   [](manual& e) {
                                     while (!e.wait_for(1us)) {
                                     }
                                   });
  dies_after_its_last_wait<automatic>([] { return std::make_unique<automatic>(); },
                                      [](automatic& e) { e.set(); },
                                      [](automatic& e) { e.wait(); });
}

TEST(lifetime, latches_die_after_their_last_wait) {
  using heddle::latch;
  dies_after_its_last_wait<latch>([] { return std::make_unique<latch>(1); },
                                  [](latch& l) { l.count_down(); }, [](latch& l) { l.wait(); });
  dies_after_its_last_wait<latch>([] { return std::make_unique<latch>(2); },
                                  [](latch& l) { l.count_down(); },
                                  [](latch& l) { l.arrive_and_wait(); });
}

TEST(lifetime, semaphores_die_after_their_last_wait) {
  using counting = heddle::counting_semaphore<>;
  using weighted = heddle::weighted_semaphore;
  dies_after_its_last_wait<counting>([] { return std::make_unique<counting>(0); },
                                     [](counting& s) { s.release(); },
                                     [](counting& s) { s.acquire(); });
  dies_after_its_last_wait<counting>([] { return std::make_unique<counting>(0); },
                                     [](counting& s) { s.release(); },
                                     [](counting& s) {
                                       while (!s.try_acquire_for(1us)) {
                                       }
                                     });
  dies_after_its_last_wait<weighted>(
      [] {
        auto s = std::make_unique<weighted>(2);
        s->acquire(2);
        return s;
      },
      [](weighted& s) { s.release(1); }, [](weighted& s) { s.acquire(1); });
}

TEST(lifetime, barriers_die_after_their_last_wait) {
  using barrier = heddle::barrier<>;
  dies_after_its_last_wait<barrier>([] { return std::make_unique<barrier>(2); },
                                    [](barrier& b) { static_cast<void>(b.arrive()); },
                                    [](barrier& b) { b.arrive_and_wait(); });
  dies_after_its_last_wait<barrier>([] { return std::make_unique<barrier>(2); },
                                    [](barrier& b) { b.arrive_and_drop(); },
                                    [](barrier& b) { b.wait(b.arrive()); });
}

// A thread ends with the statistics of what it used still in use by others.
TEST(lifetime, statistics_outlive_the_threads_that_made_them) {
  const heddle_test::watchdog dog;
  heddle::binary_semaphore s(1, "lifetime of statistics");
  s.record(heddle::lock_recording::all);
  for (int i = 0; i < 20; ++i) {
    heddle_test::run_together(3, [&](unsigned) {
      s.acquire();
      s.release();
    });
  }
  EXPECT_EQ(s.statistics().acquisitions, 60U);
}

}  // namespace
