#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/task_name.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/sync/mutex.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::shutdown_mode;
using heddle::shutdown_report;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::eventually;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

class shutdown : public heddle_test::pool_test {};

// A task that submits itself again until the generations are over: 2^n - 1 tasks.
struct spawner {
  thread_pool* pool;
  std::atomic<int>* ran;
  int generations;
  void operator()() const {
    ++*ran;
    if (generations <= 1) return;
    pool->post(spawner{pool, ran, generations - 1});
    const auto dropped = pool->submit(spawner{pool, ran, generations - 1});
  }
};

TEST_P(shutdown, destructor_runs_what_was_accepted_and_what_that_submits) {
  std::atomic<int> ran = 0;
  {
    thread_pool pool(options());
    for (int i = 0; i < 10; ++i) pool.post(spawner{&pool, &ran, 6});
  }
  EXPECT_EQ(ran, 630);
}

TEST_P(shutdown, drain_runs_what_was_accepted_and_what_that_submits) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  for (int i = 0; i < 10; ++i) pool.post(spawner{&pool, &ran, 6});
  const shutdown_report report = pool.shutdown();
  EXPECT_TRUE(report.completed);
  EXPECT_EQ(report.queued, 0U);
  EXPECT_TRUE(report.running.empty());
  EXPECT_EQ(ran, 630);
  EXPECT_EQ(pool.statistics().completed, 630U);
}

TEST_P(shutdown, drain_accepts_placed_tasks_and_continuations_of_its_own) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  {
    occupied_pool busy(pool);
    for (int i = 0; i < 5; ++i) {
      pool.post([&] {
        for (unsigned w = 0; w < pool.size(); ++w) {
          const auto dropped = pool.submit_to(w, [&ran] { ++ran; }).then([&ran] { ++ran; });
        }
      });
    }
    EXPECT_FALSE(pool.shutdown(shutdown_mode::drain, 1ms).completed);
  }
  EXPECT_TRUE(pool.shutdown().completed);
  EXPECT_EQ(ran, 10 * static_cast<int>(workers()));
}

TEST_P(shutdown, drain_lets_tasks_wait_for_tasks) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::function<int(int)> nest = [&](int levels) -> int {
    return levels == 0 ? 0 : pool.submit(nest, levels - 1).get() + 1;
  };
  std::vector<future<int>> futures;
  {
    occupied_pool busy(pool);
    for (int i = 0; i < 10; ++i) futures.push_back(pool.submit(nest, 20));
    EXPECT_FALSE(pool.shutdown(shutdown_mode::drain, 0ms).completed);
  }
  EXPECT_TRUE(pool.shutdown().completed);
  for (auto& f : futures) EXPECT_EQ(f.get(), 20);
}

TEST_P(shutdown, later_work_is_rejected_and_its_callable_destroyed) {
  thread_pool pool(options());
  pool.shutdown();
  EXPECT_THROW(static_cast<void>(pool.submit([c = counted()] {})), heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.submit_to(0, [c = counted()] {})), heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.submit_keyed(1, [c = counted()] {})), heddle::rejected);
  EXPECT_THROW(pool.post([c = counted()] {}), heddle::rejected);
  const std::vector<std::function<void()>> bulk(3, [c = counted()] {});
  EXPECT_EQ(counted::alive, 3);
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(bulk)), heddle::rejected);
  EXPECT_THROW(pool.post_bulk(bulk), heddle::rejected);
  EXPECT_EQ(counted::alive, 3);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(shutdown, continuations_onto_it_are_cancelled) {
  const unhandled_log log;
  thread_pool pool(options());
  pool.shutdown();
  promise<int> p;
  auto before = heddle::make_ready_future(1).then(pool.executor(), [c = counted()](int) {});
  auto after = p.get_future().then(pool.executor(), [c = counted()](int) {});
  EXPECT_TRUE(before.ready());
  p.set_value(1);
  EXPECT_TRUE(after.ready());
  EXPECT_EQ(counted::alive, 0);
  EXPECT_THROW(before.get(), heddle::cancelled);
  EXPECT_THROW(after.get(), heddle::cancelled);
  EXPECT_EQ(log.count(), 0U);
}

TEST_P(shutdown, twice_is_as_good_as_once) {
  thread_pool pool(options());
  EXPECT_TRUE(pool.shutdown().completed);
  EXPECT_TRUE(pool.shutdown().completed);
  EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
  EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel, 0ms).completed);
}

