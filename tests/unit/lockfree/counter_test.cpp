#include <heddle/lockfree/counter.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/child_process.hpp"
#include "support/failing_allocations.hpp"
#include "support/thread_exit.hpp"
#include "support/threads.hpp"

namespace {

using heddle::counter;
using heddle::gauge;

TEST(counter, returns_what_the_thread_has_counted) {
  counter c;
  EXPECT_EQ(c.mine(), 0U);
  EXPECT_EQ(c.total(), 0U);
  EXPECT_EQ(c.add(), 1U);
  EXPECT_EQ(++c, 2U);
  EXPECT_EQ(c.add(40), 42U);
  EXPECT_EQ(c.add(0), 42U);
  EXPECT_EQ(c.mine(), 42U);
  EXPECT_EQ(c.total(), 42U);
}

TEST(counter, threads_count_for_themselves_and_the_total_has_all) {
  counter c;
  c.add(5);
  heddle_test::run_together(8, [&](unsigned i) {
    for (unsigned k = 1; k <= i; ++k) EXPECT_EQ(c.add(), k);
    EXPECT_EQ(c.mine(), i);
  });
  EXPECT_EQ(c.mine(), 5U);
  EXPECT_EQ(c.total(), 5U + 28U);
}

TEST(counter, what_ended_threads_counted_stays_and_is_nobody_elses_own) {
  counter c;
  for (unsigned i = 1; i <= 10; ++i) {
    std::thread([&] {
      EXPECT_EQ(c.mine(), 0U);
      EXPECT_EQ(c.add(i), i);
      EXPECT_EQ(c.mine(), i);
    }).join();
  }
  EXPECT_EQ(c.mine(), 0U);
  EXPECT_EQ(c.total(), 55U);
}

TEST(counter, counts_modulo_two_to_the_64) {
  counter c;
  c.add(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(c.add(3), 2U);
  std::thread([&] { c.add(std::numeric_limits<std::uint64_t>::max()); }).join();
  EXPECT_EQ(c.total(), 1U);
}

TEST(gauge, goes_up_on_one_thread_and_down_on_another) {
  gauge g;
  EXPECT_EQ(g.add(10), 10);
  EXPECT_EQ(++g, 11);
  std::thread([&] {
    EXPECT_EQ(--g, -1);
    EXPECT_EQ(g.subtract(4), -5);
    EXPECT_EQ(g.add(-2), -7);
    EXPECT_EQ(g.mine(), -7);
  }).join();
  EXPECT_EQ(g.mine(), 11);
  EXPECT_EQ(g.total(), 4);
}

TEST(gauge, counts_modulo_two_to_the_64) {
  gauge g;
  g.add(std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(++g, std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(g.subtract(std::numeric_limits<std::int64_t>::min()), 0);
  EXPECT_EQ(g.total(), 0);
}

TEST(counter, counts_in_the_destructors_of_thread_locals) {
  counter c;
  for (int i = 0; i < 10; ++i) {
    std::thread([&] { heddle_test::thread_exit::call([&c] { c.add(2); }); }).join();
  }
  EXPECT_EQ(c.total(), 20U);
}

TEST(counter, instances_are_apart_also_when_one_follows_another) {
  for (unsigned i = 1; i <= 20; ++i) {
    counter a;
    auto b = std::make_unique<counter>();
    EXPECT_EQ(a.add(i), i);
    EXPECT_EQ(b->add(1), 1U);
    b.reset();
    counter d;
    EXPECT_EQ(d.mine(), 0U);
    EXPECT_EQ(d.add(), 1U);
    EXPECT_EQ(a.total(), i);
  }
}

TEST(counter, loses_nothing_where_there_is_no_memory) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  counter c;
  std::uint64_t expected = 0;
  for (long successes = 0; successes < 6; ++successes) {
    std::thread([&] {
      {
        const heddle_test::failing_allocations limited(successes);
        const std::uint64_t own = c.add(3);
        EXPECT_TRUE(own == 0 || own == 3) << own;
        EXPECT_EQ(c.mine(), own);
      }
      const std::uint64_t before = c.mine();
      EXPECT_EQ(c.add(4), before + 4);
    }).join();
    expected += 7;
    EXPECT_EQ(c.total(), expected);
  }
}

// What is counted in one counter first and in another one then.
TEST(counter, of_two_the_later_is_never_ahead) {
  counter begun;
  counter done;
  std::thread worker([&] {
    for (int i = 0; i < 20'000; ++i) {
      begun.add();
      done.add();
    }
  });
  for (bool over = false; !over;) {
    const std::uint64_t ends = done.total();
    const std::uint64_t beginnings = begun.total();
    EXPECT_LE(ends, beginnings);
    over = ends == 20'000;
  }
  worker.join();
}

// The thread's memory is looked up anew behind each suspension: g++ and clang see to it.
heddle::coro::task<void> counts_here_and_there(counter& c, heddle::thread_pool& a,
                                               heddle::thread_pool& b) {
  for (int i = 0; i < 200; ++i) {
    c.add();
    co_await heddle::coro::schedule_on(a);
    c.add();
    c.add();
    co_await heddle::coro::schedule_on(b);
    c.add();
  }
}

TEST(counter, a_coroutine_counts_where_it_is) {
  counter c;
  heddle::thread_pool a(1);
  heddle::thread_pool b(1);
  heddle_test::run_together(2, [&](unsigned) {
    heddle::coro::sync_wait(counts_here_and_there(c, a, b));
    EXPECT_EQ(c.mine(), 1U);
  });
  EXPECT_EQ(c.total(), 1600U);
  EXPECT_EQ(a.submit([&] { return c.mine(); }).get(), 800U);
  EXPECT_EQ(b.submit([&] { return c.mine(); }).get(), 798U);
}

TEST(counter, a_forked_child_goes_on_from_what_all_threads_have_counted) {
  counter c;
  c.add(1);
  std::thread([&] { c.add(2); }).join();
  EXPECT_TRUE(heddle_test::holds_in_child(
      [&] { return c.total() == 3 && c.add(4) == 5 && c.total() == 7; }));
  EXPECT_EQ(c.total(), 3U);
}

}  // namespace
