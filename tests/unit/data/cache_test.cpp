#include <heddle/data/cache.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <heddle/base/unhandled.hpp>

#include "support/child_process.hpp"
#include "support/threads.hpp"

namespace cache_test {

struct plain_key {
  int n = 0;
  bool operator==(const plain_key&) const = default;
};
struct own_key : plain_key {};

// Lets a test stop a thread that compares keys.
inline thread_local std::function<void()>* while_comparing = nullptr;
struct slow_equal {
  template <class K>
  bool operator()(const K& a, const K& b) const {
    if (while_comparing != nullptr) (*while_comparing)();
    return a.n == b.n;
  }
};
struct number_hash {
  std::size_t operator()(const plain_key& k) const { return static_cast<std::size_t>(k.n); }
};

}  // namespace cache_test

template <>
inline constexpr bool heddle::compares_own_bytes<cache_test::own_key> = true;
template <>
inline constexpr bool heddle::compares_own_bytes<cache_test::own_key, cache_test::slow_equal> =
    true;

namespace {

using namespace std::chrono_literals;
using heddle::cache;
using heddle::removal_cause;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;
using testing::UnorderedElementsAre;

// The same for values that are copied without the lock, and for those that are not.
template <class T>
struct makes;
template <>
struct makes<int> {
  static int of(int n) { return n; }
};
template <>
struct makes<std::string> {
  static std::string of(int n) { return "a text that is on the heap, number " + std::to_string(n); }
};

template <class T>
class cache_of : public testing::Test {
 protected:
  static T make(int n) { return makes<T>::of(n); }
};
using kinds = testing::Types<int, std::string>;
TYPED_TEST_SUITE(cache_of, kinds);

TYPED_TEST(cache_of, gives_what_it_was_given) {
  cache<TypeParam, TypeParam> c(100);
  const auto v = [](int n) { return makes<TypeParam>::of(n); };
  EXPECT_EQ(c.get(v(1)), std::nullopt);
  c.put(v(1), v(10));
  c.put(v(2), v(20));
  EXPECT_EQ(c.get(v(1)), v(10));
  c.put(v(1), v(11));
  EXPECT_EQ(c.get(v(1)), v(11));
  EXPECT_TRUE(c.contains(v(2)));
  EXPECT_EQ(c.size(), 2U);
  EXPECT_TRUE(c.erase(v(1)));
  EXPECT_FALSE(c.erase(v(1)));
  EXPECT_EQ(c.get(v(1)), std::nullopt);
  EXPECT_EQ(c.get_or_compute(v(2), [&] { return v(99); }), v(20));
  EXPECT_EQ(c.get_or_compute(v(3), [&] { return v(30); }), v(30));
  EXPECT_EQ(c.get(v(3)), v(30));
  c.clear();
  EXPECT_EQ(c.size(), 0U);
  EXPECT_EQ(c.get(v(2)), std::nullopt);
}

TYPED_TEST(cache_of, is_a_map_as_long_as_all_fits) {
  cache<TypeParam, TypeParam> c({.capacity = 100'000, .shards = 4});
  std::unordered_map<TypeParam, TypeParam> twin;
  std::mt19937 random(7);
  for (int i = 0; i < 30'000; ++i) {
    const TypeParam key = makes<TypeParam>::of(static_cast<int>(random() % 3000));
    switch (random() % 4) {
      case 0:
      case 1: {
        const TypeParam value = makes<TypeParam>::of(i);
        c.put(key, value);
        twin.insert_or_assign(key, value);
        break;
      }
      case 2:
        EXPECT_EQ(c.erase(key), twin.erase(key) != 0);
        break;
      default: {
        const auto at = twin.find(key);
        EXPECT_EQ(c.get(key), at == twin.end() ? std::nullopt : std::optional(at->second));
      }
    }
  }
  EXPECT_EQ(c.size(), twin.size());
  std::unordered_map<TypeParam, TypeParam> copy;
  c.for_each([&](const TypeParam& k, const TypeParam& v) { copy.emplace(k, v); });
  EXPECT_EQ(copy, twin);
}

TYPED_TEST(cache_of, never_holds_more_than_it_may) {
  for (const std::size_t capacity : {1U, 2U, 7U, 100U, 1000U}) {
    cache<TypeParam, TypeParam> c({.capacity = capacity, .shards = 4});
    for (int i = 0; i < 3000; ++i) {
      c.put(makes<TypeParam>::of(i), makes<TypeParam>::of(i));
      ASSERT_LE(c.size(), capacity);
      EXPECT_EQ(c.get(makes<TypeParam>::of(i)), makes<TypeParam>::of(i)) << "the newest is there";
      if (i % 3 == 0) c.get(makes<TypeParam>::of(i / 2));
    }
    EXPECT_GE(c.size(), capacity * 9 / 10);
    EXPECT_EQ(c.statistics().evicted, 3000 - c.size());
  }
}

TYPED_TEST(cache_of, several_threads_find_nothing_that_was_not_put) {
  const heddle_test::watchdog dog;
  cache<TypeParam, TypeParam> c({.capacity = 200, .shards = 2});
  heddle_test::run_together(4, [&](unsigned id) {
    std::mt19937 random(id);
    for (int i = 0; i < 5000; ++i) {
      const int n = static_cast<int>(random() % 400);
      if (const auto v = c.get(makes<TypeParam>::of(n))) {
        EXPECT_EQ(*v, makes<TypeParam>::of(n + 1));
      } else {
        c.put(makes<TypeParam>::of(n), makes<TypeParam>::of(n + 1));
      }
      if (i % 64 == 0) c.erase(makes<TypeParam>::of(n));
    }
  });
  EXPECT_LE(c.size(), 200U);
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.hits + s.misses, 20'000U);
  EXPECT_EQ(s.inserts - s.evicted - s.erased, s.entries);
}

TEST(cache, keeps_what_is_asked_for_while_others_pass) {
  cache<int, int> c({.capacity = 100, .shards = 1});
  for (int i = 0; i < 50; ++i) c.put(i, i);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 50; ++i) c.get(i);
  }
  for (int i = 1000; i < 11'000; ++i) {
    c.put(i, i);
    if (i % 100 == 0) {
      for (int k = 0; k < 50; ++k) c.get(k);
    }
  }
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(c.contains(i)) << i;
}

TEST(cache, with_no_capacity_keeps_nothing) {
  std::vector<int> told;
  cache<int, int> c(
      {.capacity = 0, .on_removal = [&](int k, int, removal_cause) { told.push_back(k); }});
  c.put(1, 1);
  EXPECT_EQ(c.get(1), std::nullopt);
  EXPECT_EQ(c.get_or_compute(2, [] { return 7; }), 7);
  EXPECT_EQ(c.get_or_compute(2, [] { return 8; }), 8);
  EXPECT_EQ(c.size(), 0U);
  EXPECT_EQ(c.statistics().too_heavy, 3U);
  EXPECT_THAT(told, ElementsAre(1, 2, 2));
}

TEST(cache, with_no_capacity_keeps_not_even_what_weighs_nothing) {
  cache<int, int> c({.capacity = 0, .weigher = [](int, int) { return std::int64_t{0}; }});
  c.put(1, 1);
  EXPECT_FALSE(c.contains(1));
}

TEST(cache, what_is_too_heavy_and_was_erased_meanwhile_is_not_told) {
  int told = 0;
  cache<int, int> c({.capacity = 10,
                     .weigher = [](int, int v) { return std::int64_t{v}; },
                     .on_removal = [&](int, int, removal_cause) { ++told; }});
  c.get_or_compute(1, [&] {
    c.erase(1);
    return 11;
  });
  EXPECT_EQ(told, 0);
  EXPECT_EQ(c.statistics().evicted, 0U);
}

TEST(cache, refuses_bad_options) {
  using c = cache<int, int>;
  EXPECT_THAT([] { c({.shards = 0}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("65536, not 0")));
  EXPECT_THAT([] { c({.shards = 65537}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("not 65537")));
  EXPECT_THAT([] { c({.expire_after_write = -3ns}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("write is negative")));
  EXPECT_THAT([] { c({.expire_after_access = -3ns}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("-3")));
}

TEST(cache, has_no_more_shards_than_make_sense) {
  EXPECT_EQ((cache<int, int>(10'000).shards()), 16U);
  EXPECT_EQ((cache<int, int>({.capacity = 10'000, .shards = 12}).shards()), 8U);
  EXPECT_EQ((cache<int, int>(10).shards()), 1U);
  EXPECT_EQ((cache<int, int>({.capacity = 1'000'000, .shards = 64}).shards()), 64U);
}

using event = std::tuple<int, int, removal_cause>;

TEST(cache, tells_what_leaves_and_why) {
  std::vector<event> told;
  cache<int, int>* self = nullptr;
  cache<int, int> c({.capacity = 2, .on_removal = [&](int k, int v, removal_cause cause) {
                       told.emplace_back(k, v, cause);
                       self->contains(k);  // no lock is held
                       self->get(k);
                     }});
  self = &c;
  c.put(1, 10);
  c.put(1, 11);
  EXPECT_THAT(told, ElementsAre(event(1, 10, removal_cause::replaced)));
  c.put(2, 20);
  c.put(3, 30);
  EXPECT_THAT(told.back(), event(2, 20, removal_cause::evicted)) << "1 was put twice";
  c.erase(1);
  EXPECT_THAT(told.back(), event(1, 11, removal_cause::erased));
  c.clear();
  EXPECT_THAT(told.back(), event(3, 30, removal_cause::erased));
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.replaced, 1U);
  EXPECT_EQ(s.evicted, 1U);
  EXPECT_EQ(s.erased, 2U);
  EXPECT_EQ(s.inserts, 3U);
}

TEST(cache, names_causes) {
  EXPECT_STREQ(describe(removal_cause::expired), "expired");
  EXPECT_STREQ(describe(removal_cause::evicted), "evicted");
}

TEST(cache, what_a_listener_throws_is_unhandled) {
  const auto before = heddle::set_unhandled_handler([](std::exception_ptr) noexcept {});
  const std::uint64_t count = heddle::unhandled_count();
  cache<int, std::string> c({.on_removal = [](int, const std::string&, removal_cause) {
    throw std::runtime_error("listener");
  }});
  c.put(1, "one");
  c.put(1, "uno");
  EXPECT_TRUE(c.erase(1));
  EXPECT_EQ(heddle::unhandled_count(), count + 2);
  heddle::set_unhandled_handler(before);
}

TEST(cache, is_bounded_by_weight) {
  cache<int, std::string> c(
      {.capacity = 100, .shards = 1, .weigher = [](int, const std::string& v) {
         return static_cast<std::int64_t>(v.size());
       }});
  for (int i = 0; i < 100; ++i) {
    c.put(i, std::string(static_cast<std::size_t>(i % 30), 'x'));
    EXPECT_LE(c.statistics().weight, 100U);
  }
  c.put(7, std::string(100, 'y'));
  EXPECT_EQ(c.get(7), std::string(100, 'y'));
  EXPECT_EQ(c.statistics().weight, 100U);
  c.put(7, "z");
  EXPECT_EQ(c.get(7), "z");
  EXPECT_LE(c.statistics().weight, 100U);
}

TEST(cache, does_not_keep_what_is_too_heavy) {
  std::vector<event> told;
  cache<int, int> c(
      {.capacity = 10,
       .shards = 1,
       .weigher = [](int, int v) { return std::int64_t{v}; },
       .on_removal = [&](int k, int v, removal_cause cause) { told.emplace_back(k, v, cause); }});
  c.put(1, 5);
  c.put(2, 11);
  EXPECT_FALSE(c.contains(2));
  EXPECT_TRUE(c.contains(1)) << "nothing made room for it";
  c.put(1, 12);
  EXPECT_FALSE(c.contains(1)) << "the value before is out of date";
  EXPECT_EQ(c.get_or_compute(3, [] { return 13; }), 13);
  EXPECT_FALSE(c.contains(3));
  EXPECT_EQ(c.statistics().too_heavy, 3U);
  EXPECT_EQ(c.statistics().weight, 0U);
  EXPECT_THAT(
      told,
      ElementsAre(event(2, 11, removal_cause::evicted), event(1, 5, removal_cause::replaced),
                  event(1, 12, removal_cause::evicted), event(3, 13, removal_cause::evicted)));
}

TEST(cache, refuses_negative_weights) {
  cache<int, int> c({.weigher = [](int, int v) { return std::int64_t{v}; }});
  c.put(1, 1);
  EXPECT_THAT([&] { c.put(1, -5); }, ThrowsMessage<std::invalid_argument>(HasSubstr("-5")));
  EXPECT_EQ(c.get(1), 1);
  EXPECT_THROW(c.get_or_compute(2, [] { return -1; }), std::invalid_argument);
  EXPECT_EQ(c.get_or_compute(2, [] { return 2; }), 2);
  EXPECT_EQ(c.statistics().weight, 3U);
}

TEST(cache, an_entry_weighs_one_at_least) {
  cache<int, std::string> c(
      {.capacity = 100, .shards = 1, .weigher = [](int, const std::string& v) {
         return static_cast<std::int64_t>(v.size());
       }});
  for (int i = 0; i < 1000; ++i) c.put(i, "");
  EXPECT_EQ(c.size(), 100U);
  EXPECT_EQ(c.statistics().weight, 100U);
  c.put(0, "0123456789");
  EXPECT_EQ(c.statistics().weight, 100U);
  EXPECT_EQ(c.size(), 91U);
  c.put(0, "");
  EXPECT_EQ(c.statistics().weight, 91U);
}

TEST(cache, asks_for_a_weight_once) {
  std::int64_t next = 0;
  cache<int, int> c({.capacity = 1000, .weigher = [&](int, int) { return ++next; }});
  for (int i = 0; i < 10; ++i) c.put(i, i);
  EXPECT_EQ(next, 10);
  EXPECT_EQ(c.statistics().weight, 55U);
  for (int i = 0; i < 10; ++i) c.erase(i);
  EXPECT_EQ(c.statistics().weight, 0U);
  EXPECT_EQ(next, 10);
}

heddle::prim::time_point fake_now;
heddle::prim::time_point read_fake_clock() { return fake_now; }

TYPED_TEST(cache_of, forgets_some_time_after_the_write) {
  const auto v = [](int n) { return makes<TypeParam>::of(n); };
  std::vector<removal_cause> told;
  cache<TypeParam, TypeParam> c({.expire_after_write = 10s,
                                 .on_removal = [&](const TypeParam&, const TypeParam&,
                                                   removal_cause cause) { told.push_back(cause); },
                                 .now = &read_fake_clock});
  fake_now = {};
  c.put(v(1), v(1));
  fake_now += 9999ms;
  EXPECT_EQ(c.get(v(1)), v(1));
  c.put(v(2), v(2));
  fake_now += 1ms;
  EXPECT_FALSE(c.contains(v(1)));
  EXPECT_EQ(c.size(), 1U + 1U) << "it has expired, but not left";
  EXPECT_EQ(c.get(v(1)), std::nullopt);
  EXPECT_EQ(c.size(), 1U);
  EXPECT_THAT(told, ElementsAre(removal_cause::expired));
  c.put(v(2), v(3));
  fake_now += 9s;
  EXPECT_EQ(c.get(v(2)), v(3)) << "counts from the last put";
  fake_now += 1s;
  EXPECT_EQ(c.get_or_compute(v(2), [&] { return v(4); }), v(4));
  EXPECT_EQ(c.statistics().expired, 2U);
}

TYPED_TEST(cache_of, forgets_what_is_not_asked_for) {
  const auto v = [](int n) { return makes<TypeParam>::of(n); };
  cache<TypeParam, TypeParam> c({.expire_after_access = 10s, .now = &read_fake_clock});
  fake_now = {};
  c.put(v(1), v(1));
  c.put(v(2), v(2));
  for (int i = 0; i < 5; ++i) {
    fake_now += 6s;
    EXPECT_EQ(c.get(v(1)), v(1));
    c.contains(v(2));  // is no access
  }
  std::size_t seen = 0;
  c.for_each([&](const TypeParam&, const TypeParam&) { ++seen; });
  EXPECT_EQ(seen, 1U);
  EXPECT_EQ(c.remove_expired(), 1U);
  EXPECT_EQ(c.remove_expired(), 0U);
  EXPECT_EQ(c.size(), 1U);
  EXPECT_TRUE(c.contains(v(1)));
  EXPECT_FALSE(c.erase(v(2)));
}

TEST(cache, replacing_an_expired_value_is_no_replacement) {
  std::vector<event> told;
  cache<int, int> c(
      {.expire_after_write = 1s,
       .on_removal = [&](int k, int v, removal_cause cause) { told.emplace_back(k, v, cause); },
       .now = &read_fake_clock});
  fake_now = {};
  c.put(1, 1);
  fake_now += 1s;
  c.put(1, 2);
  EXPECT_EQ(c.get(1), 2);
  EXPECT_THAT(told, ElementsAre(event(1, 1, removal_cause::expired)));
}

struct touchy {
  int n;
  bool operator==(const touchy&) const = default;
};
struct hash_that_throws {
  std::size_t operator()(const touchy& t) const {
    if (t.n < 0) throw std::domain_error("hash");
    return static_cast<std::size_t>(t.n);
  }
};

TEST(cache, a_hash_that_throws_changes_nothing) {
  cache<touchy, int, hash_that_throws> c(10);
  c.put({1}, 1);
  EXPECT_THROW(c.put({-1}, 1), std::domain_error);
  EXPECT_THROW(c.get({-1}), std::domain_error);
  EXPECT_THROW(c.get_or_compute({-1}, [] { return 1; }), std::domain_error);
  EXPECT_THROW(c.erase({-1}), std::domain_error);
  EXPECT_THROW(c.contains({-1}), std::domain_error);
  EXPECT_EQ(c.size(), 1U);
  EXPECT_EQ(c.get({1}), 1);
}

// Counts its instances, and throws when it is copied for the n-th time from now.
struct fragile {
  explicit fragile(int n) : value(n) { ++alive; }
  fragile(const fragile& other) : value(other.value) {
    if (copies_left > 0 && --copies_left == 0) throw std::domain_error("copy");
    ++alive;
  }
  fragile(fragile&& other) noexcept : value(other.value) { ++alive; }
  fragile& operator=(const fragile&) = default;
  ~fragile() { --alive; }

  int value;
  static inline int alive = 0;
  static inline int copies_left = 0;
};

TEST(cache, a_copy_that_throws_changes_nothing) {
  {
    cache<int, fragile> c(10);
    c.put(1, fragile(1));
    fragile::copies_left = 1;
    EXPECT_THROW(c.get(1), std::domain_error);
    EXPECT_EQ(c.get(1)->value, 1);
    fragile::copies_left = 1;
    EXPECT_THROW(c.get_or_compute(2, [] { return fragile(2); }), std::domain_error);
    EXPECT_EQ(c.get_or_compute(2, [] { return fragile(3); }).value, 3);
    EXPECT_EQ(c.statistics().loads, 2U);
    EXPECT_EQ(c.statistics().load_failures, 0U);
    for (int i = 0; i < 100; ++i) c.put(i, fragile(i));
    EXPECT_EQ(fragile::alive, 10);
    c.put(99, fragile(5));
    c.erase(99);
    EXPECT_EQ(fragile::alive, static_cast<int>(c.size()));
  }
  EXPECT_EQ(fragile::alive, 0);
}

TEST(cache, counts) {
  cache<int, int> c(10);
  c.get(1);
  c.put(1, 1);
  c.get(1);
  c.get_or_compute(1, [] { return 0; });
  c.get_or_compute(2, [] { return 0; });
  EXPECT_THROW(c.get_or_compute(3, []() -> int { throw std::runtime_error("3"); }),
               std::runtime_error);
  c.contains(1);
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.hits, 2U);
  EXPECT_EQ(s.misses, 3U);
  EXPECT_DOUBLE_EQ(s.hit_share(), 0.4);
  EXPECT_EQ(s.loads, 1U);
  EXPECT_EQ(s.load_failures, 1U);
  EXPECT_EQ(s.waits, 0U);
  EXPECT_EQ(s.inserts, 2U);
  EXPECT_EQ(s.entries, 2U);
  EXPECT_EQ(s.weight, 2U);
  EXPECT_EQ(heddle::cache_statistics().hit_share(), 0);
  EXPECT_EQ(heddle::cache_statistics().mean_load_time(), 0ns);
}

TEST(cache, measures_how_long_computations_take) {
  cache<int, int> c(10);
  c.get_or_compute(1, [] {
    std::this_thread::sleep_for(20ms);
    return 0;
  });
  const heddle::cache_statistics s = c.statistics();
  EXPECT_GE(s.load_time, 10ms);
  EXPECT_EQ(s.mean_load_time(), s.load_time);
}

TEST(cache, for_each_may_use_the_cache) {
  cache<int, int> c(100);
  for (int i = 0; i < 10; ++i) c.put(i, i);
  c.for_each([&](int k, int) { c.erase(k); });
  EXPECT_EQ(c.size(), 0U);
}

// Eight words that are equal, copied while another thread writes them.
using eight_words = std::array<std::uint64_t, 8>;

TEST(cache, copies_are_never_torn) {
  const heddle_test::watchdog dog;
  static_assert(heddle::detail::copied_by_words<eight_words>);
  cache<int, eight_words> c({.capacity = 4, .shards = 1});
  heddle_test::run_together(3, [&](unsigned id) {
    for (std::uint64_t i = 0; i < 20'000; ++i) {
      const int key = static_cast<int>(i % 6);
      if (id == 0) {
        eight_words w;
        w.fill(i * 6 + static_cast<std::uint64_t>(key));
        c.put(key, w);
      } else if (const auto w = c.get(key)) {
        for (const std::uint64_t word : *w) ASSERT_EQ(word, w->front());
        ASSERT_EQ(w->front() % 6, static_cast<std::uint64_t>(key));
      }
    }
  });
}

enum class color : std::uint8_t { red };

TEST(cache, compares_without_the_lock_what_is_its_own_bytes) {
  using heddle::compares_own_bytes;
  static_assert(compares_own_bytes<int> && compares_own_bytes<double> && compares_own_bytes<color>);
  static_assert(compares_own_bytes<const int*> && compares_own_bytes<void (*)()>);
  static_assert(compares_own_bytes<int, std::equal_to<>>);
  static_assert(compares_own_bytes<std::array<std::array<int, 2>, 3>>);
  static_assert(!compares_own_bytes<std::string_view>);
  static_assert(!compares_own_bytes<std::array<std::string_view, 2>>);
  static_assert(!compares_own_bytes<const char*, std::equal_to<std::string_view>>);
  static_assert(!compares_own_bytes<int, std::not_equal_to<int>>);
  static_assert(!compares_own_bytes<cache_test::plain_key>);
  static_assert(compares_own_bytes<cache_test::own_key>);
  static_assert(!compares_own_bytes<cache_test::own_key, std::equal_to<>>);

  using heddle::detail::cache_table;
  static_assert(cache_table<int, int, std::equal_to<int>>::peeks);
  static_assert(!cache_table<std::string, int, std::equal_to<std::string>>::peeks);
  static_assert(!cache_table<int, std::string, std::equal_to<int>>::peeks);
  static_assert(!cache_table<std::string_view, int, std::equal_to<std::string_view>>::peeks);
}

// Whether another thread can change the cache while one looks for a key and compares. One that is
// said to can is waited for.
template <class K>
bool goes_on_beside_a_comparison(bool surely) {
  cache<K, int, cache_test::number_hash, cache_test::slow_equal> c({.shards = 1});
  c.put(K{1}, 1);
  std::atomic<bool> changed{false};
  bool beside = false;
  std::thread other;
  std::function<void()> stop = [&] {
    if (other.joinable()) return;
    other = std::thread([&] {
      c.put(K{2}, 2);
      changed = true;
    });
    for (int i = 0; (surely || i < 100) && !changed; ++i) std::this_thread::sleep_for(1ms);
    beside = changed;
  };
  cache_test::while_comparing = &stop;
  EXPECT_EQ(c.get(K{1}), 1);
  cache_test::while_comparing = nullptr;
  other.join();
  EXPECT_EQ(c.get(K{2}), 2);
  return beside;
}

TEST(cache, a_key_that_is_its_bytes_is_compared_without_the_lock_and_others_under_it) {
  const heddle_test::watchdog dog;
  EXPECT_TRUE(goes_on_beside_a_comparison<cache_test::own_key>(true));
  EXPECT_FALSE(goes_on_beside_a_comparison<cache_test::plain_key>(false));
}

TYPED_TEST(cache_of, a_forked_child_goes_on) {
  const auto v = [](int n) { return makes<TypeParam>::of(n); };
  cache<TypeParam, TypeParam> c({.capacity = 1000, .shards = 4});
  std::thread([&] { c.put(v(1), v(10)); }).join();
  c.put(v(2), v(20));
  EXPECT_TRUE(heddle_test::holds_in_child([&] {
    if (c.get(v(1)) != v(10) || !c.erase(v(2)) || c.get(v(3)).has_value()) return false;
    for (int i = 0; i < 500; ++i) c.put(v(i), v(i + 1));
    return c.get_or_compute(
               v(2000), [&] { return c.get_or_compute(v(3000), [&] { return v(4); }); }) == v(4) &&
           c.get(v(3)) == v(4) && c.size() == 502 && c.statistics().loads == 2;
  }));
  EXPECT_EQ(c.get(v(2)), v(20));
  EXPECT_EQ(c.size(), 2U);
}

}  // namespace
