// An allocation that fails leaves everything as it was: the n-th of a call, for each n.
#include <heddle/data/cache.hpp>
#include <heddle/data/context.hpp>
#include <heddle/data/memoize.hpp>
#include <heddle/data/snapshot.hpp>
#include <heddle/data/thread_cache.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "support/failing_allocations.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cache;
using heddle::thread_cache;
using heddle_test::failing_allocations;

// Calls f, with its first n allocations successful, for n = 0, 1, ... until it works, and
// unchanged() each time that it throws std::bad_alloc; how often it did.
template <class F, class G>
int failures_until_it_works(F f, G unchanged) {
  for (int n = 0;; ++n) {
    try {
      const failing_allocations limited(n);
      f();
      return n;
    } catch (const std::bad_alloc&) {
      unchanged();
    }
    EXPECT_LT(n, 1000);
  }
}

template <class T>
struct makes_long;
template <>
struct makes_long<int> {
  static int of(int n) { return n; }
};
template <>
struct makes_long<std::string> {
  static std::string of(int n) { return "a text that is on the heap, number " + std::to_string(n); }
};

template <class T>
class short_memory : public testing::Test {
 protected:
  void SetUp() override { SKIP_UNLESS_ALLOCATIONS_FAIL(); }
};
using kinds_in_short_memory = testing::Types<int, std::string>;
TYPED_TEST_SUITE(short_memory, kinds_in_short_memory);

// Puts new keys and old ones: an index that grows, pieces of entries and of what expires and
// weighs, evictions.
template <class C, class T>
void put_many(C& c, std::size_t capacity) {
  using make = makes_long<T>;
  int failures = 0;
  for (int i = 0; i < 300; ++i) {
    const int key = i % 3 == 2 ? i / 2 : i;
    const T k = make::of(key);
    const T v = make::of(i);
    const auto before = c.get(k);
    const std::size_t size = c.size();
    failures += failures_until_it_works([&] { c.put(k, v); },
                                        [&] {
                                          EXPECT_EQ(c.get(k), before);
                                          EXPECT_EQ(c.size(), size);
                                        });
    EXPECT_EQ(c.get(k), v);
    EXPECT_LE(c.size(), capacity);
  }
  EXPECT_GE(failures, 5);
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.inserts, s.entries + s.evicted);
  EXPECT_EQ(s.inserts + s.replaced, 300U);
}

template <class T, class Options>
void put_in_all_ways(std::size_t capacity) {
  const auto with = [&](Options o) {
    o.capacity = capacity;
    return o;
  };
  using C = std::conditional_t<std::is_same_v<Options, typename cache<T, T>::options>, cache<T, T>,
                               thread_cache<T, T>>;
  const long before = heddle_test::live_allocations_but_for_cells();
  {
    C plain(with({}));
    put_many<C, T>(plain, capacity);
    C weighed(with(
        {.expire_after_write = 1h, .weigher = [](const T&, const T&) { return std::int64_t{1}; }}));
    put_many<C, T>(weighed, capacity);
    int told = 0;
    C tells(with({.on_removal = [&](const T&, const T&, heddle::removal_cause) { ++told; }}));
    put_many<C, T>(tells, capacity);
    EXPECT_GT(told, 0);
  }
  EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before);
}

TYPED_TEST(short_memory, a_put_changes_nothing_in_a_cache) {
  cache<int, int>(10).get(1);  // what a thread's first use leaves
  put_in_all_ways<TypeParam, typename cache<TypeParam, TypeParam>::options>(1000);
  put_in_all_ways<TypeParam, typename cache<TypeParam, TypeParam>::options>(64);
}

TYPED_TEST(short_memory, a_put_changes_nothing_in_a_thread_cache) {
  thread_cache<int, int>(10).get(1);
  put_in_all_ways<TypeParam, typename thread_cache<TypeParam, TypeParam>::options>(1000);
  put_in_all_ways<TypeParam, typename thread_cache<TypeParam, TypeParam>::options>(64);
}