TEST_P(shutdown, from_several_threads_at_once) {
  for (int round = 0; round < 20; ++round) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    std::atomic<int> ran = 0;
    for (int i = 0; i < 50; ++i) pool.post([&ran] { ++ran; });
    heddle_test::run_together(4, [&](unsigned) {
      EXPECT_TRUE(pool.shutdown().completed);
      EXPECT_EQ(ran, 50);
    });
  }
}

TEST_P(shutdown, cancel_discards_what_has_not_begun) {
  const unhandled_log log;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  {
    std::vector<future<void>> futures;
    std::optional<occupied_pool> busy(pool);
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([&ran, c = counted()] { ++ran; }));
    for (int i = 0; i < 20; ++i) pool.post([&ran, c = counted()] { ++ran; });
    for (unsigned w = 0; w < workers(); ++w) {
      futures.push_back(pool.submit_to(w, [&ran, c = counted()] { ++ran; }));
    }
    auto next = futures.back().then([&ran, c = counted()] { ++ran; });
    futures.back() = std::move(next);
    const shutdown_report report = pool.shutdown(shutdown_mode::cancel, 5ms);
    EXPECT_FALSE(report.completed);
    EXPECT_EQ(report.running.size(), workers());
    busy.reset();
    EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
    for (auto& f : futures) {
      EXPECT_TRUE(f.ready());
      EXPECT_THROW(f.get(), heddle::cancelled);
    }
  }
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(log.count(), 0U);
  const auto s = pool.statistics();
  EXPECT_EQ(s.submitted, s.completed);
  // The continuation was never in the queue, or was turned away; the others were discarded there.
  EXPECT_GE(s.discarded, 40U + workers());
}

TEST_P(shutdown, cancel_trips_the_stop_tokens) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::vector<future<int>> futures;
  std::atomic<unsigned> begun = 0;
  for (unsigned i = 0; i < workers(); ++i) {
    futures.push_back(pool.submit([&begun](const std::stop_token& stop) {
      ++begun;
      while (!stop.stop_requested()) std::this_thread::yield();
      return 1;
    }));
  }
  ASSERT_TRUE(eventually([&] { return begun == workers(); }));
  EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
  for (auto& f : futures) EXPECT_EQ(f.get(), 1);
}

TEST_P(shutdown, cancel_ends_the_waits_of_tasks_for_discarded_ones) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<bool> inside = false;
  auto outer = pool.submit([&] {
    promise<void> never;
    std::vector<future<void>> inner;
    // Each waits for a continuation that only a running pool could begin.
    auto chain = pool.submit([] {});
    for (int i = 0; i < 3; ++i) chain = chain.then([] { std::this_thread::sleep_for(1ms); });
    inside = true;
    try {
      chain.get();
      return 0;
    } catch (const heddle::cancelled&) {
      return 1;
    }
  });
  ASSERT_TRUE(eventually([&] { return inside.load(); }));
  EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
  EXPECT_LE(outer.get(), 1);
}

TEST_P(shutdown, drain_can_be_turned_into_a_cancel) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<bool> begun = false;
  auto endless = pool.submit([&begun](const std::stop_token& stop) {
    begun = true;
    while (!stop.stop_requested()) std::this_thread::yield();
  });
  ASSERT_TRUE(eventually([&] { return begun.load(); }));
  EXPECT_FALSE(pool.shutdown(shutdown_mode::drain, 2ms).completed);
  EXPECT_FALSE(endless.ready());
  EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
  endless.get();
}

TEST_P(shutdown, cancel_is_not_turned_back_into_a_drain) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::vector<future<void>> futures;
  {
    occupied_pool busy(pool);
    for (int i = 0; i < 10; ++i) futures.push_back(pool.submit([] {}));
    EXPECT_FALSE(pool.shutdown(shutdown_mode::cancel, 0ms).completed);
    EXPECT_FALSE(pool.shutdown(shutdown_mode::drain, 0ms).completed);
  }
  EXPECT_TRUE(pool.shutdown(shutdown_mode::drain).completed);
  for (auto& f : futures) EXPECT_THROW(f.get(), heddle::cancelled);
}

