// Memory that runs out at any point of any call: what was accepted runs, what was not is not half
// there, nothing is leaked, and the pool goes on. Under AddressSanitizer each task is an allocation
// of its own; elsewhere tasks come from slabs, and the other allocations fail.
#include <heddle/exec/thread_pool.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <new>
#include <optional>
#include <ranges>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/future/when.hpp>

#include "support/failing_allocations.hpp"
#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::priority;
using heddle::shutdown_mode;
using heddle::task_options;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::counted;
using heddle_test::failing_allocations;
using heddle_test::gate;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

// One run of a test with memory for so many allocations.
class trial {
 public:
  trial(thread_pool& p, long successes, bool inside)
      : pool(p), successes_(successes), inside_(inside) {}

  // Calls the operation with that memory, here or in a task. True when it was enough.
  template <class F>
  bool operator()(F&& operation) const {
    if (!inside_) return attempt(operation);
    bool enough = false;
    pool.submit([&] { enough = attempt(operation); }).get();
    return enough;
  }
  bool inside() const { return inside_; }

  thread_pool& pool;

 private:
  template <class F>
  bool attempt(F& operation) const {
    try {
      const failing_allocations fail(successes_);
      operation();
      return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }

  const long successes_;
  const bool inside_;
};

enum class from { outside, anywhere };

class allocation_failure : public heddle_test::pool_test {
 protected:
  allocation_failure() { counted::alive = 0; }  // a leak is told once

