// Fork-join under races: trees of every shape, failures anywhere, waits and other pools in the
// leaves, pools that end meanwhile.
#include <heddle/algorithm/parallel_invoke.hpp>
#include <heddle/exec/task_group.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/prim/seed.hpp>

#include "support/pools.hpp"

namespace {

using heddle::parallel_invoke;
using heddle::task_group;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::pool_watchdog;
using heddle_test::run_together;
using heddle_test::unhandled_log;
using namespace std::chrono_literals;

class fork_join_stress : public heddle_test::pool_test {};

// A tree whose shape follows from its seed, so that each node knows how much is below it.
struct grown_tree {
  std::uint64_t seed;
  int depth;

  std::uint64_t digest(std::uint64_t salt) const noexcept {
    std::uint64_t x = seed * 0x9e3779b97f4a7c15u + salt;  // splitmix64, Vigna
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  bool is_leaf() const noexcept { return depth == 0 || digest(1) % 8 == 0; }
  // The left side is as deep as can be, the right one anything.
  grown_tree left() const noexcept { return {digest(2), depth - 1}; }
  grown_tree right() const noexcept {
    return {digest(3), static_cast<int>(digest(4) % static_cast<unsigned>(depth))};
  }
  int size() const { return is_leaf() ? 1 : 1 + left().size() + right().size(); }
};

void pass_time(const grown_tree& t) {
  switch (t.digest(5) % 64) {
    case 0:
      std::this_thread::sleep_for(std::chrono::microseconds(t.digest(6) % 100));
      break;
    case 1:
      std::this_thread::yield();
      break;
    default:
      break;
  }
}

int visit_by_invoke(const grown_tree& t) {
  pass_time(t);
  if (t.is_leaf()) return 1;
  int below[2] = {};
  parallel_invoke([&] { below[0] = visit_by_invoke(t.left()); },
                  [&] { below[1] = visit_by_invoke(t.right()); });
  return 1 + below[0] + below[1];
}

int visit_by_group(const grown_tree& t) {
  pass_time(t);
  if (t.is_leaf()) return 1;
  int below[2] = {};
  task_group group;
  group.run([&] { below[0] = visit_by_group(t.left()); });
  if (t.digest(7) % 2 == 0) {
    group.run([&] { below[1] = visit_by_invoke(t.right()); });
  } else {
    below[1] = visit_by_group(t.right());
  }
  group.wait();
  return 1 + below[0] + below[1];
}

TEST_P(fork_join_stress, trees_of_any_shape) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  run_together(2, [&](unsigned who) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int round = 0; round < 40; ++round) {
      const grown_tree t{dice.below(1u << 30), 14};
      const int expected = t.size();
      const int visited =
          pool.submit([&] { return who == 0 ? visit_by_invoke(t) : visit_by_group(t); }).get();
      ASSERT_EQ(visited, expected) << "seed " << t.seed;
    }
  });
  EXPECT_TRUE(pool.wait_idle());
  const auto s = pool.statistics();
  EXPECT_EQ(s.completed, s.submitted);
}

struct node_failed {};

// Whatever is thrown, no callable is alive behind a join.
void fail_somewhere(const grown_tree& t, std::atomic<int>& running) {
  struct presence {
    std::atomic<int>& count;
    explicit presence(std::atomic<int>& c) : count(c) { ++count; }
    ~presence() { --count; }
  } const here(running);
  pass_time(t);
  if (t.digest(8) % 23 == 0) throw node_failed();
  if (t.is_leaf()) return;
  if (t.digest(9) % 2 == 0) {
    parallel_invoke([&] { fail_somewhere(t.left(), running); },
                    [&] { fail_somewhere(t.right(), running); });
  } else {
    task_group group;
    group.run([&] { fail_somewhere(t.left(), running); });
    group.run([&] { fail_somewhere(t.right(), running); });
    if (t.digest(10) % 8 != 0) group.wait();
  }
}

