#include <heddle/exec/thread_pool.hpp>

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/task_name.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;

class submit : public heddle_test::pool_test {};

int twice(int v) { return 2 * v; }

struct account {
  int balance = 10;
  int add(int v) { return balance += v; }
  int read() const { return balance; }
};

TEST_P(submit, gives_the_result_through_the_future) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  EXPECT_EQ(pool.submit([] { return 7; }).get(), 7);
  EXPECT_EQ(pool.submit(twice, 4).get(), 8);
  EXPECT_EQ(pool.submit(&twice, 5).get(), 10);
  EXPECT_EQ(pool.submit([](const std::string& s) { return s.size(); }, "four").get(), 4U);
  EXPECT_EQ(pool.submit(std::function<int(int)>(twice), 3).get(), 6);
  EXPECT_EQ(pool.submit(heddle::named("twice", twice), 3).get(), 6);
  EXPECT_EQ(pool.submit(heddle::named("seven", [] { return 7; })).get(), 7);
  bool ran = false;
  pool.submit([&ran] { ran = true; }).get();
  EXPECT_TRUE(ran);
}

TEST_P(submit, runs_on_another_thread_which_is_a_worker) {
  thread_pool pool(options());
  const auto [id, index] =
      pool.submit([&pool] { return std::pair(std::this_thread::get_id(), pool.worker_index()); })
          .get();
  EXPECT_NE(id, std::this_thread::get_id());
  ASSERT_TRUE(index.has_value());
  EXPECT_LT(*index, pool.worker_index_limit());
  EXPECT_FALSE(pool.worker_index().has_value());
}

TEST_P(submit, gives_references_and_takes_them_wrapped) {
  thread_pool pool(options());
  int target = 1;
  int& got = pool.submit([&target]() -> int& { return target; }).get();
  EXPECT_EQ(&got, &target);
  int& passed = pool.submit([](int& v) -> int& { return ++v; }, std::ref(target)).get();
  EXPECT_EQ(&passed, &target);
  EXPECT_EQ(target, 2);
  const int original = 5;
  EXPECT_EQ(&pool.submit([](const int& v) -> const int& { return v; }, std::cref(original)).get(),
            &original);
}

TEST_P(submit, takes_and_gives_what_can_only_move) {
  thread_pool pool(options());
  auto f = pool.submit(
      [](std::unique_ptr<int> v) {
        ++*v;
        return v;
      },
      std::make_unique<int>(3));
  EXPECT_EQ(*f.get(), 4);
  auto owner = std::make_unique<int>(8);
  EXPECT_EQ(pool.submit([owner = std::move(owner)] { return *owner; }).get(), 8);
}

TEST_P(submit, arguments_are_copies) {
  thread_pool pool(options());
  std::string text = "before";
  occupied_pool busy(pool);
  auto f = pool.submit([](const std::string& s) { return s; }, text);
  text = "after";
  busy.open();
  EXPECT_EQ(f.get(), "before");
}

TEST_P(submit, calls_members_on_values_pointers_and_references) {
  thread_pool pool(options());
  account a;
  EXPECT_EQ(pool.submit(&account::add, a, 1).get(), 11);
  EXPECT_EQ(a.balance, 10);
  EXPECT_EQ(pool.submit(&account::add, &a, 1).get(), 11);
  EXPECT_EQ(pool.submit(&account::add, std::ref(a), 1).get(), 12);
  EXPECT_EQ(pool.submit(&account::read, std::cref(a)).get(), 12);
  EXPECT_EQ(pool.submit(&account::add, std::make_unique<account>(), 2).get(), 12);
  EXPECT_EQ(pool.submit(&account::add, std::make_shared<account>(), 3).get(), 13);
  EXPECT_EQ(pool.submit(&account::balance, std::cref(a)).get(), 12);
}

TEST_P(submit, callable_is_called_once_as_an_rvalue) {
  struct once {
    int operator()() && { return 1; }
    int operator()() & { return 2; }
  };
  thread_pool pool(options());
  EXPECT_EQ(pool.submit(once()).get(), 1);
  const auto grow = [n = 0]() mutable { return ++n; };
  EXPECT_EQ(pool.submit(grow).get(), 1);
  EXPECT_EQ(pool.submit(grow).get(), 1);
}

