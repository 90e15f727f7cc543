// One callable and a count: as many tasks.
#include <heddle/exec/thread_pool.hpp>

#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/future/when.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::shutdown_mode;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::eventually;
using heddle_test::gate;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

constexpr std::array<std::size_t, 12> bulk_sizes{0, 1, 2, 3, 7, 15, 63, 64, 65, 1000, 4097, 100003};

// How often each index was seen.
class tally {
 public:
  explicit tally(std::size_t size) : seen_(size) {}
  void operator()(std::size_t i) {
    ASSERT_LT(i, seen_.size());
    seen_[i].fetch_add(1, std::memory_order_relaxed);
  }
  // Each once, but for none.
  void expect_each_once() const {
    for (std::size_t i = 0; i < seen_.size(); ++i) {
      ASSERT_EQ(seen_[i], 1) << "index " << i << " of " << seen_.size();
    }
  }

 private:
  std::vector<std::atomic<int>> seen_;
};

class bulk : public heddle_test::pool_test {};

TEST_P(bulk, calls_each_index_once) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (const std::size_t size : bulk_sizes) {
    tally posted(size);
    pool.post_bulk(size, std::ref(posted));
    EXPECT_TRUE(pool.wait_idle());
    posted.expect_each_once();

    tally submitted(size);
    pool.submit_bulk(size, std::ref(submitted)).get();
    submitted.expect_each_once();

    tally inside(size);
    pool.submit([&] { pool.submit_bulk(size, std::ref(inside)).get(); }).get();
    inside.expect_each_once();

    tally dropped(size);
    {
      const auto nobody_waits = pool.submit_bulk(size, std::ref(dropped));
    }
    EXPECT_TRUE(pool.wait_idle());
    dropped.expect_each_once();
  }
}

TEST_P(bulk, snapshots_are_consistent_in_the_middle) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (int round = 0; round < 20; ++round) {
    auto f = pool.submit_bulk(5000, [](std::size_t) {});
    do {
      const auto s = pool.statistics();
      EXPECT_LE(s.completed, s.started);
      EXPECT_LE(s.started, s.submitted);
    } while (!f.ready());
  }
}

TEST_P(bulk, counts_of_every_integer_type) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  const auto count = [&ran](std::size_t) { ++ran; };
  pool.submit_bulk(static_cast<signed char>(3), count).get();
  pool.submit_bulk(static_cast<unsigned char>(200), count).get();
  pool.submit_bulk(short{4}, count).get();
  pool.submit_bulk(5, count).get();
  pool.submit_bulk(6U, count).get();
  pool.submit_bulk(7L, count).get();
  pool.submit_bulk(std::size_t{8}, count).get();
  EXPECT_EQ(ran, 233);
}

TEST_P(bulk, a_negative_count_is_refused) {
  thread_pool pool(options());
  EXPECT_THROW(pool.post_bulk(-1, [c = counted()](std::size_t) {}), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(std::numeric_limits<long>::min(),
                                                  [c = counted()](std::size_t) {})),
               std::invalid_argument);
  try {
    pool.post_bulk(-12345, [](std::size_t) {});
    ADD_FAILURE() << "accepted";
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find("-12345"), std::string::npos) << e.what();
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(bulk, the_callable_is_shared_and_only_moved_in) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> sum = 0;
  auto owner = std::make_unique<int>(2);
  pool.submit_bulk(100, [&sum, owner = std::move(owner)](std::size_t) { sum += *owner; }).get();
  EXPECT_EQ(sum, 200);
  // One object, whose state they share.
  struct counter {
    std::unique_ptr<std::atomic<int>> calls = std::make_unique<std::atomic<int>>(0);
    std::atomic<int>* most;
    void operator()(std::size_t) {
      const int now = ++*calls;
      for (int before = *most; before < now && !most->compare_exchange_weak(before, now);) {
      }
    }
  };
  std::atomic<int> most = 0;
  counter c;
  c.most = &most;
  pool.submit_bulk(500, std::move(c)).get();
  EXPECT_EQ(most, 500);
  void (*function)(std::size_t) = [](std::size_t) {};
  pool.submit_bulk(10, function).get();
  pool.submit_bulk(10, *function).get();
}

TEST_P(bulk, an_lvalue_callable_is_copied) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  const auto f = [&ran, c = counted()](std::size_t) { ++ran; };
  pool.submit_bulk(10, f).get();
  pool.post_bulk(10, f);
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 20);
  EXPECT_EQ(counted::alive, 1);
}