  // Runs f(trial) on a new pool with memory for no allocation, for one, and so on until f says that
  // it was enough. f checks what it knows; here is checked what is always true.
  template <class F>
  static void at_each_allocation(from where, F f) {
    at_each_allocation([] { return options(); }, where, std::move(f));
  }
  template <class Options, class F>
  static void at_each_allocation(Options options_of_pool, from where, F f) {
    const unhandled_log log;
    for (const bool inside : {false, true}) {
      if (inside && where == from::outside) continue;
      constexpr long warm_up = -2;  // whatever is allocated once and kept
      bool enough = false;
      for (long successes = warm_up; !enough; ++successes) {
        ASSERT_LT(successes, 3000) << "it is never enough";
        const long before = heddle_test::live_allocations_but_for_cells();
        {
          thread_pool pool(options_of_pool());
          const pool_watchdog dog(pool);
          enough = f(trial(pool, successes < 0 ? 100'000 : successes, inside));
          EXPECT_TRUE(pool.wait_idle());
          if (!pool_is_closed(pool)) {
            EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
          }
          EXPECT_TRUE(pool.wait_idle());
          const auto s = pool.statistics();
          EXPECT_EQ(s.completed, s.submitted);
        }
        EXPECT_EQ(counted::alive, 0);
        if (successes >= 0) {
          EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before)
              << "after " << successes << " allocations " << (inside ? "inside" : "outside");
        } else {
          enough = false;
        }
        if (HasFailure()) return;
      }
    }
    EXPECT_EQ(log.count(), 0U);
  }

 private:
  static bool pool_is_closed(thread_pool& pool) {
    try {
      pool.post([] {});
      return false;
    } catch (const heddle::rejected&) {
      return true;
    }
  }
};

struct large {
  unsigned char bytes[5000] = {};
};

TEST_P(allocation_failure, in_the_constructor_starts_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  for (int kind = 0; kind < 5; ++kind) {
    const auto options_of_kind = [kind] {
      thread_pool_options o = options();
      if (kind == 1) o.name = "a name that does not fit into a string without an allocation";
      if (kind == 1) o.on_worker_start = [text = std::string(100, 'x')](unsigned) {};
      if (kind == 2) o.queue_capacity = 3;
      if (kind == 2) o.overflow = heddle::when_full::drop_oldest;
      if (kind == 3) o.measure_times = true;
      if (kind == 4) o.affinity.policy = heddle::kernel::placement::compact;
      return o;
    };
    thread_pool(options_of_kind()).submit([] {}).get();  // whatever is allocated once and kept
    bool enough = false;
    for (long successes = 0; !enough; ++successes) {
      ASSERT_LT(successes, 3000) << "it is never enough";
      const heddle_test::watchdog dog;
      const long before = heddle_test::live_allocations_but_for_cells();
      {
        thread_pool_options o = options_of_kind();
        std::optional<thread_pool> pool;
        try {
          const failing_allocations fail(successes);
          pool.emplace(std::move(o));
          enough = true;
        } catch (const std::bad_alloc&) {
        } catch (const std::system_error&) {  // a thread without memory
        }
        if (enough) {
          EXPECT_EQ(pool->submit([] { return 1; }).get(), 1);
        }
      }
      ASSERT_EQ(heddle_test::live_allocations_but_for_cells(), before)
          << "after " << successes << " allocations";
    }
  }
}

TEST_P(allocation_failure, in_the_destructor_loses_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  for (long successes = 0; successes < 12; ++successes) {
    const heddle_test::watchdog dog;
    std::atomic<int> ran = 0;
    std::vector<future<void>> futures;
    const auto hold = std::make_shared<gate>();
    std::optional<thread_pool> pool(std::in_place, options());
    for (unsigned i = 0; i < workers(); ++i) pool->post([hold] { hold->pass(); });
    hold->await_arrivals(workers());
    for (int i = 0; i < 20; ++i) {
      futures.push_back(pool->submit([&ran, c = counted()] { ++ran; }));
      pool->post(priority::low, [&ran, c = counted()] { ++ran; });
    }
    pool->post_bulk(20, [&ran, c = counted()](std::size_t) { ++ran; });
    hold->open();
    {
      const failing_allocations fail(successes);
      pool.reset();
    }
    EXPECT_EQ(ran, 60);
    EXPECT_EQ(counted::alive, 0);
    for (auto& f : futures) f.get();
  }
}

TEST_P(allocation_failure, in_post_accepts_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  std::stop_source stop;
  const auto post = [&](auto how) {
    at_each_allocation(from::anywhere, [&](const trial& t) {
      std::atomic<int> ran = 0;
      const bool enough = t([&] { how(t.pool, ran); });
      EXPECT_TRUE(t.pool.wait_idle());
      EXPECT_EQ(ran, enough ? 1 : 0);
      return enough;
    });
  };
  post([](thread_pool& pool, auto& ran) { pool.post([&ran, c = counted()] { ++ran; }); });
  post([](thread_pool& pool, auto& ran) {
    pool.post([&ran, c = counted(), big = large()] { ran += 1 + big.bytes[7]; });
  });
  post([](thread_pool& pool, auto& ran) {
    pool.post([&ran](const counted&, int by) { ran += by; }, counted(), 1);
  });
  post([](thread_pool& pool, auto& ran) {
    pool.post(priority::high, [&ran, c = counted()] { ++ran; });
  });
  post([&stop](thread_pool& pool, auto& ran) {
    pool.post(task_options{.level = priority::low, .stop = stop.get_token()},
              [&ran, c = counted()] { ++ran; });
  });
  EXPECT_TRUE(stop.request_stop());
}

TEST_P(allocation_failure, in_submit_accepts_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  std::stop_source stop;
  const auto submit = [&](auto how) {
    at_each_allocation(from::anywhere, [&](const trial& t) {
      std::atomic<int> ran = 0;
      future<int> f;
      const bool enough = t([&] { f = how(t.pool, ran); });
      EXPECT_EQ(f.valid(), enough);
      if (enough) {
        EXPECT_EQ(f.get(), 5);
      }
      EXPECT_TRUE(t.pool.wait_idle());
      EXPECT_EQ(ran, enough ? 1 : 0);
      return enough;
    });
  };
  submit([](thread_pool& pool, auto& ran) {
    return pool.submit([&ran, c = counted()] { return ++ran, 5; });
  });
  submit([](thread_pool& pool, auto& ran) {
    return pool.submit([&ran, c = counted(), big = large()] { return ++ran, 5 + big.bytes[1]; });
  });
  submit([](thread_pool& pool, auto& ran) {
    return pool.submit(priority::high, [&ran, c = counted()] { return ++ran, 5; });
  });
  submit([](thread_pool& pool, auto& ran) {
    return pool.submit([&ran](const std::stop_token&, const counted&) { return ++ran, 5; },
                       counted());
  });
  submit([&stop](thread_pool& pool, auto& ran) {
    return pool.submit(task_options{.stop = stop.get_token()},
                       [&ran, c = counted()] { return ++ran, 5; });
  });
  submit([&stop](thread_pool& pool, auto& ran) {
    return pool.submit(task_options{.stop = stop.get_token()},
                       [&ran, c = counted()](const std::stop_token&) { return ++ran, 5; });
  });
  submit([](thread_pool& pool, auto& ran) {
    return pool.submit_to(pool.size() - 1, [&ran, c = counted()] { return ++ran, 5; });
  });
  submit([](thread_pool& pool, auto& ran) {
    return pool.submit_keyed(9, [&ran, c = counted()] { return ++ran, 5; });
  });
  EXPECT_TRUE(stop.request_stop());
}

TEST_P(allocation_failure, in_a_pool_that_measures_times_accepts_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const auto measuring = [] {
    auto o = options();
    o.measure_times = true;
    return o;
  };
  at_each_allocation(measuring, from::anywhere, [&](const trial& t) {
    std::atomic<int> ran = 0;
    future<void> f;
    const bool enough = t([&] { f = t.pool.submit([&ran, c = counted()] { ++ran; }); });
    EXPECT_TRUE(t.pool.wait_idle());
    EXPECT_EQ(ran, enough ? 1 : 0);
    return enough;
  });
}

TEST_P(allocation_failure, in_a_bulk_accepts_all_or_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const auto bulk = [&](int size, auto how) {
    at_each_allocation(from::anywhere, [&](const trial& t) {
      std::atomic<int> ran = 0;
      const bool enough = t([&] { how(t.pool, ran); });
      EXPECT_TRUE(t.pool.wait_idle());
      EXPECT_EQ(ran, enough ? size : 0);
      return enough;
    });
  };
  bulk(100, [](thread_pool& pool, auto& ran) {
    pool.post_bulk(100, [&ran, c = counted()](std::size_t) { ++ran; });
  });
  bulk(100, [](thread_pool& pool, auto& ran) {
    pool.post_bulk(100,
                   [&ran, c = counted(), big = large()](std::size_t) { ran += 1 + big.bytes[3]; });
  });
  bulk(100, [](thread_pool& pool, auto& ran) {
    const auto dropped = pool.submit_bulk(100, [&ran, c = counted()](std::size_t) { ++ran; });
  });
  bulk(5, [](thread_pool& pool, auto& ran) {
    pool.post_bulk(std::array<std::function<void()>, 5>{
        [&ran] { ++ran; }, [&ran] { ++ran; }, [&ran] { ++ran; }, [&ran] { ++ran; },
        [&ran, c = counted(), big = large()] { ran += 1 + big.bytes[0]; }});
  });
  bulk(5, [](thread_pool& pool, auto& ran) {
    const std::array<int, 5> numbers{1, 2, 3, 4, 5};
    auto made =
        numbers | std::views::transform([&ran](int) { return [&ran, c = counted()] { ++ran; }; });
    auto futures = pool.submit_bulk(made);
    for (auto& f : futures) EXPECT_TRUE(f.valid());
  });
}

TEST_P(allocation_failure, while_a_bulk_runs_loses_no_task) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  at_each_allocation(from::outside, [&](const trial& t) {
    std::atomic<int> ran = 0;
    auto f = t.pool.submit_bulk(500, [&ran, c = counted()](std::size_t) { ++ran; });
    const bool enough = t([&] { f.get(); });
    EXPECT_TRUE(t.pool.wait_idle());
    EXPECT_EQ(ran, 500);
    return enough;
  });
}

TEST_P(allocation_failure, in_map_gives_what_was_submitted_and_then_fails) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  at_each_allocation(from::anywhere, [&](const trial& t) {
    std::atomic<int> ran = 0;
    int got = 0;
    std::array<int, 12> numbers{};
    const bool enough = t([&] {
      for (const int v : t.pool.map(
               [&ran, c = counted()](int i) {
                 ++ran;
                 return i + 1;
               },
               numbers, 4)) {
        got += v;
      }
    });
    EXPECT_TRUE(t.pool.wait_idle());
    EXPECT_LE(got, ran);
    if (enough) {
      EXPECT_EQ(got, 12);
    }
    return enough;
  });
}

