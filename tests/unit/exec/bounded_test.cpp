// Queues with a bound: what happens to one task more, and that workers are never held up.
#include <heddle/exec/thread_pool.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
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
using heddle::when_full;
using heddle_test::counted;
using heddle_test::eventually;
using heddle_test::gate;
using heddle_test::pool_watchdog;
using heddle_test::run_together;
using heddle_test::unhandled_log;

using namespace std::chrono_literals;

constexpr std::array policies{when_full::block, when_full::reject, when_full::run_in_caller,
                              when_full::drop_oldest};

// Occupies all workers, one after the other: none of these tasks ever waits behind another.
class held_pool {
 public:
  explicit held_pool(thread_pool& pool) {
    const unsigned workers = pool.size();
    for (unsigned i = 1; i <= workers; ++i) {
      pool.post([g = gate_] { g->pass(); });
      gate_->await_arrivals(i);
    }
  }
  ~held_pool() { open(); }
  held_pool(const held_pool&) = delete;
  held_pool& operator=(const held_pool&) = delete;

  void open() { gate_->open(); }

 private:
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
};

class bounded : public heddle_test::pool_test {
 protected:
  static constexpr std::array<std::size_t, 2> capacities{1, 3};

  static thread_pool_options options(std::size_t capacity, when_full overflow) {
    thread_pool_options o = pool_test::options();
    o.queue_capacity = capacity;
    o.overflow = overflow;
    return o;
  }
  static void fill(thread_pool& pool, std::size_t capacity, std::atomic<unsigned>& ran) {
    for (std::size_t i = 0; i < capacity; ++i) pool.post([&ran] { ++ran; });
  }
};

TEST_P(bounded, capacity_of_nothing_is_refused) {
  for (const when_full overflow : policies) {
    try {
      const thread_pool pool(options(0, overflow));
      ADD_FAILURE() << "accepted";
    } catch (const std::invalid_argument& e) {
      EXPECT_NE(std::string(e.what()).find("capacity"), std::string::npos) << e.what();
    }
  }
}

TEST_P(bounded, a_full_queue_rejects_and_nothing_is_left_of_what_was_rejected) {
  for (const std::size_t capacity : capacities) {
    thread_pool pool(options(capacity, when_full::reject));
    const pool_watchdog dog(pool);
    std::atomic<unsigned> ran = 0;
    {
      const held_pool busy(pool);
      fill(pool, capacity, ran);
      const auto before = pool.statistics();
      EXPECT_THROW(pool.post([c = counted()] {}), heddle::rejected);
      EXPECT_THROW(pool.post(priority::highest, [c = counted()] {}), heddle::rejected);
      EXPECT_THROW(static_cast<void>(pool.submit([c = counted()] {})), heddle::rejected);
      EXPECT_THROW(static_cast<void>(pool.submit(priority::low, [c = counted()] {})),
                   heddle::rejected);
      EXPECT_EQ(pool.statistics().refused, 4U);
      std::stop_source stop;
      const task_options stoppable{.stop = stop.get_token()};
      EXPECT_THROW(pool.post(stoppable, [c = counted()] {}), heddle::rejected);
      EXPECT_THROW(static_cast<void>(pool.submit(stoppable, [c = counted()] {})), heddle::rejected);
      EXPECT_EQ(pool.statistics().refused, 6U);
      EXPECT_THROW(pool.post_bulk(std::vector(2, [c = counted()] {})), heddle::rejected);
      EXPECT_THROW(static_cast<void>(pool.submit_bulk(std::vector(2, [c = counted()] {}))),
                   heddle::rejected);
      EXPECT_THROW(pool.post_bulk(5, [c = counted()](std::size_t) {}), heddle::rejected);
      EXPECT_THROW(static_cast<void>(pool.submit_bulk(5, [c = counted()](std::size_t) {})),
                   heddle::rejected);
      EXPECT_EQ(counted::alive, 0);
      EXPECT_TRUE(stop.request_stop());
      const auto after = pool.statistics();
      EXPECT_EQ(after.submitted, before.submitted);
      EXPECT_GE(after.refused, 10U);
      EXPECT_EQ(after.over_capacity, 0U);
    }
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(ran, capacity);
    pool.submit([] {}).get();  // there is room again
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(pool.statistics().submitted, pool.statistics().completed);
  }
}

