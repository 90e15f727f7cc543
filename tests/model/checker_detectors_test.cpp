// Each detector fires on a small bad body, and not on its good twin.
#include <gmock/gmock.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <heddle/model.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/condition_variable.hpp>
#include <heddle/prim/mutex.hpp>
#include <heddle/prim/parker.hpp>
#include <heddle/prim/shared_mutex.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/prim/thread_local.hpp>

namespace {

namespace model = heddle::model;
namespace prim = heddle::prim;
using testing::AllOf;
using testing::HasSubstr;

model::result run(const std::function<void()>& body) { return model::explore({}, body); }

void expect_pass(const std::function<void()>& body) {
  const auto r = run(body);
  EXPECT_TRUE(!r.failed && r.complete) << r.describe();
}

// Fails with that message, and again when its trail is replayed.
void expect_failure(const std::function<void()>& body,
                    const testing::Matcher<const std::string&>& message) {
  const auto r = run(body);
  ASSERT_TRUE(r.failed) << r.describe();
  EXPECT_THAT(r.message, message);
  EXPECT_THAT(r.message, testing::Not(HasSubstr("not deterministic")));
  setenv("HEDDLE_MODEL_REPLAY", r.trail.c_str(), 1);
  const auto again = run(body);
  unsetenv("HEDDLE_MODEL_REPLAY");
  EXPECT_TRUE(again.failed);
  EXPECT_EQ(again.executions, 1u);
  EXPECT_EQ(again.message, r.message);
  EXPECT_EQ(again.log, r.log);
}

// Data races.

void hand_over(prim::memory_order store, prim::memory_order load) {
  prim::cell<int> data{0};
  prim::atomic<bool> ready{false};
  prim::thread sender([&] {
    data.set(1);
    ready.store(true, store);
  });
  if (ready.load(load)) model::check(data.get() == 1);
  sender.join();
}

TEST(checker_race, read_after_a_relaxed_hand_over) {
  expect_failure([] { hand_over(prim::relaxed, prim::acquire); },
                 AllOf(HasSubstr("data race"), HasSubstr("checker_detectors_test.cpp")));
  expect_failure([] { hand_over(prim::release, prim::relaxed); }, HasSubstr("data race"));
  expect_pass([] { hand_over(prim::release, prim::acquire); });
}

TEST(checker_race, two_writes_and_a_write_after_a_read) {
  expect_failure(
      [] {
        prim::cell<int> data{0};
        prim::thread other([&] { data.set(1); });
        data.set(2);
        other.join();
      },
      HasSubstr("data race: this write"));
  expect_failure(
      [] {
        prim::cell<int> data{0};
        prim::thread other([&] { data.get(); });
        data.set(2);
        other.join();
      },
      HasSubstr("data race"));
  expect_pass([] {
    prim::cell<int> data{0};
    prim::thread other([&] { data.get(); });
    data.get();
    other.join();
    data.set(1);
  });
}

TEST(checker_race, an_object_published_without_release) {
  const auto body = [](prim::memory_order publish) {
    prim::atomic<prim::atomic<int>*> shared{nullptr};
    prim::thread maker([&, publish] { shared.store(new prim::atomic<int>(1), publish); });
    if (prim::atomic<int>* const seen = shared.load(prim::acquire)) seen->load(prim::relaxed);
    maker.join();
    delete shared.load(prim::relaxed);
  };
  expect_failure([&] { body(prim::relaxed); }, HasSubstr("construction"));
  expect_pass([&] { body(prim::release); });
}

// Deadlock.

TEST(checker_deadlock, two_locks_in_opposite_order) {
  const auto body = [](bool same_order) {
    prim::mutex a, b;
    prim::thread other([&] {
      const prim::scoped_lock first(a);
      const prim::scoped_lock second(b);
    });
    {
      const prim::scoped_lock first(same_order ? a : b);
      const prim::scoped_lock second(same_order ? b : a);
    }
    other.join();
  };
  expect_failure([&] { body(false); }, AllOf(HasSubstr("deadlock"), HasSubstr("holds")));
  expect_pass([&] { body(true); });
}

TEST(checker_deadlock, lost_wakeup_of_a_condition_variable) {
  const auto body = [](bool under_mutex) {
    prim::mutex m;
    prim::condition_variable changed;
    prim::atomic<bool> ready{false};
    prim::thread waiter([&] {
      const prim::scoped_lock lock(m);
      while (!ready.load(prim::relaxed)) changed.wait(m);
    });
    if (under_mutex) {
      const prim::scoped_lock lock(m);
      ready.store(true, prim::relaxed);
    } else {
      ready.store(true, prim::relaxed);
    }
    changed.notify_one();
    waiter.join();
  };
  expect_failure([&] { body(false); }, AllOf(HasSubstr("deadlock"), HasSubstr("notification")));
  expect_pass([&] { body(true); });
}

TEST(checker_deadlock, lost_wakeup_for_want_of_a_fence) {
  const auto body = [](bool fenced) {
    prim::atomic<int> work{0}, sleeping{0};
    prim::parker parker;
    prim::thread sleeper([&] {
      sleeping.store(1, prim::relaxed);
      if (fenced) prim::fence(prim::seq_cst);
      if (work.load(prim::relaxed) == 0) parker.park();
    });
    work.store(1, prim::relaxed);
    if (fenced) prim::fence(prim::seq_cst);
    if (sleeping.load(prim::relaxed) != 0) parker.unpark();
    sleeper.join();
  };
  expect_failure([&] { body(false); }, AllOf(HasSubstr("deadlock"), HasSubstr("token")));
  expect_pass([&] { body(true); });
}

TEST(checker_deadlock, a_lock_taken_twice) {
  expect_failure(
      []() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
        prim::mutex m;
        m.lock();
        m.lock();
      },
      HasSubstr("holds already"));
}