TEST_P(allocation_failure, in_run_all_gives_up_what_was_submitted) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  for (const bool limited : {false, true}) {
    at_each_allocation(from::anywhere, [&](const trial& t) {
      std::atomic<std::size_t> ran = 0;
      std::optional<heddle::batch_report<void>> report;
      const std::array<std::function<void()>, 4> tasks{[&ran] { ++ran; }, [&ran] { ++ran; },
                                                       [&ran] { ++ran; }, [&ran] { ++ran; }};
      // With a limit a waiting worker needs a spare, for which there may be no memory.
      const bool enough = t([&] {
        report = t.pool.run_all(tasks,
                                limited ? heddle::prim::deadline_after(5ms) : heddle::prim::never);
      });
      EXPECT_TRUE(t.pool.wait_idle());
      EXPECT_EQ(report.has_value(), enough);
      if (enough) {
        EXPECT_EQ(report->done + report->cancelled + report->running, 4U);
        EXPECT_EQ(report->done + report->running, ran);
        if (!limited) {
          EXPECT_EQ(ran, 4U);
        }
      }
      return enough;
    });
  }
}

TEST_P(allocation_failure, in_then_leaves_the_future_as_it_was) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const auto then = [&](auto how) {
    at_each_allocation(from::anywhere, [&](const trial& t) {
      auto f = t.pool.submit([] { return 1; });
      future<int> next;
      const bool enough = t([&] { next = how(t.pool, f); });
      EXPECT_EQ(next.valid(), enough);
      EXPECT_EQ(f.valid(), !enough);
      EXPECT_EQ(enough ? next.get() : f.get() + 1, 2);
      return enough;
    });
  };
  then([](thread_pool&, future<int>& f) {
    return f.then([c = counted()](int v) { return v + 1; });
  });
  then([](thread_pool&, future<int>& f) {
    return f.then([big = large()](int v) { return v + 1 + big.bytes[0]; });
  });
  then([](thread_pool& pool, future<int>& f) {
    return f.then(pool.executor(), [c = counted()](future<int> v) { return v.get() + 1; });
  });
  then([](thread_pool&, future<int>& f) {
    return f.then_inline([c = counted()](int v) { return v + 1; });
  });
}