TEST_P(bounded, the_message_of_a_rejection_names_the_pool_and_the_reason) {
  auto o = options(1, when_full::reject);
  o.name = "small";
  thread_pool pool(std::move(o));
  const pool_watchdog dog(pool);
  const held_pool busy(pool);
  pool.post([] {});
  try {
    pool.post([] {});
    ADD_FAILURE() << "accepted";
  } catch (const heddle::rejected& e) {
    EXPECT_NE(std::string(e.what()).find("small"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("full"), std::string::npos) << e.what();
  }
}

TEST_P(bounded, a_cancelled_task_counts_until_its_turn_comes) {
  thread_pool pool(options(1, when_full::reject));
  const pool_watchdog dog(pool);
  held_pool busy(pool);
  auto f = pool.submit([] {});
  EXPECT_TRUE(f.cancel());
  EXPECT_THROW(pool.post([] {}), heddle::rejected);
  busy.open();
  EXPECT_TRUE(pool.wait_idle());
  pool.submit([] {}).get();
}

TEST_P(bounded, block_waits_for_room) {
  for (const std::size_t capacity : capacities) {
    thread_pool pool(options(capacity, when_full::block));
    const pool_watchdog dog(pool);
    std::atomic<unsigned> ran = 0;
    std::atomic<unsigned> accepted = 0;
    {
      held_pool busy(pool);
      fill(pool, capacity, ran);
      std::vector<std::thread> producers;
      for (int i = 0; i < 3; ++i) {
        producers.emplace_back([&, i] {
          if (i == 0) {
            pool.post([&ran] { ++ran; });
          } else if (i == 1) {
            pool.submit([&ran] { ++ran; }).get();
          } else {
            pool.submit_bulk(7, [&ran](std::size_t) { ++ran; }).get();
          }
          ++accepted;
        });
      }
      std::this_thread::sleep_for(5ms);
      EXPECT_EQ(accepted, 0U);
      EXPECT_EQ(ran, 0U);
      EXPECT_EQ(pool.statistics().submitted, workers() + capacity);
      busy.open();
      for (std::thread& t : producers) t.join();
    }
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(ran, capacity + 9);
  }
}

TEST_P(bounded, never_do_more_tasks_wait_than_the_capacity_says) {
  for (const std::size_t capacity : capacities) {
    thread_pool pool(options(capacity, when_full::block));
    const pool_watchdog dog(pool);
    std::atomic<std::uint64_t> accepted = 0;
    std::atomic<std::uint64_t> begun = 0;
    std::atomic<std::uint64_t> sum = 0;
    constexpr unsigned producers = 3;
    constexpr std::uint64_t each = 2000;
    run_together(producers, [&](unsigned p) {
      for (std::uint64_t i = 0; i < each; ++i) {
        pool.post([&, v = p * each + i] {
          ++begun;
          sum += v;
        });
        ++accepted;
        // A task that was taken may not have got so far as to count itself: one for each worker.
        const std::uint64_t in = accepted;
        const std::uint64_t out = begun;
        ASSERT_LE(in, out + capacity + workers());
      }
    });
    EXPECT_TRUE(pool.wait_idle());
    constexpr std::uint64_t all = producers * each;
    EXPECT_EQ(sum, all * (all - 1) / 2);
    EXPECT_EQ(begun, all);
    EXPECT_EQ(pool.statistics().over_capacity, 0U);
  }
}

TEST_P(bounded, a_blocked_submitter_is_rejected_by_shutdown) {
  for (const auto mode : {shutdown_mode::drain, shutdown_mode::cancel}) {
    thread_pool pool(options(1, when_full::block));
    const pool_watchdog dog(pool);
    std::atomic<unsigned> ran = 0;
    std::atomic<unsigned> rejected = 0;
    {
      const held_pool busy(pool);
      pool.post([&ran] { ++ran; });
      std::vector<std::thread> producers;
      for (int i = 0; i < 4; ++i) {
        producers.emplace_back([&, i] {
          try {
            if (i == 0) {
              pool.post([&ran, c = counted()] { ++ran; });
            } else if (i == 1) {
              const auto dropped = pool.submit([&ran, c = counted()] { ++ran; });
            } else if (i == 2) {
              pool.post_bulk(3, [&ran, c = counted()](std::size_t) { ++ran; });
            } else {
              pool.post_bulk(std::vector(3, [&ran, c = counted()] { ++ran; }));
            }
          } catch (const heddle::rejected&) {
            ++rejected;
          }
        });
      }
      std::this_thread::sleep_for(5ms);  // most of them are blocked by then
      EXPECT_FALSE(pool.shutdown(mode, 0ms).completed);
      // They must be gone while the workers are still held.
      for (std::thread& t : producers) t.join();
      EXPECT_EQ(rejected, 4U);
      EXPECT_EQ(counted::alive, 0);
    }
    EXPECT_TRUE(pool.shutdown(mode).completed);
    EXPECT_EQ(ran, mode == shutdown_mode::drain ? 1U : 0U);
  }
}

TEST_P(bounded, run_in_caller_runs_on_the_submitting_thread) {
  const unhandled_log log;
  for (const std::size_t capacity : capacities) {
    thread_pool pool(options(capacity, when_full::run_in_caller));
    const pool_watchdog dog(pool);
    std::atomic<unsigned> ran = 0;
    {
      const held_pool busy(pool);
      fill(pool, capacity, ran);
      EXPECT_EQ(ran, 0U);
      const auto here = std::this_thread::get_id();
      const auto where = [] { return std::this_thread::get_id(); };
      auto f = pool.submit(where);
      EXPECT_TRUE(f.ready());
      EXPECT_EQ(f.get(), here);
      EXPECT_EQ(pool.submit(priority::high, where).get(), here);
      std::stop_source stop;
      EXPECT_EQ(pool.submit(task_options{.stop = stop.get_token()}, where).get(), here);
      std::thread::id posted;
      pool.post([&, c = counted()] { posted = where(); });
      EXPECT_EQ(posted, here);
      EXPECT_EQ(pool.statistics().ran_in_caller, 4U);

      std::vector<future<std::thread::id>> futures = pool.submit_bulk(std::vector(3, where));
      for (auto& each : futures) EXPECT_EQ(each.get(), here);

      auto failing = pool.submit([]() -> int { throw std::out_of_range("in the caller"); });
      EXPECT_THROW(failing.get(), std::out_of_range);
      pool.post([] { throw std::runtime_error("posted"); });
      EXPECT_EQ(counted::alive, 0);
      // What it submits itself has no more room than itself.
      EXPECT_EQ(pool.submit([&] { return pool.submit(where).get(); }).get(), here);
    }
    EXPECT_TRUE(pool.wait_idle());
    EXPECT_EQ(ran, capacity);
    const auto s = pool.statistics();
    EXPECT_EQ(s.submitted, s.completed);
    EXPECT_NE(pool.submit([] { return std::this_thread::get_id(); }).get(),
              std::this_thread::get_id());
  }
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"posted", "posted"}));
}