TEST_P(bulk, large_and_overaligned_callables) {
  struct alignas(128) big {
    unsigned char bytes[4096];
  };
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  const big b{};
  pool.submit_bulk(70,
                   [b, &ran](std::size_t) {
                     EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&b) % 128, 0U);
                     ++ran;
                   })
      .get();
  EXPECT_EQ(ran, 70);
}

TEST_P(bulk, the_callable_dies_before_the_future_is_ready) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unhandled_log log;
  for (int i = 0; i < 200; ++i) {
    auto f = pool.submit_bulk(i % 5 + 1, [c = counted()](std::size_t) {});
    while (!f.ready()) std::this_thread::yield();
    ASSERT_EQ(counted::alive, 0);
    auto failing = pool.submit_bulk(i % 7 + 1, [c = counted()](std::size_t k) {
      if (k == 0) throw 1;
    });
    failing.wait();
    ASSERT_EQ(counted::alive, 0);
    EXPECT_THROW(failing.get(), int);
  }
}

TEST_P(bulk, a_callable_that_cannot_be_moved_or_copied_in_is_not_accepted) {
  thread_pool pool(options());
  {
    auto f = [c = counted()](std::size_t) {};
    {
      const heddle_test::throwing t(counted::copy_throws);
      EXPECT_THROW(pool.post_bulk(5, f), std::runtime_error);
      EXPECT_THROW(static_cast<void>(pool.submit_bulk(5, f)), std::runtime_error);
    }
    const heddle_test::throwing t(counted::move_throws);
    EXPECT_THROW(pool.post_bulk(5, std::move(f)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_bulk(5, std::move(f))), std::runtime_error);
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(bulk, of_nothing_is_ready_at_once) {
  thread_pool pool(options());
  const occupied_pool busy(pool);
  auto f = pool.submit_bulk(0, [c = counted()](std::size_t) { ADD_FAILURE(); });
  EXPECT_TRUE(f.ready());
  EXPECT_EQ(counted::alive, 0);
  pool.post_bulk(0, [c = counted()](std::size_t) { ADD_FAILURE(); });
  EXPECT_EQ(counted::alive, 0);
  f.get();
}

TEST_P(bulk, as_many_blocking_tasks_as_workers_all_start) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unsigned n = workers();
  for (unsigned round = 0; round < 100; ++round) {
    std::barrier<> meeting(static_cast<std::ptrdiff_t>(n) + 1);
    const auto meet = [&meeting] { meeting.arrive_and_wait(); };
    const auto meet_each = [&meeting](std::size_t) { meeting.arrive_and_wait(); };
    const unsigned others = round % n;
    switch (round % 4) {
      case 0:
        for (unsigned i = 0; i < others; ++i) pool.post(meet);
        pool.post_bulk(n - others, meet_each);
        break;
      case 1:
        pool.post_bulk(n - others, meet_each);
        for (unsigned i = 0; i < others; ++i) pool.post(meet);
        break;
      case 2:
        pool.post_bulk(others, meet_each);
        pool.post_bulk(n - others, meet_each);
        break;
      default:
        pool.post([&, n] {
          pool.post_bulk(n - 1, meet_each);
          meet();
        });
    }
    meeting.arrive_and_wait();
    EXPECT_TRUE(pool.wait_idle());
  }
}

// Those of a long bulk that start first, and those that start last: whoever holds a part of the
// bulk blocks in its first task, and the others have to take the rest from under it.
TEST_P(bulk, a_blocked_task_holds_up_no_other_one) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::size_t n = workers();
  for (const std::size_t size : {n, n + 1, 2 * n, std::size_t{64}, std::size_t{1000}}) {
    for (const bool at_the_end : {false, true}) {
      for (const bool inside : {false, true}) {
        std::barrier<> meeting(static_cast<std::ptrdiff_t>(n));
        std::atomic<std::size_t> started = 0;
        const auto f = [&](std::size_t) {
          const std::size_t mine = started++;
          if (at_the_end ? mine >= size - n : mine < n) meeting.arrive_and_wait();
        };
        if (inside) {
          pool.submit([&] { pool.post_bulk(size, f); }).get();
        } else {
          pool.submit_bulk(size, f).get();
        }
        EXPECT_TRUE(pool.wait_idle());
        EXPECT_EQ(started, size);
      }
    }
  }
}