TEST_P(allocation_failure, in_callbacks_and_shared_futures) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  at_each_allocation(from::anywhere, [&](const trial& t) {
    std::atomic<int> called = 0;
    auto f = t.pool.submit([] { return 1; });
    const bool enough = t([&] {
      f.on_ready([&called, c = counted()] { ++called; });
      f.on_ready(t.pool.executor(), [&called, c = counted()] { ++called; });
    });
    EXPECT_EQ(f.get(), 1);
    EXPECT_TRUE(t.pool.wait_idle());
    EXPECT_TRUE(heddle_test::eventually([&] { return enough ? called == 2 : called <= 1; }));
    return enough;
  });
  at_each_allocation(from::anywhere, [&](const trial& t) {
    auto f = t.pool.submit([] { return 100; });
    heddle::shared_future<int> shared;
    future<int> next;
    const bool enough = t([&] {
      shared = std::move(f).share();
      const auto copy = shared;
      next = copy.then([c = counted()](int v) { return v + 1; });
      if (copy.get() != 100) std::abort();
    });
    EXPECT_EQ((f.valid() ? std::move(f).share() : shared).get(), 100);
    if (enough) {
      EXPECT_EQ(next.get(), 101);
    }
    return enough;
  });
}

TEST_P(allocation_failure, in_when_all_and_when_any) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const auto combine = [&](auto how) {
    at_each_allocation(from::anywhere, [&](const trial& t) {
      std::atomic<int> ran = 0;
      std::vector<future<int>> futures;
      for (int i = 0; i < 4; ++i) {
        futures.push_back(t.pool.submit([&ran, c = counted()] { return ++ran, 1; }));
      }
      const bool enough = t([&] { how(std::move(futures)); });
      EXPECT_TRUE(t.pool.wait_idle());
      EXPECT_EQ(ran, 4);
      return enough;
    });
  };
  combine([](std::vector<future<int>> f) {
    auto all = heddle::when_all(std::move(f));
    all.wait();
  });
  combine([](std::vector<future<int>> f) {
    auto any = heddle::when_any(std::move(f));
    any.wait();
  });
}

TEST_P(allocation_failure, in_waits_leaves_the_futures_as_they_were) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const auto wait = [&](auto how) {
    at_each_allocation(from::anywhere, [&](const trial& t) {
      std::vector<future<int>> futures;
      for (int i = 0; i < 4; ++i) futures.push_back(t.pool.submit([i] { return i; }));
      const bool enough = t([&] { how(futures); });
      for (int i = 0; i < 4; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
      return enough;
    });
  };
  using heddle::wait_condition;
  wait([](auto& futures) { static_cast<void>(heddle::wait(futures)); });
  wait([](auto& futures) { heddle::wait(futures, wait_condition::first_completed); });
  wait([](auto& futures) { heddle::wait_for(futures, 1h, wait_condition::first_exception); });
  wait([](auto& futures) {
    std::size_t seen = 0;
    for (const auto& f : heddle::as_completed(futures)) seen += f.ready() ? 1 : 0;
    if (seen != 4) std::abort();
  });
  wait([](auto& futures) {
    for (auto& f : futures) {
      f.wait();
      if (!f.wait_for(1h)) std::abort();
      if (f.exception() != nullptr) std::abort();
    }
  });
  std::stop_source stop;
  wait([&stop](auto& futures) {
    for (auto& f : futures) {
      if (!f.wait(stop.get_token())) std::abort();
    }
  });
}