TEST_P(submit, large_and_overaligned_callables_and_results) {
  struct alignas(128) big {
    unsigned char bytes[4096];
  };
  thread_pool pool(options());
  big b{};
  b.bytes[4095] = 9;
  auto f = pool.submit([b] {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&b) % 128, 0U);
    return b;
  });
  EXPECT_EQ(f.get().bytes[4095], 9);
  pool.post([b] { EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&b) % 128, 0U); });
}

TEST_P(submit, gives_a_result_that_cannot_be_default_constructed_or_assigned) {
  struct fixed {
    explicit fixed(int v) : value(v) {}
    fixed(fixed&&) = default;
    fixed& operator=(fixed&&) = delete;
    const int value;
  };
  thread_pool pool(options());
  EXPECT_EQ(pool.submit([] { return fixed(6); }).get().value, 6);
}

TEST_P(submit, exception_comes_out_of_get) {
  const unhandled_log log;
  thread_pool pool(options());
  auto f = pool.submit([]() -> int { throw std::out_of_range("gone"); });
  EXPECT_THROW(f.get(), std::out_of_range);
  auto g = pool.submit([] { throw 5; });
  EXPECT_THROW(g.get(), int);
  EXPECT_EQ(log.count(), 0U);
}

TEST_P(submit, exception_while_the_result_is_moved_comes_out_of_get) {
  thread_pool pool(options());
  auto made = std::make_unique<counted>();
  auto f = pool.submit([made = std::move(made)]() -> counted {
    const heddle_test::throwing t(counted::move_throws);
    return counted(std::move(*made));
  });
  EXPECT_THROW(static_cast<void>(f.get()), std::runtime_error);
  EXPECT_EQ(counted::alive, 0);
}

TEST_P(submit, callable_or_argument_that_cannot_be_copied_in_is_not_accepted) {
  thread_pool pool(options());
  {
    counted c;
    const auto callable = [c] {};
    const auto taking = [](const counted&) {};
    const heddle_test::throwing t(counted::copy_throws);
    EXPECT_THROW(static_cast<void>(pool.submit(callable)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit(taking, c)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit_to(0, taking, c)), std::runtime_error);
    EXPECT_THROW(pool.post(callable), std::runtime_error);
    EXPECT_THROW(pool.post(taking, c), std::runtime_error);
    const std::vector<std::decay_t<decltype(callable)>> none;
    EXPECT_TRUE(pool.submit_bulk(none).empty());
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(submit, callable_or_argument_that_cannot_be_moved_in_is_not_accepted) {
  thread_pool pool(options());
  {
    counted c;
    auto callable = [c] {};
    const auto taking = [](const counted&) {};
    const heddle_test::throwing t(counted::move_throws);
    EXPECT_THROW(static_cast<void>(pool.submit(std::move(callable))), std::runtime_error);
    EXPECT_THROW(static_cast<void>(pool.submit(taking, std::move(c))), std::runtime_error);
    EXPECT_THROW(pool.post(std::move(callable)), std::runtime_error);
    EXPECT_THROW(pool.post(taking, std::move(c)), std::runtime_error);
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(submit, refuses_null_callables) {
  thread_pool pool(options());
  const std::function<void()> empty;
  void (*null)() = nullptr;
  int (account::*no_member)(int) = nullptr;
  EXPECT_THROW(static_cast<void>(pool.submit(empty)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit(null)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit(no_member, account(), 1)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_to(0, empty)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_keyed(7, empty)), std::invalid_argument);
  EXPECT_THROW(pool.post(empty), std::invalid_argument);
  EXPECT_THROW(pool.post(null), std::invalid_argument);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(submit, callable_and_arguments_die_before_the_future_is_ready) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (int i = 0; i < 200; ++i) {
    auto f = pool.submit([c = counted()](const counted&) {}, counted());
    while (!f.ready()) std::this_thread::yield();
    ASSERT_EQ(counted::alive, 0);
    auto failing = pool.submit([c = counted()](const counted&) { throw 1; }, counted());
    failing.wait();
    ASSERT_EQ(counted::alive, 0);
    EXPECT_THROW(failing.get(), int);
  }
}

TEST_P(submit, stop_token_trips_when_the_future_is_cancelled) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<bool> running = false;
  auto f = pool.submit([&running](const std::stop_token& stop) {
    running = true;
    while (!stop.stop_requested()) std::this_thread::yield();
    return 3;
  });
  while (!running) std::this_thread::yield();
  EXPECT_FALSE(f.cancel());
  EXPECT_EQ(f.get(), 3);
}

TEST_P(submit, stop_token_comes_before_the_arguments) {
  thread_pool pool(options());
  auto f = pool.submit(
      [](const std::stop_token& stop, int v, const std::string& s) {
        return std::to_string(v) + s + (stop.stop_requested() ? "!" : "");
      },
      4, "x");
  EXPECT_EQ(f.get(), "4x");
}

TEST_P(submit, cancelled_before_it_has_begun_never_runs) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const unhandled_log log;
  std::atomic<int> ran = 0;
  {
    occupied_pool busy(pool);
    std::vector<future<void>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([&ran, c = counted()] { ++ran; }));
    for (std::size_t i = 0; i < futures.size(); i += 2) EXPECT_TRUE(futures[i].cancel());
    EXPECT_EQ(counted::alive, 10);
    for (std::size_t i = 0; i < futures.size(); i += 2) {
      EXPECT_TRUE(futures[i].ready());
      EXPECT_THROW(futures[i].get(), heddle::cancelled);
    }
    busy.open();
    for (std::size_t i = 1; i < futures.size(); i += 2) futures[i].get();
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 10);
  EXPECT_EQ(log.count(), 0U);
}

TEST_P(submit, cancelled_when_over_keeps_its_result) {
  thread_pool pool(options());
  auto f = pool.submit([] { return 1; });
  f.wait();
  EXPECT_FALSE(f.cancel());
  EXPECT_EQ(f.get(), 1);
}

TEST_P(submit, dropped_futures_do_not_cancel) {
  std::atomic<int> ran = 0;
  {
    thread_pool pool(options());
    for (int i = 0; i < 100; ++i) {
      const auto dropped = pool.submit([&ran] { ++ran; });
    }
  }
  EXPECT_EQ(ran, 100);
}

TEST_P(submit, from_inside_reaches_every_worker_count) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto outer = pool.submit([&pool] {
    std::vector<future<int>> inner;
    for (int i = 0; i < 50; ++i) inner.push_back(pool.submit(twice, i));
    return inner;
  });
  int sum = 0;
  for (auto& f : outer.get()) sum += f.get();
  EXPECT_EQ(sum, 50 * 49);
}