TEST_P(bulk, the_first_exception_is_in_the_future_and_the_others_are_unhandled) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (const std::size_t size : {1U, 2U, 64U, 65U, 1000U}) {
    const unhandled_log log;
    std::atomic<std::size_t> ran = 0;
    auto one = pool.submit_bulk(size, [&](std::size_t i) {
      ++ran;
      if (i == size / 2) throw std::out_of_range("one");
    });
    EXPECT_THROW(one.get(), std::out_of_range);
    EXPECT_EQ(ran, size);
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(log.count(), 0U);

    auto all = pool.submit_bulk(size, [&](std::size_t) {
      ++ran;
      throw std::runtime_error("all");
    });
    EXPECT_THROW(all.get(), std::runtime_error);
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(ran, 2 * size);
    EXPECT_EQ(log.count(), size - 1);

    {
      const auto dropped =
          pool.submit_bulk(size, [](std::size_t) { throw std::runtime_error("dropped"); });
    }
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_TRUE(eventually([&] { return log.count() == 2 * size - 1; }));

    pool.post_bulk(size, [](std::size_t) { throw std::runtime_error("posted"); });
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(log.count(), 3 * size - 1);
  }
}

TEST_P(bulk, drain_in_the_middle_runs_all) {
  for (const std::size_t size : {3U, 64U, 1000U, 20000U}) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    std::atomic<std::size_t> ran = 0;
    std::atomic<bool> begun = false;
    pool.post_bulk(size, [&](std::size_t) { ++ran; });
    auto f = pool.submit_bulk(size, [&](std::size_t i) {
      begun = true;
      ++ran;
      // What it submits is accepted, too.
      if (i % 10 == 0) pool.post_bulk(3, [&ran](std::size_t) { ++ran; });
    });
    ASSERT_TRUE(eventually([&] { return begun.load(); }));
    EXPECT_TRUE(pool.shutdown(shutdown_mode::drain).completed);
    ASSERT_TRUE(f.ready());
    f.get();
    EXPECT_EQ(ran, 2 * size + (size + 9) / 10 * 3);
    const auto s = pool.statistics();
    EXPECT_EQ(s.submitted, s.completed);
  }
}

TEST_P(bulk, cancel_in_the_middle_discards_what_has_not_begun) {
  for (const std::size_t more : {std::size_t{1}, std::size_t{63}, std::size_t{1000}}) {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    const std::size_t size = workers() + more;
    const auto hold = std::make_shared<gate>();
    std::atomic<std::size_t> ran = 0;
    auto f = pool.submit_bulk(size, [&ran, hold, c = counted()](std::size_t) {
      ++ran;
      hold->pass();
    });
    hold->await_arrivals(workers());
    EXPECT_FALSE(pool.shutdown(shutdown_mode::cancel, 0ms).completed);
    hold->open();
    EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
    ASSERT_TRUE(f.ready());
    EXPECT_THROW(f.get(), heddle::cancelled);
    EXPECT_EQ(counted::alive, 0);
    EXPECT_EQ(ran, workers());
    const auto s = pool.statistics();
    EXPECT_EQ(s.submitted, s.completed);
    EXPECT_GE(s.discarded, 1U);
  }
}

TEST_P(bulk, cancel_when_all_have_begun_leaves_the_result) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  gate hold;
  auto f = pool.submit_bulk(workers(), [&hold](std::size_t) { hold.pass(); });
  hold.await_arrivals(workers());
  EXPECT_FALSE(pool.shutdown(shutdown_mode::cancel, 0ms).completed);
  hold.open();
  EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
  f.get();
}

TEST_P(bulk, cancel_and_an_exception) {
  const unhandled_log log;
  {
    thread_pool pool(options());
    const pool_watchdog dog(pool);
    gate hold;
    auto f = pool.submit_bulk(workers() + 5, [&hold](std::size_t) {
      hold.pass();
      throw std::runtime_error("running");
    });
    hold.await_arrivals(workers());
    EXPECT_FALSE(pool.shutdown(shutdown_mode::cancel, 0ms).completed);
    hold.open();
    EXPECT_TRUE(pool.shutdown(shutdown_mode::cancel).completed);
    try {
      f.get();
      ADD_FAILURE() << "neither failed nor cancelled";
    } catch (const heddle::cancelled&) {
      EXPECT_EQ(log.count(), workers());  // none is lost
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "running");
      EXPECT_EQ(log.count(), workers() - 1);
    }
  }
}

