// Functions of the user's that throw in the middle of a cache's calls: nothing has changed, nobody
// hangs, and nothing leaks.
#include <heddle/data/cache.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <heddle/base/errors.hpp>
#include <heddle/data/thread_cache.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/threads.hpp"

namespace cache_failures {

struct number {
  int n = 0;
};
struct number_hash {
  std::size_t operator()(const number& k) const { return static_cast<std::size_t>(k.n / 10); }
};
// Keys of the same ten share a hash; a comparison throws while its thread wants that.
inline thread_local bool comparing_fails = false;
struct failing_equal {
  bool operator()(const number& a, const number& b) const {
    if (comparing_fails) throw std::domain_error("equal");
    return a.n == b.n;
  }
};

// A thread's comparisons throw, for a scope.
struct comparisons_fail {
  comparisons_fail() { comparing_fails = true; }
  ~comparisons_fail() { comparing_fails = false; }
  comparisons_fail(const comparisons_fail&) = delete;
  comparisons_fail& operator=(const comparisons_fail&) = delete;
};

// Counts its instances, and throws when it is moved or copied for the n-th time from now.
struct restless {
  explicit restless(int n) : value(n) { ++alive; }
  restless(const restless& other) : value(other.value) { arrive(); }
  restless(restless&& other) : value(other.value) { arrive(); }
  restless& operator=(const restless&) = default;
  ~restless() { --alive; }
  bool operator==(const restless& other) const { return value == other.value; }

  int value;
  static inline int alive = 0;
  static inline int steps_left = 0;

 private:
  static void arrive() {
    if (steps_left > 0 && --steps_left == 0) throw std::domain_error("move");
    ++alive;
  }
};
struct restless_hash {
  std::size_t operator()(const restless& r) const { return static_cast<std::size_t>(r.value); }
};

}  // namespace cache_failures

template <>
inline constexpr bool
    heddle::compares_own_bytes<cache_failures::number, cache_failures::failing_equal> = true;