// One worker's waiters need spares; without memory for one they wait without.
TEST_P(allocation_failure, in_waits_that_need_a_spare) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  at_each_allocation(from::anywhere, [&](const trial& t) {
    heddle::promise<int> p;
    auto f = p.get_future();
    const bool enough = t([&] { static_cast<void>(f.wait_for(2ms)); });
    p.set_value(3);
    EXPECT_EQ(f.get(), 3);
    return enough;
  });
}

TEST_P(allocation_failure, in_wait_idle_statistics_and_shutdown) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  at_each_allocation(from::anywhere, [&](const trial& t) {
    std::atomic<int> ran = 0;
    for (int i = 0; i < 10; ++i) t.pool.post([&ran] { ++ran; });
    const bool enough = t([&] {
      t.pool.wait_idle();
      static_cast<void>(t.pool.statistics());
    });
    EXPECT_TRUE(t.pool.wait_idle());
    EXPECT_EQ(ran, 10);
    return enough;
  });
  for (const auto mode : {shutdown_mode::drain, shutdown_mode::cancel}) {
    at_each_allocation(from::outside, [&](const trial& t) {
      std::atomic<int> ran = 0;
      const auto hold = std::make_shared<gate>();
      for (unsigned i = 0; i < workers(); ++i) t.pool.post([hold] { hold->pass(); });
      hold->await_arrivals(workers());
      std::vector<future<void>> futures;
      for (int i = 0; i < 10; ++i) {
        futures.push_back(t.pool.submit([&ran, c = counted()] { ++ran; }));
      }
      const bool enough = t([&] { static_cast<void>(t.pool.shutdown(mode, 0ms)); });
      hold->open();
      EXPECT_TRUE(t.pool.shutdown(mode).completed);
      for (auto& f : futures) EXPECT_TRUE(f.ready());
      EXPECT_EQ(ran, mode == shutdown_mode::drain ? 10 : 0);
      return enough;
    });
  }
}

// Calls that say that they cannot fail.
TEST_P(allocation_failure, cannot_happen_to_those_who_finish_or_give_up) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::stop_source group;
  std::atomic<int> ran = 0;
  heddle::promise<int> p;
  auto continued = p.get_future().then(pool.executor(), [&ran](int v) {
    ++ran;
    return v;
  });
  std::vector<future<void>> futures;
  {
    const heddle_test::occupied_pool busy(pool);
    for (int i = 0; i < 10; ++i) {
      futures.push_back(
          pool.submit(task_options{.stop = group.get_token()}, [&ran, c = counted()] { ++ran; }));
      pool.post(task_options{.stop = group.get_token()}, [&ran, c = counted()] { ++ran; });
    }
    const failing_allocations fail(0);
    for (std::size_t i = 0; i < 5; ++i) {
      if (!futures[i].cancel()) std::abort();
    }
    group.request_stop();
    p.set_value(4);
    futures.pop_back();
  }
  for (auto& f : futures) EXPECT_THROW(f.get(), heddle::cancelled);
  EXPECT_EQ(continued.get(), 4);
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(counted::alive, 0);
}

// A worker's own queue grows while it submits.
TEST_P(allocation_failure, while_queues_grow_loses_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  for (const priority level : {priority::normal, priority::high}) {
    for (const long successes :
         {0L, 1L, 2L, 3L, 4L, 5L, 7L, 10L, 100L, 255L, 256L, 257L, 300L, 512L, 513L, 700L, 1100L}) {
      thread_pool pool(options());
      const pool_watchdog dog(pool);
      std::atomic<int> ran = 0;
      int accepted = 0;
      bool failed = false;
      const auto hold = std::make_shared<gate>();
      for (unsigned i = 1; i < workers(); ++i) pool.post([hold] { hold->pass(); });
      hold->await_arrivals(workers() - 1);
      pool.submit(level,
                  [&] {
                    try {
                      const failing_allocations fail(successes);
                      for (int i = 0; i < 1200; ++i) {
                        pool.post([&ran, c = counted()] { ++ran; });
                        ++accepted;
                      }
                    } catch (const std::bad_alloc&) {
                      failed = true;
                    }
                  })
          .get();
      hold->open();
      EXPECT_TRUE(pool.wait_idle());
      EXPECT_EQ(ran, accepted);
      EXPECT_EQ(failed, accepted != 1200);
      EXPECT_EQ(counted::alive, 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(pools, allocation_failure, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
