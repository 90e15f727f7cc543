#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/pools.hpp"

namespace {

using heddle::inline_executor;
using heddle::manual_executor;
using heddle::strand;
using heddle::thread_pool;
using heddle_test::eventually;
using heddle_test::gate;

static_assert(heddle::executor<strand>);
static_assert(std::is_copy_constructible_v<strand>);

class strand_on_pools : public heddle_test::pool_test {};
INSTANTIATE_TEST_SUITE_P(shapes, strand_on_pools, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

TEST_P(strand_on_pools, one_at_a_time_in_the_order_of_posting) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  const strand one(pool);
  // Neither atomic nor locked: the strand is what orders the accesses.
  std::vector<int> order;
  std::atomic<int> inside{0};
  constexpr int count = 5000;
  for (int i = 0; i < count; ++i) {
    one.post([&, i] {
      EXPECT_EQ(++inside, 1);
      order.push_back(i);
      --inside;
    });
  }
  one.submit([] {}).get();
  ASSERT_EQ(order.size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_P(strand_on_pools, a_posters_jobs_keep_their_order) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  const strand one(pool);
  constexpr unsigned posters = 4;
  constexpr int each = 1000;
  std::vector<int> next(posters, 0);
  heddle_test::run_together(posters, [&](unsigned p) {
    for (int i = 0; i < each; ++i) {
      one.post([&next, p, i] { EXPECT_EQ(next[p]++, i); });
    }
  });
  one.submit([] {}).get();
  EXPECT_EQ(next, std::vector<int>(posters, each));
}

TEST_P(strand_on_pools, jobs_run_even_when_every_handle_is_gone) {
  int runs = 0;
  {
    thread_pool pool(options());
    {
      const strand one(pool);
      for (int i = 0; i < 1000; ++i) {
        one.post([&, here = one.executor()] {
          ++runs;
          heddle::post(here, [&] { ++runs; });
        });
      }
    }
  }
  EXPECT_EQ(runs, 2000);
}

TEST_P(strand_on_pools, waiting_on_a_worker_for_a_strands_job_gets_a_spare) {
  thread_pool pool(options());
  const heddle_test::pool_watchdog dog(pool);
  const strand one(pool);
  std::vector<heddle::future<int>> futures;
  for (unsigned i = 0; i < 4 * workers(); ++i) {
    futures.push_back(pool.submit([&] { return one.submit([] { return 1; }).get(); }));
  }
  for (auto& f : futures) EXPECT_EQ(f.get(), 1);
}

TEST(strand_test, is_posted_below_once_for_a_batch_and_runs_where_that_runs) {
  manual_executor below;
  const strand one(below);
  std::string order;
  one.post([&] { order += 'a'; });
  one.post([&] { order += 'b'; });
  EXPECT_EQ(below.pending(), 1U);
  EXPECT_EQ(below.drain(), 1U);
  EXPECT_EQ(order, "ab");
  one.post([&] { order += 'c'; });
  EXPECT_EQ(below.drain(), 1U);
  EXPECT_EQ(order, "abc");
}

TEST(strand_test, does_not_keep_the_executor_from_others) {
  manual_executor below;
  const strand one(below);
  int runs = 0;
  std::function<void()> again = [&] {
    if (++runs < 1000) one.post(std::ref(again));
  };
  one.post(std::ref(again));
  int seen_by_other = 0;
  below.post([&] { seen_by_other = runs; });
  below.drain();
  EXPECT_EQ(runs, 1000);
  EXPECT_EQ(seen_by_other, 32) << "the other one had its turn after 32 of the strand's";
}

TEST(strand_test, takes_no_turn_for_nothing) {
  manual_executor below;
  const strand one(below);
  for (int i = 0; i < 32; ++i) one.post([] {});
  EXPECT_EQ(below.drain(), 1U);
}

TEST(strand_test, tells_whether_this_thread_is_inside) {
  manual_executor below;
  const strand one(below);
  const strand other(below);
  EXPECT_FALSE(one.running_in_this_thread());
  bool checked = false;
  one.post([&] {
    EXPECT_TRUE(one.running_in_this_thread());
    EXPECT_FALSE(other.running_in_this_thread());
    std::thread([&] { EXPECT_FALSE(one.running_in_this_thread()); }).join();
    other.post([&] {
      EXPECT_TRUE(one.running_in_this_thread()) << "nested";
      EXPECT_TRUE(other.running_in_this_thread());
      checked = true;
    });
    below.drain();
    EXPECT_FALSE(other.running_in_this_thread());
  });
  below.drain();
  EXPECT_TRUE(checked);
  EXPECT_FALSE(one.running_in_this_thread());
}

TEST(strand_test, post_from_inside_is_queued_and_dispatch_runs_at_once) {
  manual_executor below;
  const strand one(below);
  std::string order;
  one.dispatch([&] {
    one.post([&] { order += 'c'; });
    one.dispatch([&] { order += 'a'; });
    order += 'b';
  });
  EXPECT_EQ(order, "") << "dispatch from outside posts";
  below.drain();
  EXPECT_EQ(order, "abc");
}

TEST(strand_test, exceptions_go_where_they_can_be_seen) {
  const heddle_test::unhandled_log unhandled;
  manual_executor below;
  const strand one(below);
  auto f = one.submit([] { throw std::runtime_error("read"); });
  one.post([] { throw std::runtime_error("posted"); });
  one.post([&] {
    one.dispatch([] { throw std::runtime_error("dispatched"); });
    one.dispatch([] {});
  });
  below.drain();
  EXPECT_THROW(f.get(), std::runtime_error);
  EXPECT_EQ(unhandled.sorted(), (std::vector<std::string>{"dispatched", "posted"}));
}

TEST(strand_test, is_discarded_with_the_executor_below) {
  const auto held = std::make_shared<int>();
  std::optional<manual_executor> below(std::in_place);
  const strand one(*below);
  auto first = one.submit([held] {});
  // What a discarded job's continuation posts is discarded as well.
  auto second = one.submit([held] {}).then(one.executor(), [held](heddle::future<void>) {});
  below->close();
  EXPECT_THROW(first.get(), heddle::cancelled);
  EXPECT_THROW(second.get(), heddle::cancelled);
  auto late = one.submit([held] {});
  EXPECT_THROW(late.get(), heddle::cancelled);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(strand_test, a_closed_executor_below_discards_the_rest_of_a_long_run) {
  manual_executor below;
  std::vector<heddle::future<void>> futures;
  int runs = 0;
  {
    const strand one(below);
    for (int i = 0; i < 100; ++i) {
      futures.push_back(one.submit([&] {
        if (++runs == 5) below.close();
      }));
    }
  }
  below.drain();
  EXPECT_EQ(runs, 32) << "the turn that had begun is finished";
  int cancelled = 0;
  for (auto& f : futures) {
    ASSERT_TRUE(f.ready());
    if (f.failed()) ++cancelled;
  }
  EXPECT_EQ(cancelled, 68);
}

TEST(strand_test, cancelled_work_does_not_run) {
  manual_executor below;
  const strand one(below);
  auto f = one.submit([] { ADD_FAILURE(); });
  EXPECT_TRUE(f.cancel());
  EXPECT_EQ(one.submit([] { return 1; }).valid(), true);
  below.drain();
  EXPECT_THROW(f.get(), heddle::cancelled);
}

TEST(strand_test, works_over_an_executor_that_runs_at_once) {
  const strand one{inline_executor()};
  std::string order;
  one.post([&] {
    one.post([&] { order += 'b'; });
    order += 'a';
  });
  EXPECT_EQ(order, "ab");
  int left = 100'000;
  std::function<void()> step = [&] {
    if (--left > 0) one.post(std::ref(step));
  };
  one.post(std::ref(step));
  EXPECT_EQ(left, 0);
}

TEST(strand_test, works_over_a_strand) {
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  const strand outer(pool);
  const strand first(outer.executor());
  const strand second(outer.executor());
  int shared = 0;  // guarded by the outer one
  for (int i = 0; i < 500; ++i) {
    first.post([&] { ++shared; });
    second.post([&] { ++shared; });
  }
  first.submit([] {}).get();
  second.submit([] {}).get();
  outer.submit([] {}).get();
  EXPECT_EQ(shared, 1000);
}

TEST(strand_test, copies_are_the_same_strand) {
  manual_executor below;
  strand one(below);
  const strand same = one;
  strand other(below);
  EXPECT_EQ(one, same);
  EXPECT_NE(one, other);
  EXPECT_EQ(one.executor(), same.executor());
  other = one;
  EXPECT_EQ(other, same);
  const strand& itself = other;
  other = itself;
  EXPECT_EQ(other, same);
}

TEST(strand_test, bad_arguments_are_refused) {
  EXPECT_THROW(strand(heddle::executor_ref{}), std::invalid_argument);
  manual_executor below;
  const strand one(below);
  EXPECT_THROW(one.post(std::function<void()>()), std::invalid_argument);
  EXPECT_THROW((void)one.submit(static_cast<void (*)()>(nullptr)), std::invalid_argument);
  one.post([&] { EXPECT_THROW(one.dispatch(std::function<void()>()), std::invalid_argument); });
  EXPECT_EQ(below.drain(), 1U);
}

TEST(strand_test, many_strands_share_a_pool) {
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  constexpr std::size_t strands = 200;
  std::vector<strand> all;
  std::vector<int> counters(strands, 0);
  for (std::size_t i = 0; i < strands; ++i) all.emplace_back(pool);
  for (int round = 0; round < 50; ++round) {
    for (std::size_t i = 0; i < strands; ++i) all[i].post([&counters, i] { ++counters[i]; });
  }
  for (auto& s : all) s.submit([] {}).get();
  EXPECT_EQ(counters, std::vector<int>(strands, 50));
}

}  // namespace