TEST_P(fork_join_stress, failures_anywhere) {
  const unhandled_log log;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  heddle::prim::random dice(heddle::prim::next_seed());
  int failed = 0;
  for (int round = 0; round < 1'000; ++round) {
    const grown_tree t{dice.below(1u << 30), 8};
    std::atomic<int> running = 0;
    try {
      parallel_invoke(pool, [&] { fail_somewhere(t, running); });
    } catch (const node_failed&) {
      ++failed;
    }
    ASSERT_EQ(running, 0) << "seed " << t.seed;
  }
  EXPECT_GT(failed, 0);
}

// Leaves that wait: for tasks of this pool and of another one, which forks in its turn.
TEST_P(fork_join_stress, leaves_that_wait) {
  thread_pool pool(options());
  thread_pool other(1);
  const pool_watchdog dog(pool);
  std::function<int(int)> descend = [&](int depth) -> int {
    if (depth == 0) {
      int sum = pool.submit([] { return 1; }).get();
      parallel_invoke(other, [&] { sum += other.submit([] { return 1; }).get(); }, [] {});
      return sum;
    }
    int below[2] = {};
    parallel_invoke([&] { below[0] = descend(depth - 1); }, [&] { below[1] = descend(depth - 1); });
    return below[0] + below[1];
  };
  for (int round = 0; round < 5; ++round) {
    EXPECT_EQ(pool.submit([&] { return descend(5); }).get(), 64);
  }
}

TEST_P(fork_join_stress, shut_down_while_it_forks) {
  heddle::prim::random dice(heddle::prim::next_seed());
  for (int round = 0; round < 100; ++round) {
    auto pool = std::make_unique<thread_pool>(options());
    const pool_watchdog dog(*pool);
    const grown_tree t{dice.below(1u << 30), 10};
    const int expected = t.size();
    auto result = pool->submit([&] { return visit_by_invoke(t); });
    auto grouped = pool->submit([&] { return visit_by_group(t); });
    std::this_thread::sleep_for(std::chrono::microseconds(dice.below(300)));
    const bool cancels = dice.below(2) == 0;
    if (cancels) pool->shutdown(heddle::shutdown_mode::cancel);
    pool.reset();
    try {
      ASSERT_EQ(result.get(), expected) << "what has begun ends whole";
    } catch (const heddle::cancelled&) {
      ASSERT_TRUE(cancels);
    }
    try {
      ASSERT_EQ(grouped.get(), expected);
    } catch (const heddle::cancelled&) {
      ASSERT_TRUE(cancels);
    }
  }
}

// Tasks are added, run, waited for and cancelled from all sides.
TEST_P(fork_join_stress, a_group_cancelled_while_it_grows) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const int alive = counted::alive;
  heddle::prim::random dice(heddle::prim::next_seed());
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> begun = 0;
    {
      task_group group(pool);
      const auto cancel_at = static_cast<int>(dice.below(200));
      std::function<void(int)> grow = [&](int depth) {
        if (++begun == cancel_at) group.cancel();
        if (depth == 0) return;
        for (int i = 0; i < 2; ++i) {
          group.run([&, depth, c = counted()](const std::stop_token& stop) {
            if (!stop.stop_requested()) grow(depth - 1);
          });
        }
      };
      run_together(2, [&](unsigned) {
        group.run([&] { grow(5); });
        group.wait();
      });
    }
    ASSERT_EQ(counted::alive, alive);
    ASSERT_LE(begun, 126);
  }
}

// Short groups, the wait of which ends at the very moment at which the last task does.
TEST_P(fork_join_stress, groups_that_die_at_once) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  run_together(3, [&](unsigned) {
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int round = 0; round < 4'000; ++round) {
      std::atomic<unsigned> ran = 0;  // outlives the group, which may die with tasks under way
      const auto group = std::make_unique<task_group>(pool);
      const unsigned tasks = dice.below(4);
      for (unsigned i = 0; i < tasks; ++i) group->run([&ran] { ++ran; });
      if (dice.below(8) == 0) continue;  // dies unwaited
      group->wait();
      ASSERT_EQ(ran, tasks);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(pools, fork_join_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