TEST_P(submit, post_runs_everything_and_reports_exceptions) {
  const unhandled_log log;
  std::atomic<int> sum = 0;
  {
    thread_pool pool(options());
    for (int i = 1; i <= 100; ++i) pool.post([&sum](int v) { sum += v; }, i);
    for (int i = 0; i < 3; ++i) pool.post([] { throw std::runtime_error("posted"); });
    pool.post(&account::add, account(), 1);
    pool.post(heddle::named("add", [&sum](int v) { sum += v; }), 1);
  }
  EXPECT_EQ(sum, 5051);
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"posted", "posted", "posted"}));
  EXPECT_EQ(log.count(), 3U);
}

TEST_P(submit, exception_of_a_dropped_future_is_unhandled_and_a_read_one_is_not) {
  const unhandled_log log;
  {
    thread_pool pool(options());
    {
      const auto dropped = pool.submit([] { throw std::runtime_error("dropped"); });
    }
    auto read = pool.submit([] { throw std::runtime_error("read"); });
    EXPECT_NE(read.exception(), nullptr);
    auto ignored = pool.submit([] { throw std::runtime_error("ignored"); });
    ignored.wait();
    EXPECT_TRUE(ignored.failed());
  }
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"dropped", "ignored"}));
}

TEST_P(submit, to_one_worker_runs_everything_on_its_thread) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  ASSERT_EQ(pool.size(), workers());
  std::set<std::thread::id> all;
  for (unsigned w = 0; w < workers(); ++w) {
    std::set<std::thread::id> threads;
    std::vector<future<std::thread::id>> futures;
    for (int i = 0; i < 30; ++i) {
      futures.push_back(pool.submit_to(w, [] { return std::this_thread::get_id(); }));
    }
    for (auto& f : futures) threads.insert(f.get());
    EXPECT_EQ(threads.size(), 1U);
    all.merge(threads);
  }
  EXPECT_EQ(all.size(), workers());
}

