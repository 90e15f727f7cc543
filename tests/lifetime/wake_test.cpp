// Objects that are destroyed as soon as their contract allows, while those who woke us are still on
// their way out. A sanitizer, or memory that is overwritten, shows who touches them too late.

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/prim/parker.hpp>
#include <heddle/queue/bounded_queue.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/completion.hpp>
#include <heddle/sync/mutex.hpp>
#include <heddle/sync/priority_inheritance_mutex.hpp>

#include "support/threads.hpp"

namespace {

using heddle::completion;
using heddle::wait_for_completion;
using heddle::wait_kind;

// Memory of one object that is filled with rubbish when the object dies, and must stay so.
template <class T>
class grave {
 public:
  template <class... Args>
  T& make(Args&&... args) {
    return *(object_ = ::new (bytes_) T(std::forward<Args>(args)...));
  }
  void bury() {
    object_->~T();
    std::memset(bytes_, 0xA5, sizeof bytes_);
  }
  bool undisturbed() const {
    for (const unsigned char b : bytes_) {
      if (b != 0xA5) return false;
    }
    return true;
  }

 private:
  T* object_ = nullptr;
  alignas(T) unsigned char bytes_[sizeof(T)] = {};
};

TEST(lifetime, parker_dies_as_soon_as_park_returns) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 500; ++round) {
    grave<heddle::prim::parker> g;
    heddle::prim::parker& p = g.make();
    std::thread waker([&p] { p.unpark(); });
    if (round % 2 == 0) {
      p.park();
    } else {
      while (!p.park_until(heddle::prim::clock::now() + std::chrono::microseconds(20))) {
      }
    }
    g.bury();
    waker.join();
    EXPECT_TRUE(g.undisturbed());
  }
}

// The waiters' nodes are on stacks that go away while complete() still walks over the others.
TEST(lifetime, waiters_die_as_soon_as_they_are_woken) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 100; ++round) {
    completion c;
    heddle_test::run_together(6, [&](unsigned i) {
      if (i == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(round));
        c.complete();
        return;
      }
      grave<heddle::thread_waiter> g;
      heddle::thread_waiter& w = g.make();
      if (c.attach(w)) w.parker.park();
      g.bury();
      std::this_thread::yield();
      EXPECT_TRUE(g.undisturbed());
    });
  }
}

// The owner of a completion frees it once complete() has returned: the waiters, still on their way
// out of the wait, must not look at it.
TEST(lifetime, completion_dies_as_soon_as_complete_returns) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 300; ++round) {
    auto c = std::make_unique<completion>();
    completion* const raw = c.get();
    std::atomic<int> waiting{0};
    std::vector<std::thread> waiters;
    for (int i = 0; i < 3; ++i) {
      waiters.emplace_back([&waiting, raw] {
        heddle::thread_waiter w;
        ASSERT_TRUE(raw->attach(w));
        ++waiting;
        w.parker.park();
      });
    }
    while (waiting != 3) std::this_thread::yield();
    c->complete();
    c.reset();
    for (std::thread& t : waiters) t.join();
  }
}

// The classic: the last one out destroys the lock that the one before it has just unlocked.
template <class M>
void die_when_the_last_of_its_users_has_had_it() {
  const heddle_test::watchdog dog;
  struct shared_state {
    M mutex;
    int users HEDDLE_GUARDED_BY(mutex) = 0;
  };
  for (int round = 0; round < 300; ++round) {
    constexpr int threads = 4;
    auto* const state = new shared_state;
    state->mutex.lock();
    state->users = threads;
    state->mutex.unlock();
    std::atomic<int> destroyed{0};
    heddle_test::run_together(threads, [&](unsigned i) {
      if (i % 2 == 0) {
        state->mutex.lock();
      } else {
        while (!state->mutex.try_lock_for(std::chrono::microseconds(5))) {
        }
      }
      if (round % 8 == 0) std::this_thread::yield();
      const bool last = --state->users == 0;
      state->mutex.unlock();
      if (last) {
        delete state;
        ++destroyed;
      }
    });
    EXPECT_EQ(destroyed, 1);
  }
}

TEST(lifetime, mutex_dies_when_the_last_of_its_users_has_had_it) {
  die_when_the_last_of_its_users_has_had_it<heddle::mutex>();
}
TEST(lifetime, priority_inheritance_mutex_dies_when_the_last_of_its_users_has_had_it) {
  die_when_the_last_of_its_users_has_had_it<heddle::priority_inheritance_mutex>();
}

TEST(lifetime, timed_out_waits_leave_nothing_of_theirs_behind) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 200; ++round) {
    auto c = std::make_unique<completion>();
    std::thread completing([raw = c.get()] { raw->complete(); });
    while (!wait_for_completion(*c, wait_kind::future,
                                heddle::prim::clock::now() + std::chrono::nanoseconds(500))) {
    }
    completing.join();
    c.reset();
  }
}

TEST(lifetime, queue_dies_as_soon_as_somebody_is_told_of_its_end) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 500; ++round) {
    grave<heddle::bounded_queue<int>> g;
    heddle::bounded_queue<int>& q = g.make(1u);
    const bool is_full = round % 2 == 0;
    if (is_full) {
      ASSERT_TRUE(q.put(1));
    }
    std::thread closer([&q] { q.close(); });
    if (is_full) {
      EXPECT_FALSE(q.put(2));
    } else {
      EXPECT_FALSE(q.get().has_value());
    }
    g.bury();
    closer.join();
    ASSERT_TRUE(g.undisturbed()) << "in round " << round;
  }
}

TEST(lifetime, queue_dies_as_soon_as_join_returns) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 500; ++round) {
    grave<heddle::bounded_queue<int>> g;
    heddle::bounded_queue<int>& q = g.make(1u);
    ASSERT_TRUE(q.put(round));
    std::thread worker([&q] {
      if (q.get()) q.task_done();
    });
    q.join();
    g.bury();
    worker.join();
    ASSERT_TRUE(g.undisturbed()) << "in round " << round;
  }
}

}  // namespace