// Livelock.

TEST(checker_livelock, a_spin_that_never_ends) {
  expect_failure(
      [] {
        prim::atomic<bool> never{false};
        while (!never.load(prim::relaxed)) prim::pause();
      },
      HasSubstr("livelock"));
}

TEST(checker_livelock, spinning_threads_let_others_go_on) {
  expect_pass([] {
    prim::atomic<int> turn{0};
    const auto wait_for = [&](int mine) {
      while (turn.load(prim::acquire) != mine) prim::pause();
      turn.store(mine + 1, prim::release);
    };
    prim::thread second([&] { wait_for(1); });
    prim::thread third([&] { wait_for(2); });
    wait_for(0);
    second.join();
    third.join();
  });
}

// Life and death.

TEST(checker_lifetime, use_after_delete) {
  const auto body = [](bool join_first) {
    auto shared = std::make_unique<prim::atomic<int>>(0);
    prim::thread other([&counter = *shared] { counter.fetch_add(1, prim::relaxed); });
    if (join_first) other.join();
    shared.reset();
    if (!join_first) other.join();
  };
  expect_failure([&] { body(false); }, testing::AnyOf(HasSubstr("after its destruction"),
                                                      HasSubstr("after its last use")));
  expect_pass([&] { body(true); });
}

TEST(checker_lifetime, destruction_that_only_seems_to_come_last) {
  // The flag says that the other thread is done, but hands nothing over.
  const auto body = [](prim::memory_order done) {
    auto shared = std::make_unique<prim::cell<int>>(0);
    prim::atomic<bool> finished{false};
    prim::thread other([&, done] {
      shared->set(1);
      finished.store(true, done);
    });
    while (!finished.load(prim::acquire)) prim::pause();
    shared.reset();
    other.join();
  };
  expect_failure([&] { body(prim::relaxed); }, HasSubstr("after its last use"));
  expect_pass([&] { body(prim::release); });
}

TEST(checker_lifetime, destroy_on_return) {
  // The waiter owns the flag and the mutex, and frees them as soon as it has seen the flag.
  struct latch {
    prim::mutex mutex;
    prim::condition_variable changed;
    bool open = false;
  };
  const auto body = [](bool notify_inside) {
    auto l = std::make_unique<latch>();
    prim::thread opener([&l = *l, notify_inside] {
      {
        const prim::scoped_lock lock(l.mutex);
        l.open = true;
        if (notify_inside) l.changed.notify_one();
      }
      if (!notify_inside) l.changed.notify_one();
    });
    {
      const prim::scoped_lock lock(l->mutex);
      while (!l->open) l->changed.wait(l->mutex);
    }
    l.reset();
    opener.join();
  };
  expect_failure([&] { body(false); }, HasSubstr("condition_variable"));
  expect_pass([&] { body(true); });
}