TEST_P(bounded, drop_oldest_cancels_those_that_wait_longest_and_keeps_the_order) {
  for (const std::size_t capacity : capacities) {
    thread_pool pool(options(capacity, when_full::drop_oldest));
    const pool_watchdog dog(pool);
    std::mutex mutex;
    std::vector<int> order;
    std::vector<future<void>> futures;
    constexpr int tasks = 20;
    {
      const held_pool busy(pool);
      for (int i = 0; i < tasks; ++i) {
        futures.push_back(pool.submit([&, i, c = counted()] {
          const std::lock_guard lock(mutex);
          order.push_back(i);
        }));
        const auto waiting = std::min(futures.size(), capacity);
        EXPECT_EQ(counted::alive, static_cast<int>(waiting));
        for (std::size_t k = 0; k < futures.size(); ++k) {
          EXPECT_EQ(futures[k].ready(), k + waiting < futures.size()) << k << " of " << i;
        }
      }
      const auto s = pool.statistics();
      EXPECT_EQ(s.dropped, tasks - capacity);
      EXPECT_EQ(s.submitted, workers() + tasks);
    }
    EXPECT_TRUE(pool.wait_idle());
    ASSERT_EQ(order.size(), capacity);
    for (std::size_t k = 0; k < futures.size(); ++k) {
      if (k + capacity < futures.size()) {
        EXPECT_THROW(futures[k].get(), heddle::cancelled);
      } else {
        futures[k].get();
      }
    }
    if (workers() == 1) {
      std::vector<int> expected(capacity);
      std::iota(expected.begin(), expected.end(), tasks - static_cast<int>(capacity));
      EXPECT_EQ(order, expected);
    }
    EXPECT_EQ(pool.statistics().discarded, tasks - capacity);
  }
}

