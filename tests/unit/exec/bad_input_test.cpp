// What nobody should do to a pool, and what happens then.
#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/promise.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/future/wait.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::priority;
using heddle::shutdown_mode;
using heddle::task_options;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::counted;
using heddle_test::eventually;
using heddle_test::gate;
using heddle_test::pool_watchdog;
using heddle_test::throwing;

using namespace std::chrono_literals;

class bad_input : public heddle_test::pool_test {};

// That the pool still does what it is for.
void expect_usable(thread_pool& pool) {
  EXPECT_EQ(pool.submit([] { return 1; }).get(), 1);
  std::atomic<int> ran = 0;
  pool.submit_bulk(10, [&ran](std::size_t) { ++ran; }).get();
  EXPECT_EQ(ran, 10);
  EXPECT_TRUE(pool.wait_idle());
}

TEST_P(bad_input, null_callables_are_refused_everywhere) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::function<void()> none;
  void (*null)() = nullptr;
  const std::function<void(std::size_t)> no_body;
  void (*null_body)(std::size_t) = nullptr;
  std::stop_source stop;
  const task_options stoppable{.stop = stop.get_token()};
  EXPECT_THROW(static_cast<void>(pool.submit(none)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit(priority::high, none)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit(stoppable, null)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_to(0, null)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_keyed(0, null)), std::invalid_argument);
  EXPECT_THROW(pool.post(none), std::invalid_argument);
  EXPECT_THROW(pool.post(priority::low, null), std::invalid_argument);
  EXPECT_THROW(pool.post(stoppable, none), std::invalid_argument);
  const std::vector<std::function<void()>> second_is_null{[c = counted()] {}, nullptr};
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(second_is_null)), std::invalid_argument);
  EXPECT_THROW(pool.post_bulk(second_is_null), std::invalid_argument);
  EXPECT_EQ(counted::alive, 1);
  EXPECT_THROW(pool.post_bulk(4, no_body), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(4, null_body)), std::invalid_argument);
  EXPECT_THROW(pool.post_bulk(0, null_body), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(0, no_body)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.run_all(std::vector(1, none))), std::invalid_argument);
  const std::function<int(int)> no_function;
  std::vector<int> numbers{1, 2};
  EXPECT_THROW(static_cast<void>(pool.map(no_function, numbers)), std::invalid_argument);
  EXPECT_EQ(pool.statistics().submitted, 0U);
  expect_usable(pool);
}

TEST_P(bad_input, callables_that_throw_when_copied_are_not_accepted) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  {
    counted c;
    const auto callable = [c] {};
    const auto body = [c](std::size_t) {};
    const auto taking = [](const counted&) {};
    std::stop_source stop;
    const task_options stoppable{.stop = stop.get_token()};
    const std::vector several(3, callable);
    std::vector<int> numbers{1, 2};
    const auto mapped = [c](int i) { return i; };
    const int before = counted::alive;
    const throwing t(counted::copy_throws);
    EXPECT_THROW(static_cast<void>(pool.submit(priority::high, callable)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit(stoppable, callable)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit(stoppable, taking, c)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_to(0, callable)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_keyed(5, taking, c)), std::runtime_error);
    EXPECT_THROW(pool.post(priority::high, callable), std::runtime_error);
    EXPECT_THROW(pool.post(stoppable, callable), std::runtime_error);
    EXPECT_THROW(pool.post(stoppable, taking, c), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_bulk(several)), std::runtime_error);
    EXPECT_THROW(pool.post_bulk(several), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_bulk(3, body)), std::runtime_error);
    EXPECT_THROW(pool.post_bulk(3, body), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.run_all(several)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.map(mapped, numbers)), std::runtime_error);
    EXPECT_TRUE(stop.request_stop());  // nothing is left that listens
    EXPECT_EQ(counted::alive, before);
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
  expect_usable(pool);
}