TEST_P(shutdown, names_what_would_not_stop_and_what_it_waits_for) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle_test::gate hold;
  auto computing = pool.submit(heddle::named("computes", [&hold] { hold.pass(); }));
  hold.await_arrivals(1);
  {
    const shutdown_report report = pool.shutdown(shutdown_mode::drain, 2ms);
    EXPECT_FALSE(report.completed);
    ASSERT_EQ(report.running.size(), 1U);
    EXPECT_EQ(report.running[0].task, "computes");
    EXPECT_TRUE(report.running[0].waits_for.empty());
    EXPECT_LT(report.running[0].worker, pool.worker_index_limit());
  }
  hold.open();
  computing.get();
  EXPECT_TRUE(pool.shutdown().completed);
}

TEST_P(shutdown, names_the_wait_of_a_stuck_task) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  promise<void> p;
  heddle::mutex lock;
  std::unique_lock held(lock);
  auto on_future = pool.submit(heddle::named("waits", [f = p.get_future()]() mutable { f.get(); }));
  auto on_mutex =
      pool.submit(heddle::named("locks", [&lock] { const std::lock_guard wanted(lock); }));
  ASSERT_TRUE(eventually([&] { return pool.statistics().blocked == 2; }));
  const shutdown_report report = pool.shutdown(shutdown_mode::drain, 2ms);
  EXPECT_FALSE(report.completed);
  EXPECT_EQ(report.queued, 0U);
  ASSERT_EQ(report.running.size(), 2U);
  for (const heddle::stuck_task& t : report.running) {
    EXPECT_TRUE(t.task == "waits" || t.task == "locks") << t.task;
    EXPECT_EQ(t.waits_for, t.task == "waits" ? "a future" : "a mutex");
    EXPECT_GT(t.waiting.count(), 0);
  }
  held.unlock();
  p.set_value();
  EXPECT_TRUE(pool.shutdown().completed);
  on_future.get();
  on_mutex.get();
}

TEST_P(shutdown, counts_what_has_not_begun) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  {
    occupied_pool busy(pool);
    for (int i = 0; i < 7; ++i) pool.post([] {});
    const shutdown_report report = pool.shutdown(shutdown_mode::drain, 0ms);
    EXPECT_EQ(report.queued, 7U);
    EXPECT_EQ(report.running.size(), workers());
  }
  EXPECT_EQ(pool.shutdown().queued, 0U);
}

TEST_P(shutdown, on_a_worker_leaves_the_calling_task_out) {
  for (const auto mode : {shutdown_mode::drain, shutdown_mode::cancel}) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    std::atomic<int> ran = 0;
    auto f = pool.submit([&] {
      for (int i = 0; i < 20; ++i) pool.post([&ran, c = counted()] { ++ran; });
      const shutdown_report report = pool.shutdown(mode);
      EXPECT_EQ(counted::alive, 0);
      EXPECT_TRUE(report.running.empty());
      return report.completed;
    });
    EXPECT_TRUE(f.get());
    if (mode == shutdown_mode::drain) {
      EXPECT_EQ(ran, 20);
    }
    EXPECT_TRUE(pool.shutdown().completed);
  }
}

TEST_P(shutdown, on_several_workers_at_once_and_from_outside) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::vector<future<bool>> futures;
  {
    occupied_pool busy(pool);
    for (unsigned i = 0; i < workers() + 2; ++i) {
      futures.push_back(pool.submit([&pool] { return pool.shutdown().completed; }));
    }
  }
  EXPECT_TRUE(pool.shutdown().completed);
  for (auto& f : futures) EXPECT_TRUE(f.get());
}

TEST_P(shutdown, after_shutdown_on_a_worker_tasks_are_rejected_everywhere) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto f = pool.submit([&pool] {
    EXPECT_TRUE(pool.shutdown().completed);
    // Of the drained pool this very task is the only one left; the pool may still serve it.
    try {
      return pool.submit([] { return 1; }).get();
    } catch (const heddle::rejected&) {
      return 1;
    }
  });
  EXPECT_EQ(f.get(), 1);
  EXPECT_THROW(pool.post([] {}), heddle::rejected);
}

TEST_P(shutdown, pool_destroyed_by_its_own_task) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 30; ++round) {
    std::atomic<int> ran = 0;
    future<void> last;
    {
      auto pool = std::make_shared<thread_pool>(options());
      // The last reference goes with the callable, on a worker.
      last = pool->submit([pool, &ran] {
        for (int i = 0; i < 10; ++i) {
          pool->post([&ran] { ++ran; });
        }
        std::this_thread::yield();
      });
    }
    last.get();
    EXPECT_EQ(ran, 10);
  }
}