TEST_P(bounded, drop_oldest_may_find_one_that_was_cancelled_before) {
  thread_pool pool(options(3, when_full::drop_oldest));
  const pool_watchdog dog(pool);
  held_pool busy(pool);
  auto first = pool.submit([] {});
  auto second = pool.submit([] {});
  auto third = pool.submit([] {});
  EXPECT_TRUE(first.cancel());
  auto fourth = pool.submit([] {});
  EXPECT_FALSE(second.ready());
  busy.open();
  EXPECT_THROW(first.get(), heddle::cancelled);
  second.get();
  third.get();
  fourth.get();
}

TEST_P(bounded, drop_oldest_drops_what_was_posted_and_parts_of_bulks) {
  thread_pool pool(options(1, when_full::drop_oldest));
  const pool_watchdog dog(pool);
  std::atomic<unsigned> ran = 0;
  {
    const held_pool busy(pool);
    for (int i = 0; i < 50; ++i) pool.post([&ran, c = counted()] { ++ran; });
    EXPECT_EQ(counted::alive, 1);
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 1U);
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().dropped, 49U);

  ran = 0;
  future<void> bulk;
  {
    const held_pool busy(pool);
    bulk = pool.submit_bulk(10, [&ran, c = counted()](std::size_t) { ++ran; });
    for (int i = 0; i < 20; ++i) pool.post([] {});
  }
  EXPECT_THROW(bulk.get(), heddle::cancelled);
  EXPECT_LT(ran, 10U);
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(counted::alive, 0);
  const auto s = pool.statistics();
  EXPECT_EQ(s.submitted, s.completed);
}

TEST_P(bounded, a_bulk_is_admitted_as_a_whole_while_there_is_room_for_one) {
  for (const when_full overflow : policies) {
    thread_pool pool(options(3, overflow));
    const pool_watchdog dog(pool);
    std::atomic<unsigned> ran = 0;
    future<void> counting;
    std::vector<future<void>> several;
    {
      const held_pool busy(pool);
      pool.post([&ran] { ++ran; });
      pool.post([&ran] { ++ran; });
      counting = pool.submit_bulk(100, [&ran](std::size_t) { ++ran; });
      EXPECT_EQ(ran, 0U);
    }
    counting.get();
    EXPECT_TRUE(pool.wait_idle());
    {
      const held_pool busy(pool);
      several = pool.submit_bulk(std::vector(20, [&ran] { ++ran; }));
      EXPECT_EQ(ran, 102U);
    }
    for (auto& f : several) f.get();
    EXPECT_EQ(ran, 122U);
    EXPECT_EQ(pool.statistics().dropped, 0U);
    EXPECT_EQ(pool.statistics().ran_in_caller, 0U);
  }
}