TEST_P(bad_input, callables_that_throw_when_moved_are_not_accepted) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  {
    counted c;
    auto callable = [c] {};
    auto body = [c](std::size_t) {};
    const auto taking = [](const counted&) {};
    std::stop_source stop;
    const task_options stoppable{.stop = stop.get_token()};
    std::vector several(3, callable);
    const int before = counted::alive;
    const throwing t(counted::move_throws);
    EXPECT_THROW(static_cast<void>(pool.submit(priority::high, std::move(callable))),
                 std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit(stoppable, taking, std::move(c))),
                 std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_to(0, std::move(callable))), std::runtime_error);
    EXPECT_THROW(pool.post(stoppable, std::move(callable)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_bulk(std::move(several))), std::runtime_error);
    EXPECT_THROW(pool.post_bulk(std::move(several)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_bulk(3, std::move(body))), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.run_all(std::move(several))), std::runtime_error);
    EXPECT_EQ(counted::alive, before);
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
  expect_usable(pool);
}

// In the middle of a range: those before it are not accepted either, or are given up.
TEST_P(bad_input, the_third_of_a_bulk_cannot_be_copied) {
  struct third_fails {
    int number;
    counted c{};
    explicit third_fails(int n) : number(n) {}
    third_fails(const third_fails& o) : number(o.number), c(o.c) {
      if (number == 3) throw std::out_of_range("the third");
    }
    void operator()() const { ADD_FAILURE(); }
  };
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  {
    std::vector<third_fails> several;
    several.reserve(5);
    for (int i = 1; i <= 5; ++i) several.emplace_back(i);
    EXPECT_THROW(pool.post_bulk(several), std::out_of_range);
    EXPECT_THROW(static_cast<void>(pool.submit_bulk(several)), std::out_of_range);
    EXPECT_EQ(counted::alive, 5);
    EXPECT_EQ(pool.statistics().submitted, 0U);
    const heddle_test::occupied_pool busy(pool);
    EXPECT_THROW(static_cast<void>(pool.run_all(several)), std::out_of_range);
    EXPECT_EQ(counted::alive, 5);
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(counted::alive, 0);
}

// One that is moved or copied again on its way must not fail later: what was accepted runs.
TEST_P(bad_input, what_was_accepted_is_not_moved_again) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> ran = 0;
  std::vector<future<void>> futures;
  {
    const heddle_test::occupied_pool busy(pool);
    for (int i = 0; i < 40; ++i) {
      futures.push_back(pool.submit([&ran, c = counted()] { ++ran; }));
      pool.post(priority::high, [&ran, c = counted()] { ++ran; });
    }
    futures.push_back(pool.submit_bulk(40, [&ran, c = counted()](std::size_t) { ++ran; }));
    counted::move_throws = true;
    counted::copy_throws = true;
  }
  for (auto& f : futures) f.get();
  EXPECT_TRUE(pool.wait_idle());
  counted::move_throws = false;
  counted::copy_throws = false;
  EXPECT_EQ(ran, 120);
  EXPECT_EQ(counted::alive, 0);
}

TEST_P(bad_input, a_result_is_read_once) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto f = pool.submit([] { return 1; });
  EXPECT_EQ(f.get(), 1);
  EXPECT_FALSE(f.valid());
  EXPECT_THROW(f.get(), heddle::no_state);
  EXPECT_THROW(f.get(std::stop_token()), heddle::no_state);
  EXPECT_THROW(f.wait(), heddle::no_state);
  EXPECT_THROW(f.wait_for(1ms), heddle::no_state);
  EXPECT_THROW(f.wait_until(heddle::prim::never), heddle::no_state);
  EXPECT_THROW(f.wait(std::stop_token()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.ready()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.failed()), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.exception()), heddle::no_state);
  EXPECT_THROW(f.cancel(), heddle::no_state);
  EXPECT_THROW(static_cast<void>(f.then([](int) {})), heddle::no_state);
  EXPECT_THROW(f.on_ready([] {}), heddle::no_state);
  EXPECT_THROW(static_cast<void>(std::move(f).share()), heddle::no_state);
  std::vector<future<int>> some(2);
  EXPECT_THROW(heddle::wait(some), heddle::no_state);
  EXPECT_THROW(static_cast<void>(heddle::as_completed(some)), heddle::no_state);

  auto bulk = pool.submit_bulk(3, [](std::size_t) {});
  bulk.get();
  EXPECT_THROW(bulk.get(), heddle::no_state);
  auto failed = pool.submit([] { throw 1; });
  EXPECT_THROW(failed.get(), int);
  EXPECT_THROW(failed.get(), heddle::no_state);
}