TEST_P(shutdown, pool_destroyed_in_the_middle_of_its_own_task) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 30; ++round) {
    auto owner = std::make_unique<thread_pool>(options());
    thread_pool& pool = *owner;
    std::atomic<int> ran = 0;
    std::atomic<bool> ended = false;
    for (int i = 0; i < 5; ++i) pool.post([&ran] { ++ran; });
    promise<int> result;
    auto f = result.get_future();
    std::atomic<bool> posted = false;
    pool.post([&, owner = std::move(owner), result = std::move(result)]() mutable {
      while (!posted) std::this_thread::yield();  // the pool must outlive the call of post
      owner.reset();
      EXPECT_EQ(ran, 5);
      ended = true;
      result.set_value(ran);
    });
    posted = true;
    EXPECT_EQ(f.get(), 5);
    EXPECT_TRUE(ended);
  }
}

TEST_P(shutdown, deadline_long_past_returns_at_once_with_a_report) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  occupied_pool busy(pool);
  EXPECT_FALSE(pool.shutdown(shutdown_mode::drain, heddle::prim::time_point::min()).completed);
  EXPECT_FALSE(pool.shutdown(shutdown_mode::drain, -1h).completed);
}

TEST_P(shutdown, destructor_tells_once_what_keeps_it_waiting) {
  std::atomic<int> told = 0;
  shutdown_report seen;
  heddle_test::gate hold;
  {
    auto o = options();
    o.stuck_after = 2ms;
    o.on_stuck = [&](const shutdown_report& r) {
      seen = r;
      if (++told == 1) hold.open();
    };
    thread_pool pool(std::move(o));
    pool.post(heddle::named("stuck", [&hold] { hold.pass(); }));
    hold.await_arrivals(1);
  }
  EXPECT_EQ(told, 1);
  EXPECT_FALSE(seen.completed);
  ASSERT_EQ(seen.running.size(), 1U);
  EXPECT_EQ(seen.running[0].task, "stuck");
}

TEST_P(shutdown, exception_of_the_stuck_hook_is_unhandled_and_the_pool_ends) {
  const unhandled_log log;
  heddle_test::gate hold;
  {
    auto o = options();
    o.stuck_after = 1ms;
    o.on_stuck = [&](const shutdown_report&) {
      hold.open();
      throw std::runtime_error("hook");
    };
    thread_pool pool(std::move(o));
    pool.post([&hold] { hold.pass(); });
    hold.await_arrivals(1);
  }
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"hook"});
}

// Whatever was accepted completes; whatever was not, throws; nothing in between.
TEST_P(shutdown, racing_with_submission_loses_nothing) {
  for (int round = 0; round < 24; ++round) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    const auto mode = round % 2 == 0 ? shutdown_mode::drain : shutdown_mode::cancel;
    std::atomic<unsigned> ran = 0;
    std::atomic<unsigned> accepted = 0;
    std::atomic<unsigned> ended = 0;
    std::atomic<unsigned> posted = 0;
    heddle_test::run_together(4, [&](unsigned i) {
      if (i == 0) {
        if (round % 3 != 0) std::this_thread::sleep_for(std::chrono::microseconds(50 * round));
        EXPECT_TRUE(pool.shutdown(mode).completed);
        return;
      }
      std::vector<future<void>> futures;
      try {
        for (;;) {
          futures.push_back(pool.submit([&ran, c = counted()] { ++ran; }));
          pool.post([&ran, c = counted()] { ++ran; });
          ++posted;
          const auto w = static_cast<unsigned>(futures.size() % pool.size());
          futures.push_back(pool.submit_to(w, [&ran, c = counted()] { ++ran; }));
        }
      } catch (const heddle::rejected&) {
      }
      accepted += static_cast<unsigned>(futures.size());
      heddle::wait(futures);
      for (auto& f : futures) {
        if (f.exception() == nullptr) ++ended;
      }
    });
    if (mode == shutdown_mode::drain) {
      EXPECT_EQ(ended, accepted);
      EXPECT_EQ(ran, accepted + posted);
    }
    EXPECT_EQ(counted::alive, 0);
    const auto s = pool.statistics();
    EXPECT_EQ(s.submitted, accepted + posted);
    EXPECT_EQ(s.completed, s.submitted);
    EXPECT_EQ(ran + s.discarded, s.submitted);
  }
}

INSTANTIATE_TEST_SUITE_P(pools, shutdown, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