template <class C, class T>
void compute_many() {
  using make = makes_long<T>;
  C c(100);
  int failures = 0;
  std::uint64_t loads = 0;
  for (int i = 0; i < 200; ++i) {
    const T k = make::of(i);
    const std::size_t size = c.size();
    std::optional<T> v;
    failures += failures_until_it_works(
        [&] { v.emplace(c.get_or_compute(k, [&] { return make::of(i); })); },
        [&] {
          EXPECT_FALSE(c.contains(k));
          EXPECT_EQ(c.size(), size);
        });
    EXPECT_EQ(v, make::of(i));
    EXPECT_EQ(c.get(k), v);
    ++loads;
  }
  EXPECT_GE(failures, 5);
  EXPECT_GE(c.statistics().loads, loads);
  EXPECT_EQ(c.size(), 100U);
}

TYPED_TEST(short_memory, a_value_is_computed_again) {
  compute_many<cache<TypeParam, TypeParam>, TypeParam>();
  compute_many<thread_cache<TypeParam, TypeParam>, TypeParam>();
}

TYPED_TEST(short_memory, a_look_up_needs_no_more_than_its_copy) {
  const auto v = [](int n) { return makes_long<TypeParam>::of(n); };
  constexpr int copy = std::is_same_v<TypeParam, int> ? 0 : 1;
  cache<TypeParam, TypeParam> c(100);
  const TypeParam one = v(1);
  const TypeParam two = v(2);
  c.put(one, v(10));
  std::thread([&] {  // one that has no place for its counts, and gets none
    const failing_allocations none(copy);
    std::optional<TypeParam> found;
    EXPECT_NO_THROW(found = c.get(one));
    EXPECT_TRUE(found.has_value());
    EXPECT_FALSE(c.get(two));
    EXPECT_TRUE(c.contains(one));
  })
      .join();
  EXPECT_EQ(c.statistics().hits, 1U);
  EXPECT_EQ(c.statistics().misses, 1U);
  EXPECT_GT(failures_until_it_works([&] { c.for_each([](const TypeParam&, const TypeParam&) {}); },
                                    [] {}),
            0);
  const failing_allocations none(0);
  EXPECT_TRUE(c.erase(one));
  EXPECT_FALSE(c.erase(one));
  c.clear();
  EXPECT_EQ(c.remove_expired(), 0U);
}

class short_memory_of : public testing::Test {
 protected:
  void SetUp() override { SKIP_UNLESS_ALLOCATIONS_FAIL(); }
};

// Entries that are evicted are remembered if there is memory for that.
TEST_F(short_memory_of, what_was_evicted_need_not_be_remembered) {
  cache<int, int> c({.capacity = 64, .shards = 1});
  for (int i = 0; i < 64; ++i) c.put(i, i);
  {
    const failing_allocations index_and_piece(2);
    c.put(64, 64);
  }
  EXPECT_EQ(c.size(), 64U);
  EXPECT_EQ(c.statistics().evicted, 1U);
  const failing_allocations none(0);
  for (int i = 65; i < 100; ++i) c.put(i, i);
  EXPECT_EQ(c.size(), 64U);
}