// A draining destructor leaves no future that is not ready.
TEST_P(bad_input, futures_of_a_pool_that_is_gone) {
  const heddle_test::watchdog dog;
  std::vector<future<int>> futures;
  future<void> bulk;
  heddle::shared_future<int> shared;
  heddle::promise<int> p;
  future<int> late;
  {
    thread_pool pool(options());
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([i] { return i; }));
    bulk = pool.submit_bulk(50, [](std::size_t) {});
    shared = pool.submit([] { return 7; }).share();
  }
  ASSERT_TRUE(bulk.ready());
  bulk.get();
  EXPECT_EQ(shared.get(), 7);
  EXPECT_EQ(heddle::wait(futures).done.size(), 20U);
  for (int i = 0; i < 20; ++i) {
    auto& f = futures[static_cast<std::size_t>(i)];
    ASSERT_TRUE(f.ready());
    EXPECT_FALSE(f.cancel());
    EXPECT_TRUE(f.wait_for(0ms));
    if (i % 2 == 0) {
      EXPECT_EQ(f.get(), i);
    } else {
      EXPECT_EQ(std::move(f).then_inline([](int v) { return v; }).get(), i);
    }
  }
}

TEST_P(bad_input, a_pool_that_is_shutting_down_takes_nothing_from_outside) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const auto hold = std::make_shared<gate>();
  std::atomic<int> ran = 0;
  auto inside = pool.submit([&, hold] {
    hold->pass();
    // What its own tasks submit is still accepted.
    pool.post([&ran] { ++ran; });
    pool.post(priority::high, [&ran] { ++ran; });
    pool.post_bulk(5, [&ran](std::size_t) { ++ran; });
    pool.submit_bulk(5, [&ran](std::size_t) { ++ran; }).get();
    EXPECT_EQ(pool.run_all(std::vector(3, [&ran] { ++ran; })).done, 3U);
    std::vector<int> numbers{1, 2, 3};
    for (const int v : pool.map([&ran](int i) { return ++ran, i; }, numbers)) EXPECT_GT(v, 0);
  });
  hold->await_arrivals(1);
  EXPECT_FALSE(pool.shutdown(shutdown_mode::drain, 0ms).completed);
  std::stop_source stop;
  const task_options stoppable{.stop = stop.get_token()};
  EXPECT_THROW(pool.post([c = counted()] {}), heddle::rejected);
  EXPECT_THROW(pool.post(priority::highest, [c = counted()] {}), heddle::rejected);
  EXPECT_THROW(pool.post(stoppable, [c = counted()] {}), heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.submit([c = counted()] {})), heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.submit(stoppable, [c = counted()] {})), heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.submit_to(0, [c = counted()] {})), heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.submit_keyed(0, [c = counted()] {})), heddle::rejected);
  EXPECT_THROW(pool.post_bulk(3, [c = counted()](std::size_t) {}), heddle::rejected);
  EXPECT_THROW(pool.post_bulk(std::vector(3, [c = counted()] {})), heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(std::vector(3, [c = counted()] {}))),
               heddle::rejected);
  EXPECT_THROW(static_cast<void>(pool.run_all(std::vector(3, [c = counted()] {}))),
               heddle::rejected);
  std::vector<int> numbers{1, 2, 3};
  {
    auto mapped = pool.map([c = counted()](int i) { return i; }, numbers);
    EXPECT_THROW(mapped.begin(), heddle::rejected);
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_TRUE(stop.request_stop());
  hold->open();
  EXPECT_TRUE(pool.shutdown().completed);
  inside.get();
  EXPECT_EQ(ran, 18);
}