namespace {

using namespace std::chrono_literals;
using cache_failures::comparisons_fail;
using cache_failures::number;
using cache_failures::restless;
using heddle::cache;

template <class C>
void await_that_many_wait(const C& c, std::uint64_t count) {
  while (c.statistics().waits < count) std::this_thread::sleep_for(100us);
}

// For a value that is looked at without the lock, and one that is not.
template <class V>
void comparisons_that_fail_change_nothing(const V& one, const V& two) {
  cache<number, V, cache_failures::number_hash, cache_failures::failing_equal> c(100);
  c.put({1}, one);
  {
    const comparisons_fail now;
    EXPECT_THROW(c.get({1}), std::domain_error);
    EXPECT_THROW(c.get({2}), std::domain_error);
    EXPECT_THROW(c.put({1}, two), std::domain_error);
    EXPECT_THROW(c.put({2}, two), std::domain_error);
    EXPECT_THROW(c.erase({1}), std::domain_error);
    EXPECT_THROW(c.contains({1}), std::domain_error);
    EXPECT_THROW(c.get_or_compute({1}, [&] { return two; }), std::domain_error);
    EXPECT_THROW(c.get_or_compute({2}, [&] { return two; }), std::domain_error);
    EXPECT_FALSE(c.get({11}).has_value()) << "nothing to compare it with";
  }
  EXPECT_EQ(c.size(), 1U);
  EXPECT_EQ(c.get({1}), one);
  EXPECT_EQ(c.get_or_compute({2}, [&] { return two; }), two);
}

TEST(cache_failure, an_equal_that_throws_changes_nothing) {
  comparisons_that_fail_change_nothing<int>(1, 2);
  comparisons_that_fail_change_nothing<std::string>("one", "two");
}

TEST(cache_failure, an_equal_that_throws_about_a_computation_harms_nobody_else) {
  const heddle_test::watchdog dog;
  cache<number, int, cache_failures::number_hash, cache_failures::failing_equal> c(100);
  std::thread waiter;
  const int v = c.get_or_compute({1}, [&] {
    waiter = std::thread([&] { EXPECT_EQ(c.get_or_compute({1}, [] { return 9; }), 5); });
    await_that_many_wait(c, 1);
    std::thread([&] {
      const comparisons_fail now;
      EXPECT_THROW(c.get_or_compute({1}, [] { return 9; }), std::domain_error);
      EXPECT_THROW(c.put({1}, 9), std::domain_error);
      EXPECT_THROW(c.erase({1}), std::domain_error);
    }).join();
    return 5;
  });
  EXPECT_EQ(v, 5);
  waiter.join();
  EXPECT_EQ(c.get({1}), 5) << "nobody has dropped it";

  // When its result is kept: it belongs to nobody then.
  c.put({12}, 12);
  EXPECT_THROW(c.get_or_compute({11},
                                [&] {
                                  waiter = std::thread([&] {
                                    EXPECT_THROW(c.get_or_compute({11}, [] { return 9; }),
                                                 std::domain_error);
                                  });
                                  await_that_many_wait(c, 2);
                                  cache_failures::comparing_fails = true;
                                  return 5;
                                }),
               std::domain_error);
  cache_failures::comparing_fails = false;
  waiter.join();
  EXPECT_FALSE(c.contains({11}));
  EXPECT_EQ(c.get_or_compute({11}, [] { return 6; }), 6);
}

// The n-th move or copy of f throws, for each n until the key has its new value.
template <class C>
void moves_that_fail_change_nothing(C& c, const std::function<void()>& f, int key,
                                    std::optional<int> before, int after) {
  const auto value_of = [&] {
    const std::optional<restless> v = c.get(restless(key));
    return v ? std::optional(v->value) : std::nullopt;
  };
  const std::size_t size = c.size();
  int thrown = 0;
  for (int n = 1; value_of() != after; ++n) {
    ASSERT_LT(n, 100);
    restless::steps_left = n;
    try {
      f();
      restless::steps_left = 0;
      EXPECT_EQ(value_of(), after);
    } catch (const std::domain_error&) {
      ++thrown;
      if (value_of() != after) {  // else the copy that is the call's result has thrown
        EXPECT_EQ(value_of(), before);
        EXPECT_EQ(c.size(), size);
      }
    }
    EXPECT_EQ(restless::alive, static_cast<int>(2 * c.size()));
  }
  EXPECT_GE(thrown, 2);
}

template <class C>
void restless_keys_and_values(C& c) {
  using std::nullopt;
  {
    c.put(restless(1), restless(10));
    const restless one(1);
    const restless two(2);
    const restless eleven(11);
    const restless twenty(20);
    restless::alive -= 4;  // those of the test
    moves_that_fail_change_nothing(c, [&] { c.put(two, twenty); }, 2, nullopt, 20);
    moves_that_fail_change_nothing(c, [&] { c.put(one, eleven); }, 1, 10, 11);
    for (int i = 3; i < 20; ++i) {
      moves_that_fail_change_nothing(
          c, [&, i] { c.get_or_compute(restless(i), [i] { return restless(i); }); }, i, nullopt, i);
    }
    restless::alive += 4;
  }
  EXPECT_EQ(restless::alive, static_cast<int>(2 * c.size()));
}

TEST(cache_failure, moves_that_throw_change_nothing) {
  {
    cache<restless, restless, cache_failures::restless_hash> c(100);
    restless_keys_and_values(c);
    cache<restless, restless, cache_failures::restless_hash> small({.capacity = 8});
    for (int i = 0; i < 8; ++i) small.put(restless(i), restless(i));
  }
  EXPECT_EQ(restless::alive, 0);
}

TEST(cache_failure, moves_that_throw_change_nothing_in_a_thread_cache) {
  {
    heddle::thread_cache<restless, restless, cache_failures::restless_hash> c(100);
    restless_keys_and_values(c);
  }
  EXPECT_EQ(restless::alive, 0);
}

TEST(cache_failure, a_weigher_that_throws_tells_those_who_wait) {
  const heddle_test::watchdog dog;
  bool fails = true;
  cache<int, int> c({.capacity = 1000, .weigher = [&](int, int) {
                       if (fails) throw std::domain_error("weigher");
                       return std::int64_t{1};
                     }});
  std::atomic<int> told{0};
  std::vector<std::thread> waiters;
  EXPECT_THROW(c.get_or_compute(1,
                                [&] {
                                  for (int i = 0; i < 2; ++i) {
                                    waiters.emplace_back([&] {
                                      try {
                                        c.get_or_compute(1, [] { return 9; });
                                      } catch (const std::domain_error&) {
                                        ++told;
                                      }
                                    });
                                  }
                                  await_that_many_wait(c, 2);
                                  return 5;
                                }),
               std::domain_error);
  for (std::thread& t : waiters) t.join();
  EXPECT_EQ(told, 2);
  EXPECT_THROW(c.put(1, 1), std::domain_error);
  EXPECT_EQ(c.size(), 0U);
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.loads, 1U);
  EXPECT_EQ(s.load_failures, 0U);
  fails = false;
  EXPECT_EQ(c.get_or_compute(1, [] { return 6; }), 6);
}

// A task is given up while it computes what other workers and a thread of nobody's wait for.
TEST(cache_failure, a_task_that_is_cancelled_leaves_its_computation_to_an_heir) {
  const heddle_test::watchdog dog;
  for (const bool task_is_eldest : {true, false}) {
    cache<int, int> c(100);
    heddle::thread_pool pool(3U);
    std::atomic<bool> computing{false};
    std::atomic<int> computed{0};
    auto leader = pool.submit([&](const std::stop_token& stop) {
      return c.get_or_compute(1, [&]() -> int {
        computing = true;
        while (!stop.stop_requested()) std::this_thread::sleep_for(100us);
        throw heddle::cancelled();
      });
    });
    while (!computing) std::this_thread::sleep_for(100us);
    const auto f = [&] {
      ++computed;
      return 7;
    };
    std::vector<heddle::future<int>> tasks;
    std::thread plain;
    std::uint64_t waiting = 0;
    const auto begin_task = [&] {
      tasks.push_back(pool.submit([&] { return c.get_or_compute(1, f); }));
      await_that_many_wait(c, ++waiting);
    };
    if (task_is_eldest) begin_task();
    plain = std::thread([&] { EXPECT_EQ(c.get_or_compute(1, f), 7); });
    await_that_many_wait(c, ++waiting);
    begin_task();
    begin_task();
    leader.cancel();
    EXPECT_THROW(leader.get(), heddle::cancelled);
    for (auto& task : tasks) EXPECT_EQ(task.get(), 7);
    plain.join();
    EXPECT_EQ(computed, 1);
    EXPECT_EQ(c.get(1), 7);
    EXPECT_EQ(c.statistics().load_failures, 1U);
  }
}

}  // namespace