// Ten tasks above a capacity of one are nine too many.
TEST_P(bounded, what_its_workers_submit_is_accepted_and_counted) {
  for (const when_full overflow : policies) {
    thread_pool pool(options(1, overflow));
    const pool_watchdog dog(pool);
    std::atomic<unsigned> ran = 0;
    std::vector<future<void>> futures;
    auto busy = std::make_shared<gate>();
    for (unsigned i = 1; i < workers(); ++i) {
      pool.post([busy] { busy->pass(); });
      busy->await_arrivals(i);
    }
    pool.submit([&] {
          const auto self = std::this_thread::get_id();
          for (int i = 0; i < 10; ++i) {
            futures.push_back(pool.submit([&ran] { ++ran; }));
          }
          EXPECT_EQ(ran, 0U);  // not in place
          EXPECT_EQ(self, std::this_thread::get_id());
          EXPECT_EQ(pool.statistics().over_capacity, 9U);
        })
        .get();
    busy->open();
    for (auto& f : futures) f.get();
    EXPECT_EQ(ran, 10U);
    const auto s = pool.statistics();
    EXPECT_EQ(s.refused + s.ran_in_caller + s.dropped, 0U);
  }
}

TEST_P(bounded, what_another_pools_workers_submit_is_accepted_and_counted) {
  for (const when_full overflow : policies) {
    thread_pool first(pool_test::options());
    thread_pool second(options(1, overflow));
    const pool_watchdog dog(second);
    std::atomic<unsigned> ran = 0;
    std::vector<future<void>> futures;
    {
      const held_pool busy(second);
      first
          .submit([&] {
            for (int i = 0; i < 5; ++i) {
              futures.push_back(second.submit([&ran] { ++ran; }));
              second.post([&ran] { ++ran; });
            }
          })
          .get();
      EXPECT_EQ(ran, 0U);
      EXPECT_EQ(second.statistics().over_capacity, 9U);
    }
    for (auto& f : futures) f.get();
    EXPECT_TRUE(second.wait_idle());
    EXPECT_EQ(ran, 10U);
    const auto s = second.statistics();
    EXPECT_EQ(s.refused + s.ran_in_caller + s.dropped, 0U);
  }
}

TEST_P(bounded, continuations_are_accepted_and_counted) {
  for (const when_full overflow : policies) {
    thread_pool pool(options(1, overflow));
    const pool_watchdog dog(pool);
    std::vector<future<int>> chains;
    heddle::promise<int> p;
    auto shared = p.get_future().share();
    {
      const held_pool busy(pool);
      for (int i = 0; i < 6; ++i) {
        chains.push_back(shared.then(pool.executor(), [i](int v) { return v + i; }));
      }
      p.set_value(10);
      EXPECT_EQ(pool.statistics().over_capacity, 5U);
    }
    for (int i = 0; i < 6; ++i) EXPECT_EQ(chains[static_cast<std::size_t>(i)].get(), 10 + i);
    const auto s = pool.statistics();
    EXPECT_EQ(s.refused + s.ran_in_caller + s.dropped, 0U);
  }
}

// Each of two small pools overfills the other.
TEST_P(bounded, pools_that_feed_each_other_do_not_deadlock) {
  for (const when_full overflow : policies) {
    std::atomic<unsigned> ran = 0;
    {
      std::optional<thread_pool> first(std::in_place, options(1, overflow));
      std::optional<thread_pool> second(std::in_place, options(1, overflow));
      const pool_watchdog dog(*first);
      struct ball {
        thread_pool& to;
        thread_pool& back;
        std::atomic<unsigned>& ran;
        unsigned left;
        void operator()() const {
          ++ran;
          if (left == 0) return;
          to.post(ball{back, to, ran, left - 1});
          to.submit(ball{back, to, ran, left - 1}).get();
        }
      };
      first->submit(ball{*second, *first, ran, 7}).get();
      while (first->statistics().completed != first->statistics().submitted ||
             second->statistics().completed != second->statistics().submitted || ran != 255U) {
        std::this_thread::sleep_for(1ms);
      }
    }
    EXPECT_EQ(ran, 255U);
  }
}