TEST_P(bulk, after_shutdown_is_rejected) {
  thread_pool pool(options());
  pool.shutdown();
  EXPECT_THROW(pool.post_bulk(1, [c = counted()](std::size_t) {}), heddle::rejected);
  EXPECT_THROW(pool.post_bulk(1000, [c = counted()](std::size_t) {}), heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(7, [c = counted()](std::size_t) {})),
               heddle::rejected);
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(bulk, nested_bulks_that_wait) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<unsigned> leaves = 0;
  const std::function<void(unsigned)> nest = [&](unsigned levels) {
    if (levels == 0) {
      ++leaves;
      return;
    }
    pool.submit_bulk(4, [&nest, levels](std::size_t) { nest(levels - 1); }).get();
  };
  nest(4);
  EXPECT_EQ(leaves, 256U);
  pool.submit_bulk(
          3,
          [&](std::size_t) { pool.submit_bulk(500, [&leaves](std::size_t) { ++leaves; }).get(); })
      .get();
  EXPECT_EQ(leaves, 1756U);
}

TEST_P(bulk, tasks_that_wait_for_later_ones_and_for_outside) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::size_t size = 3 * workers() + 2;
  std::vector<heddle::promise<std::size_t>> promises(size);
  std::vector<future<std::size_t>> results;
  for (auto& p : promises) results.push_back(p.get_future());
  std::atomic<std::size_t> sum = 0;
  // Each waits for the one behind it, the last for this thread.
  heddle::promise<std::size_t> last;
  auto end = last.get_future();
  auto f = pool.submit_bulk(size, [&](std::size_t i) {
    const std::size_t v = i + 1 < size ? results[i + 1].get() : end.get();
    sum += v;
    promises[i].set_value(v + 1);
  });
  EXPECT_FALSE(f.wait_for(1ms));
  last.set_value(1);
  f.get();
  EXPECT_EQ(sum, size * (size + 1) / 2);
  EXPECT_EQ(results[0].get(), size + 1);
}

TEST_P(bulk, tasks_that_submit) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<unsigned> ran = 0;
  pool.submit_bulk(100,
                   [&](std::size_t i) {
                     pool.post([&ran] { ++ran; });
                     if (i % 2 == 0) pool.submit([&ran] { ++ran; }).get();
                     const auto dropped =
                         pool.submit_to(static_cast<unsigned>(i) % workers(), [&] { ++ran; });
                   })
      .get();
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 250U);
}

TEST_P(bulk, futures_of_them_can_be_combined) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<unsigned> ran = 0;
  const auto count = [&ran](std::size_t) { ++ran; };
  auto chained = pool.submit_bulk(100, count).then(pool.executor(), [&ran] { return ran.load(); });
  EXPECT_EQ(chained.get(), 100U);
  std::vector<future<void>> futures;
  for (int i = 0; i < 5; ++i) futures.push_back(pool.submit_bulk(10 * i, count));
  for (auto& f : heddle::when_all(std::move(futures)).get()) f.get();
  EXPECT_EQ(ran, 200U);
  const auto shared = pool.submit_bulk(10, count).share();
  shared.get();
  EXPECT_EQ(ran, 210U);
}

TEST_P(bulk, futures_outlive_their_pool) {
  std::atomic<unsigned> ran = 0;
  std::vector<future<void>> futures;
  {
    thread_pool pool(options());
    for (int i = 0; i < 10; ++i) {
      futures.push_back(pool.submit_bulk(100, [&ran](std::size_t) { ++ran; }));
    }
  }
  EXPECT_EQ(ran, 1000U);
  for (auto& f : futures) {
    ASSERT_TRUE(f.ready());
    f.get();
  }
}

// A waiter without a limit may run what it waits for; nothing else of the pool on its stack.
TEST_P(bulk, a_waiter_runs_no_unrelated_task) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  static thread_local int depth = 0;
  std::atomic<int> buried = 0;
  const auto unrelated = [&buried] {
    if (depth != 0) ++buried;
  };
  std::vector<future<void>> waiters;
  for (int i = 0; i < 20; ++i) {
    waiters.push_back(pool.submit([&pool, unrelated] {
      for (int k = 0; k < 5; ++k) pool.post(unrelated);
      auto f = pool.submit_bulk(50, [](std::size_t) {});
      for (int k = 0; k < 5; ++k) pool.post(unrelated);
      ++depth;
      f.get();
      --depth;
    }));
  }
  for (auto& f : waiters) f.get();
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(buried, 0);
}

INSTANTIATE_TEST_SUITE_P(pools, bulk, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