TEST_P(submit, to_one_worker_waits_for_it_when_it_is_busy) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const auto hold = std::make_shared<heddle_test::gate>();
  const unsigned last = workers() - 1;
  auto busy = pool.submit_to(last, [hold] { hold->pass(); });
  hold->await_arrivals(1);
  auto behind = pool.submit_to(last, [] {});
  if (workers() > 1) {
    auto other = pool.submit_to(0, [] { return 1; });
    EXPECT_EQ(other.get(), 1);
  }
  EXPECT_FALSE(behind.wait_for(std::chrono::milliseconds(5)));
  hold->open();
  behind.get();
  busy.get();
}

TEST_P(submit, to_a_worker_that_does_not_exist_is_refused) {
  thread_pool pool(options());
  EXPECT_THROW(static_cast<void>(pool.submit_to(workers(), [] {})), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_to(~0U, [c = counted()] {})), std::invalid_argument);
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(submit, keyed_keeps_a_key_on_one_worker) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (const std::size_t key : {std::size_t{0}, std::size_t{7}, ~std::size_t{0}}) {
    std::set<std::thread::id> threads;
    for (int i = 0; i < 20; ++i) {
      threads.insert(
          pool.submit_keyed(key, [](int) { return std::this_thread::get_id(); }, i).get());
    }
    EXPECT_EQ(threads.size(), 1U);
  }
}

TEST_P(submit, bulk_gives_the_futures_in_the_order_of_the_range) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::vector<std::function<int()>> callables;
  for (int i = 0; i < 100; ++i) callables.emplace_back([i] { return i; });
  auto futures = pool.submit_bulk(callables);
  ASSERT_EQ(futures.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
  EXPECT_EQ(callables[5](), 5);  // an lvalue range keeps its callables
}

TEST_P(submit, bulk_moves_from_an_rvalue_range) {
  thread_pool pool(options());
  struct owner {
    std::unique_ptr<int> value;
    int operator()() const { return *value; }
  };
  std::vector<owner> callables;
  callables.push_back({std::make_unique<int>(1)});
  callables.push_back({std::make_unique<int>(2)});
  auto futures = pool.submit_bulk(std::move(callables));
  ASSERT_EQ(futures.size(), 2U);
  EXPECT_EQ(futures[0].get(), 1);
  EXPECT_EQ(futures[1].get(), 2);
}

TEST_P(submit, bulk_of_nothing_and_of_a_list) {
  thread_pool pool(options());
  EXPECT_TRUE(pool.submit_bulk(std::vector<std::function<void()>>()).empty());
  pool.post_bulk(std::vector<std::function<void()>>());
  EXPECT_EQ(pool.statistics().submitted, 0U);
  std::list<std::function<int()>> list{[] { return 1; }, [] { return 2; }};
  auto futures = pool.submit_bulk(list);
  EXPECT_EQ(futures[0].get() + futures[1].get(), 3);
}

TEST_P(submit, bulk_accepts_all_or_none) {
  thread_pool pool(options());
  {
    std::atomic<int> ran = 0;
    std::vector<std::function<void()>> callables(5, [&ran, c = counted()] { ++ran; });
    callables[3] = nullptr;
    EXPECT_THROW(static_cast<void>(pool.submit_bulk(callables)), std::invalid_argument);
    EXPECT_THROW(pool.post_bulk(callables), std::invalid_argument);
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(ran, 0);
    EXPECT_EQ(counted::alive, 4);
    EXPECT_EQ(pool.statistics().submitted, 0U);
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST_P(submit, post_bulk_runs_every_one) {
  const unhandled_log log;
  std::atomic<int> ran = 0;
  {
    thread_pool pool(options());
    std::vector<std::function<void()>> callables(64, [&ran] { ++ran; });
    callables.emplace_back([] { throw std::runtime_error("bulk"); });
    pool.post_bulk(callables);
    pool.post_bulk(std::move(callables));
  }
  EXPECT_EQ(ran, 128);
  EXPECT_EQ(log.count(), 2U);
}

TEST_P(submit, then_runs_on_the_pool) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto f = pool.submit([] { return 20; }).then([&pool](int v) {
    EXPECT_TRUE(pool.worker_index().has_value());
    return v + 1;
  });
  EXPECT_EQ(f.get(), 21);
  auto chain = pool.submit([] { return 0; });
  for (int i = 0; i < 1000; ++i) chain = chain.then([](int v) { return v + 1; });
  EXPECT_EQ(chain.get(), 1000);
  auto failed =
      pool.submit([]() -> int { throw std::runtime_error("x"); }).then([](int v) { return v; });
  EXPECT_THROW(failed.get(), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(pools, submit, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