TEST_F(short_memory_of, a_cache_that_cannot_be_made_leaves_nothing) {
  {
    const cache<int, std::string> warm(10);
  }
  const long before = heddle_test::live_allocations_but_for_cells();
  const int failures = failures_until_it_works(
      [] { const cache<int, std::string> c({.capacity = 10'000, .shards = 16}); },
      [&] { EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before); });
  EXPECT_GE(failures, 16);
  EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before);
}

TEST_F(short_memory_of, those_who_wait_are_told_and_the_next_call_works) {
  const heddle_test::watchdog dog;
  cache<int, int> c({.capacity = 1000, .shards = 1});
  std::optional<failing_allocations> none;
  std::vector<std::thread> waiters;
  std::atomic<int> told{0};
  EXPECT_THROW(c.get_or_compute(1,
                                [&] {
                                  for (int i = 0; i < 2; ++i) {
                                    waiters.emplace_back([&] {
                                      try {
                                        c.get_or_compute(1, [] { return 9; });
                                      } catch (const std::bad_alloc&) {
                                        ++told;
                                      }
                                    });
                                  }
                                  while (c.statistics().waits < 2) {
                                    std::this_thread::sleep_for(100us);
                                  }
                                  none.emplace(0);
                                  return 5;
                                }),
               std::bad_alloc);
  none.reset();
  for (std::thread& t : waiters) t.join();
  EXPECT_EQ(told, 2);
  EXPECT_FALSE(c.contains(1));
  EXPECT_EQ(c.statistics().loads, 1U);
  EXPECT_EQ(c.get_or_compute(1, [] { return 6; }), 6);
  EXPECT_EQ(c.get(1), 6);
}

template <class C>
void a_failed_put_does_not_win() {
  C c(100);
  c.get(1);
  EXPECT_EQ(c.get_or_compute(1,
                             [&] {
                               const failing_allocations none(0);
                               EXPECT_THROW(c.put(1, 9), std::bad_alloc);
                               return 5;
                             }),
            5);
  EXPECT_EQ(c.get(1), 5);
}

TEST_F(short_memory_of, a_put_that_has_failed_drops_no_computation) {
  a_failed_put_does_not_win<cache<int, int>>();
  a_failed_put_does_not_win<thread_cache<int, int>>();
}

TEST_F(short_memory_of, a_threads_first_use_of_its_cache_may_fail) {
  thread_cache<int, int> c(100);
  std::thread([&] {
    EXPECT_GE(failures_until_it_works([&] { c.put(1, 1); }, [] {}), 2);
    EXPECT_EQ(c.get(1), 1);
    EXPECT_EQ(c.size(), 1U);
  }).join();
}

TEST_F(short_memory_of, a_memoized_function_remembers_later) {
  int calls = 0;
  auto f = heddle::memoize([&](const std::string& text, int n) {
    ++calls;
    return text + std::to_string(n);
  });
  const std::string text = makes_long<std::string>::of(0);
  std::string result;
  const int failures = failures_until_it_works([&] { result = f(text, 1); },
                                               [&] { EXPECT_EQ(f.statistics().entries, 0U); });
  EXPECT_GE(failures, 4);
  EXPECT_EQ(result, text + "1");
  const int before = calls;
  EXPECT_EQ(f(text, 1), result);
  EXPECT_EQ(calls, before);
}

TEST_F(short_memory_of, a_snapshot_keeps_its_value_and_its_listeners) {
  using heddle::snapshot;
  std::optional<snapshot<std::string>> s;
  EXPECT_GE(failures_until_it_works([&] { s.emplace(makes_long<std::string>::of(1)); }, [] {}), 1);
  std::vector<std::uint64_t> told;
  told.reserve(10);
  heddle::subscription listening;
  EXPECT_GE(failures_until_it_works(
                [&] {
                  listening = s->subscribe([&told](const snapshot<std::string>::kept& now) {
                    told.push_back(now.version());
                  });
                },
                [&] { EXPECT_FALSE(listening); }),
            2);
  const std::string second = makes_long<std::string>::of(2);
  const auto unchanged = [&] {
    EXPECT_EQ(s->version(), told.empty() ? 1U : told.back());
    EXPECT_NE(*s->read(), second);
  };
  EXPECT_GE(failures_until_it_works([&] { s->store(second); }, unchanged), 2);
  EXPECT_EQ(*s->read(), second);
  EXPECT_EQ(told, std::vector<std::uint64_t>({2}));
  EXPECT_GE(failures_until_it_works([&] { s->update([](std::string now) { return now += "!"; }); },
                                    [&] { EXPECT_EQ(*s->read(), second); }),
            2);
  EXPECT_EQ(*s->read(), second + "!");
  EXPECT_EQ(told, std::vector<std::uint64_t>({2, 3}));
}

TEST_F(short_memory_of, a_context_stays_as_it_is) {
  const heddle::context_key<std::string> name("name");
  const heddle::context_key<std::shared_ptr<int>> pass("pass");
  auto value = std::make_shared<int>(1);
  const std::string text = makes_long<std::string>::of(1);
  const heddle::context before = heddle::context().with(pass, value);
  heddle::context after;
  const auto unchanged = [&] {
    EXPECT_EQ(before.size(), 1U);
    EXPECT_TRUE(after.empty());
    EXPECT_EQ(value.use_count(), 2);
    EXPECT_TRUE(heddle::context::current().empty());
  };
  EXPECT_GE(failures_until_it_works([&] { after = before.with(name, text); }, unchanged), 3);
  EXPECT_EQ(after.get(name), text);
  after = heddle::context();
  EXPECT_GE(failures_until_it_works([&] { after = before.with(pass, nullptr); }, unchanged), 2);
  EXPECT_EQ(after.get(pass), nullptr);
  after = heddle::context();
  EXPECT_GE(failures_until_it_works(
                [&] {
                  const heddle::scoped_context here(name, text);
                  EXPECT_EQ(name.get(), text);
                },
                unchanged),
            3);
}

}  // namespace
