// Futures, promises and pools that die as soon as their contracts allow.
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::watchdog;

class pool_lifetime : public heddle_test::pool_test {};

TEST_P(pool_lifetime, future_dies_as_soon_as_it_is_ready) {
  const watchdog dog;
  thread_pool pool(options());
  for (int round = 0; round < 2000; ++round) {
    auto f = pool.submit([c = counted()] {});
    if (round % 2 == 0) {
      while (!f.ready()) {
      }
    } else {
      f.get();
    }
    ASSERT_EQ(counted::alive, 0);
  }
}

// What the task refers to goes away with the waiter's scope: nobody may still be in the task.
TEST_P(pool_lifetime, what_a_task_refers_to_dies_as_soon_as_it_is_done) {
  const watchdog dog;
  thread_pool pool(options());
  for (int round = 0; round < 500; ++round) {
    auto value = std::make_unique<std::atomic<int>>(0);
    std::vector<future<void>> futures;
    for (int i = 0; i < 4; ++i) {
      futures.push_back(pool.submit([&v = *value] { ++v; }));
    }
    heddle::wait(futures);
    ASSERT_EQ(*value, 4);
    value.reset();
  }
}

TEST_P(pool_lifetime, promise_dies_as_soon_as_it_is_set_by_a_task) {
  const watchdog dog;
  thread_pool pool(options());
  for (int round = 0; round < 1000; ++round) {
    std::optional<promise<int>> p(std::in_place);
    auto f = p->get_future();
    pool.post([p = std::move(*p), round]() mutable { p.set_value(round); });
    p.reset();
    ASSERT_EQ(f.get(), round);
  }
}

TEST_P(pool_lifetime, pool_dies_as_soon_as_its_last_result_is_seen) {
  const watchdog dog;
  for (int round = 0; round < 100; ++round) {
    auto pool = std::make_unique<thread_pool>(options());
    auto f = pool->submit([&p = *pool] { return p.submit([] { return 2; }); });
    ASSERT_EQ(f.get().get(), 2);
    pool.reset();
  }
}

// Whoever sets a promise posts the continuation, and may still be about it when that has run.
TEST_P(pool_lifetime, pool_dies_while_a_setter_is_about_to_return) {
  const watchdog dog;
  for (int round = 0; round < 100; ++round) {
    auto pool = std::make_unique<thread_pool>(options());
    promise<int> p;
    auto f = p.get_future().then(pool->executor(), [](future<int> g) { return g.get() + 1; });
    std::thread setter([&] { p.set_value(1); });
    EXPECT_EQ(f.get(), 2);
    pool.reset();
    setter.join();
  }
}

TEST_P(pool_lifetime, futures_outlive_their_pool) {
  std::vector<future<std::unique_ptr<int>>> futures;
  {
    thread_pool pool(options());
    for (int i = 0; i < 20; ++i) {
      futures.push_back(pool.submit([i] { return std::make_unique<int>(i); }));
    }
  }
  for (int i = 0; i < 20; ++i) {
    auto& f = futures[static_cast<std::size_t>(i)];
    ASSERT_TRUE(f.ready());
    EXPECT_EQ(*f.get(), i);
  }
}

// A continuation whose future was dropped keeps the chain alive until it has run, and no longer.
TEST_P(pool_lifetime, dropped_chains_free_everything) {
  const watchdog dog;
  {
    thread_pool pool(options());
    for (int round = 0; round < 200; ++round) {
      auto dropped = pool.submit([c = counted()] { return counted(); })
                         .then([c = counted()](counted v) { return v; })
                         .then_inline([c = counted()](counted v) { return v; });
    }
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST_P(pool_lifetime, pool_dies_on_another_pools_worker) {
  const watchdog dog;
  thread_pool other(options());
  for (int round = 0; round < 30; ++round) {
    auto pool = std::make_shared<thread_pool>(options());
    std::atomic<int> ran = 0;
    for (int i = 0; i < 5; ++i) pool->post([&ran] { ++ran; });
    auto f = other.submit([&other, pool = std::move(pool), &ran]() mutable {
      pool->post([&other, &ran] { other.post([&ran] { ++ran; }); });
      pool.reset();
      EXPECT_GE(ran, 5);
    });
    f.get();
    EXPECT_TRUE(other.wait_idle());
    EXPECT_EQ(ran, 6);
  }
}

// A thread that exits takes nothing along that the pool still needs.
TEST_P(pool_lifetime, submitters_come_and_go) {
  const watchdog dog;
  thread_pool pool(options());
  std::atomic<int> ran = 0;
  for (int round = 0; round < 100; ++round) {
    std::thread([&] {
      pool.post([&ran] { ++ran; });
      pool.submit([&ran] { ++ran; }).get();
    }).join();
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 200);
}

INSTANTIATE_TEST_SUITE_P(pools, pool_lifetime, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