TEST_P(bounded, nested_waits_work_as_ever) {
  for (const when_full overflow : policies) {
    thread_pool pool(options(1, overflow));
    const pool_watchdog dog(pool);
    const std::function<int(int)> fib = [&](int n) -> int {
      if (n < 2) return n;
      auto a = pool.submit(fib, n - 1);
      auto b = pool.submit(fib, n - 2);
      return a.get() + b.get();
    };
    EXPECT_EQ(pool.submit(fib, 12).get(), 144);
  }
}

TEST_P(bounded, map_and_run_all_go_through_a_small_queue) {
  for (const auto overflow : {when_full::block, when_full::run_in_caller}) {
    thread_pool pool(options(1, overflow));
    const pool_watchdog dog(pool);
    std::vector<int> numbers(300);
    std::iota(numbers.begin(), numbers.end(), 0);
    int next = 0;
    for (const int v : pool.map([](int n) { return 2 * n; }, numbers)) EXPECT_EQ(v, 2 * next++);
    EXPECT_EQ(next, 300);
    const auto report = pool.run_all(std::vector(100, [] { return 1; }));
    EXPECT_EQ(report.done, 100U);
  }
}

TEST_P(bounded, run_all_that_is_rejected_gives_up_what_it_submitted) {
  thread_pool pool(options(2, when_full::reject));
  const pool_watchdog dog(pool);
  std::atomic<unsigned> ran = 0;
  {
    const held_pool busy(pool);
    EXPECT_THROW(static_cast<void>(pool.run_all(std::vector(5, [&ran, c = counted()] { ++ran; }))),
                 heddle::rejected);
    EXPECT_EQ(counted::alive, 0);
  }
  EXPECT_TRUE(pool.wait_idle());
  EXPECT_EQ(ran, 0U);
}

// Every task is accepted and runs, or is accepted and dropped, or is refused: nothing in between.
TEST_P(bounded, load_from_several_threads_adds_up) {
  for (const when_full overflow : policies) {
    for (const std::size_t capacity : capacities) {
      thread_pool pool(options(capacity, overflow));
      const pool_watchdog dog(pool);
      std::atomic<std::uint64_t> ran = 0;
      std::atomic<std::uint64_t> sum = 0;
      std::atomic<std::uint64_t> refused = 0;
      std::atomic<std::uint64_t> cancelled = 0;
      std::atomic<std::uint64_t> missing = 0;  // values of tasks that did not run
      constexpr std::uint64_t each = 400;
      run_together(3, [&](unsigned p) {
        std::vector<std::pair<std::uint64_t, future<void>>> futures;
        for (std::uint64_t i = 0; i < each; ++i) {
          const std::uint64_t value = p * each + i;
          try {
            futures.emplace_back(value, pool.submit([&ran, &sum, value, c = counted()] {
              ++ran;
              sum += value;
            }));
          } catch (const heddle::rejected&) {
            ++refused;
            missing += value;
          }
        }
        for (auto& [value, f] : futures) {
          try {
            f.get();
          } catch (const heddle::cancelled&) {
            ++cancelled;
            missing += value;
          }
        }
      });
      EXPECT_TRUE(pool.wait_idle());
      EXPECT_EQ(counted::alive, 0);
      EXPECT_EQ(ran + refused + cancelled, 3 * each);
      EXPECT_EQ(sum + missing, 3 * each * (3 * each - 1) / 2);
      const auto s = pool.statistics();
      EXPECT_EQ(s.refused, refused);
      EXPECT_EQ(s.dropped, cancelled);
      EXPECT_EQ(s.discarded, cancelled);
      EXPECT_EQ(s.submitted, s.completed);
      if (overflow != when_full::drop_oldest) {
        EXPECT_EQ(cancelled, 0U);
      }
      if (overflow != when_full::reject) {
        EXPECT_EQ(refused, 0U);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(pools, bounded, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