TEST(checker_lifetime, memory_of_the_seam) {
  expect_failure([] { prim::allocate(24, 8); }, AllOf(HasSubstr("leak"), HasSubstr("24 bytes")));
  expect_failure(
      [] {
        void* const memory = prim::allocate(24, 8);
        prim::deallocate(memory, 24, 8);
        prim::deallocate(memory, 24, 8);
      },
      HasSubstr("deallocated twice"));
  expect_failure([] { prim::deallocate(prim::allocate(24, 8), 16, 8); },
                 HasSubstr("deallocated as 16 bytes"));
  expect_pass([] { prim::deallocate(prim::allocate(24, 64), 24, 64); });
}

TEST(checker_lifetime, memory_that_is_freed_takes_its_objects_with_it) {
  const auto body = [](bool late_use) {
    void* const memory = prim::allocate(sizeof(prim::atomic<int>), alignof(prim::atomic<int>));
    auto* const made = new (memory) prim::atomic<int>(0);
    made->store(1);
    prim::deallocate(memory, sizeof(prim::atomic<int>), alignof(prim::atomic<int>));
    if (late_use) made->load();
  };
  expect_failure([&] { body(true); }, HasSubstr("after its destruction"));
  expect_pass([&] { body(false); });
}

TEST(checker_lifetime, a_mutex_that_dies_while_it_is_held) {
  expect_failure(
      []() HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
        prim::mutex m;
        m.lock();
      },
      HasSubstr("that is locked"));
}

TEST(checker_lifetime, a_leaked_object) {
  const auto leaks = [] { new prim::atomic<int>(1); };
  expect_failure(leaks, AllOf(HasSubstr("leak"), HasSubstr("atomic")));
  model::options o;
  o.detect_leaks = false;
  EXPECT_FALSE(model::explore(o, leaks).failed);
}

TEST(checker_lifetime, memory_is_not_reused_within_an_execution) {
  std::vector<void*> first_two(2);
  expect_pass([&] {
    for (void*& place : first_two) {
      auto* const made = new prim::atomic<int>(1);
      place = made;
      delete made;
    }
    model::check(first_two[0] != first_two[1]);
  });
}

TEST(checker_lifetime, an_object_of_an_earlier_execution) {
  std::unique_ptr<prim::atomic<int>> survives;
  const auto r = model::explore({.detect_leaks = false}, [&] {
    if (survives == nullptr) {
      survives = std::make_unique<prim::atomic<int>>(0);
      model::choose(2);
    } else {
      survives->load();
    }
  });
  EXPECT_TRUE(r.failed);
  EXPECT_THAT(r.message, HasSubstr("earlier execution"));
}

// Assertions.

TEST(checker_assertion, check_and_fail) {
  expect_failure([] { model::check(model::choose(3) != 2, "not two"); },
                 AllOf(HasSubstr("not two"), HasSubstr("checker_detectors_test.cpp")));
  expect_failure([] { model::fail("here"); }, HasSubstr("here"));
  expect_pass([] { model::check(model::choose(3) < 3); });
}

TEST(checker_assertion, exceptions_and_terminate) {
  expect_failure([] { throw std::runtime_error("lost"); }, HasSubstr("lost"));
  expect_failure([] { prim::thread([] { throw 1; }).join(); },
                 HasSubstr("exception left a thread"));
  const auto throws = [] { throw std::runtime_error("forbidden"); };
  expect_failure([&]() noexcept { throws(); },
                 AllOf(HasSubstr("terminate"), HasSubstr("forbidden")));
  expect_failure([] { const prim::thread never_joined([] {}); }, HasSubstr("joinable"));
}