TEST_P(bad_input, limits_long_past) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  {
    const heddle_test::occupied_pool busy(pool);
    auto f = pool.submit([] {});
    EXPECT_FALSE(f.wait_for(-1h));
    EXPECT_FALSE(f.wait_for(std::chrono::nanoseconds::min()));
    EXPECT_FALSE(f.wait_until(heddle::prim::time_point::min()));
    EXPECT_FALSE(pool.wait_idle(heddle::prim::time_point::min()));
    std::vector<future<void>> one;
    one.push_back(std::move(f));
    EXPECT_TRUE(heddle::wait_for(one, -1h).done.empty());
    EXPECT_FALSE(pool.submit_to(0, [] {}).wait_for(std::chrono::seconds::min()));
  }
  expect_usable(pool);
}

TEST_P(bad_input, options_that_make_no_sense_are_refused_and_named) {
  const auto refused = [](const char* what, auto change) {
    thread_pool_options o = options();
    change(o);
    try {
      const thread_pool pool(std::move(o));
      ADD_FAILURE() << what << " was accepted";
    } catch (const std::invalid_argument& e) {
      EXPECT_GT(std::string(e.what()).size(), 8U) << what;
    }
  };
  refused("aging -1", [](auto& o) { o.aging = -1ms; });
  refused("aging min", [](auto& o) { o.aging = std::chrono::milliseconds::min(); });
  refused("spin -1", [](auto& o) { o.spin = -1ns; });
  refused("keep-alive -1", [](auto& o) { o.spare_keep_alive = -1ns; });
  refused("stuck -1", [](auto& o) { o.stuck_after = std::chrono::nanoseconds::min(); });
  refused("no queue", [](auto& o) { o.queue_capacity = 0; });
  refused("workers", [](auto& o) { o.workers = std::numeric_limits<unsigned>::max(); });
  refused("spares", [](auto& o) { o.max_spares = std::numeric_limits<unsigned>::max(); });
  refused("an empty list of CPUs",
          [](auto& o) { o.affinity.policy = heddle::kernel::placement::listed; });
  refused("no such CPU", [](auto& o) {
    o.affinity = {.policy = heddle::kernel::placement::listed, .cpus = {0, 1'000'000}};
  });
  refused("negative CPU", [](auto& o) {
    o.affinity = {.policy = heddle::kernel::placement::listed, .cpus = {-1}};
  });
  refused("a list for another policy", [](auto& o) {
    o.affinity = {.policy = heddle::kernel::placement::compact, .cpus = {0}};
  });
  refused("nice 20", [](auto& o) { o.thread_priority.nice = 20; });
  refused("level without a real-time policy", [](auto& o) { o.thread_priority.level = 1; });
}

TEST_P(bad_input, extreme_options_that_make_sense) {
  thread_pool_options o = options();
  o.aging = std::chrono::milliseconds::max();
  o.spin = 0ns;
  o.spare_keep_alive = std::chrono::nanoseconds::max();
  o.stuck_after = std::chrono::nanoseconds::max();
  o.queue_capacity = thread_pool_options::unbounded - 1;
  o.name = std::string(500, 'x');
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  expect_usable(pool);
  {
    const heddle_test::occupied_pool busy(pool);
    pool.post(priority::lowest, [] {});
    pool.post(priority::highest, [] {});
  }
  expect_usable(pool);
  EXPECT_EQ(pool.statistics().over_capacity, 0U);
}

TEST_P(bad_input, map_with_absurd_numbers_in_flight) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::vector<int> numbers{1, 2, 3, 4};
  for (const std::size_t in_flight : {std::size_t{1}, std::numeric_limits<std::size_t>::max()}) {
    int next = 0;
    for (const int v : pool.map([](int i) { return i; }, numbers, in_flight)) EXPECT_EQ(v, ++next);
    EXPECT_EQ(next, 4);
  }
  std::vector<int> none;
  for ([[maybe_unused]] const int v : pool.map([](int i) { return i; }, none)) ADD_FAILURE();
}

INSTANTIATE_TEST_SUITE_P(pools, bad_input, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