TEST(checker_assertion, exceptions_survive_switches) {
  expect_pass([] {
    prim::atomic<int> turns{0};
    const auto throws = [&](int number) {
      try {
        throw number;
      } catch (int caught) {
        turns.fetch_add(1);
        try {
          turns.fetch_add(1);
          throw;
        } catch (int again) {
          model::check(again == number && caught == number);
        }
      }
      model::check(std::uncaught_exceptions() == 0);
    };
    prim::thread other([&] { throws(1); });
    throws(2);
    other.join();
  });
}

TEST(checker_misuse, orders_that_make_no_sense) {
  expect_failure(
      [] {
        prim::atomic<int> x{0};
        x.load(prim::release);
      },
      HasSubstr("undefined behaviour"));
  expect_failure(
      [] {
        prim::atomic<int> x{0};
        x.store(1, prim::acquire);
      },
      HasSubstr("undefined behaviour"));
}

TEST(checker_misuse, too_many_threads) {
  expect_failure(
      [] {
        std::vector<prim::thread> threads;
        for (int i = 0; i < 16; ++i) threads.emplace_back([] {});
      },
      HasSubstr("more than 16 threads"));
  expect_pass([] {
    std::vector<prim::thread> threads;
    for (int i = 0; i < 15; ++i) threads.emplace_back([] {}), threads.back().join();
  });
}

TEST(checker_misuse, a_body_that_is_not_deterministic) {
  int runs = 0;
  const auto r = run([&] {
    if (++runs > 1) model::choose(3);
    model::choose(2);
  });
  EXPECT_TRUE(r.failed);
  EXPECT_THAT(r.message, AllOf(HasSubstr("not deterministic"), HasSubstr("Look for")));
}

TEST(checker_misuse, a_failure_that_does_not_come_again) {
  int runs = 0;
  const auto r = run([&] { model::check(++runs != 1); });
  EXPECT_TRUE(r.failed);
  EXPECT_THAT(r.message, HasSubstr("it did not fail"));
}

TEST(checker_misuse, a_trail_of_another_body) {
  setenv("HEDDLE_MODEL_REPLAY", ":0-5", 1);
  const auto r = run([] { model::choose(2); });
  setenv("HEDDLE_MODEL_REPLAY", "rubbish", 1);
  EXPECT_THROW(run([] {}), std::invalid_argument);
  setenv("HEDDLE_MODEL_REPLAY", "another name:0-1", 1);
  const auto unconcerned = run([] { model::choose(2); });
  unsetenv("HEDDLE_MODEL_REPLAY");
  EXPECT_THAT(r.message, HasSubstr("belongs to another body"));
  EXPECT_TRUE(unconcerned.complete);
  EXPECT_EQ(unconcerned.executions, 2u);
}

TEST(checker_misuse, options_that_make_no_sense) {
  const auto with = [](auto change) {
    model::options o;
    change(o);
    return model::explore(o, [] {});
  };
  EXPECT_THROW(with([](auto& o) { o.steps = 0; }), std::invalid_argument);
  EXPECT_THROW(with([](auto& o) { o.steps = 20001; }), std::invalid_argument);
  EXPECT_THROW(with([](auto& o) { o.executions = 0; }), std::invalid_argument);
  EXPECT_THROW(with([](auto& o) { o.method = model::search::random; }), std::invalid_argument);
  EXPECT_THROW(with([](auto& o) { o.pct_depth = 0; }), std::invalid_argument);
  EXPECT_THROW(with([](auto& o) { o.stall_limit = {}; }), std::invalid_argument);
}

using checker_misuse_death_test = testing::Test;

TEST(checker_misuse_death_test, a_body_that_blocks_outside_of_the_seam) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(
      {
        model::options o;
        o.stall_limit = std::chrono::milliseconds(200);
        model::explore(o, [] {
          std::mutex real;
          prim::thread other([&] { real.lock(), prim::yield(), real.unlock(); });
          prim::yield();
          real.lock();
          real.unlock();
          other.join();
        });
      },
      "outside of heddle::prim");
}

TEST(checker_misuse_death_test, a_crash_tells_its_trail) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(model::explore({.name = "crashes"},
                              [] {
                                if (model::choose(2) == 1) std::abort();
                              }),
               "HEDDLE_MODEL_REPLAY='crashes:0-1'");
}

}  // namespace
