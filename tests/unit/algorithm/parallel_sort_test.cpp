#include <heddle/algorithm/parallel_sort.hpp>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "places.hpp"
#include "support/pools.hpp"

namespace {

using heddle::parallel_sort;
using heddle::parallel_stable_sort;
using heddle_test::at_every_place;
using heddle_test::workers;

template <class T = int>
std::vector<T> random_values(std::size_t size, std::uint64_t below = 1'000'000'000) {
  heddle::prim::random dice(size + 17);
  std::vector<T> v(size);
  for (T& e : v) e = static_cast<T>(dice.below(static_cast<std::uint32_t>(below)));
  return v;
}

// Those of the thresholds among them: networks, small sorts, ranges that several threads sort.
std::vector<std::size_t> sizes() {
  std::vector<std::size_t> all(70);
  std::iota(all.begin(), all.end(), std::size_t{0});
  for (const std::size_t n :
       {127UL, 128UL, 129UL, 1'000UL, 1'025UL, 4'097UL, 8'191UL, 8'192UL, 8'193UL, 40'001UL}) {
    all.push_back(n);
  }
  return all;
}

std::vector<std::pair<const char*, std::vector<int>>> patterns(std::size_t size) {
  std::vector<std::pair<const char*, std::vector<int>>> all;
  const auto add = [&](const char* name, auto value) {
    std::vector<int> v(size);
    for (std::size_t i = 0; i != size; ++i) v[i] = static_cast<int>(value(i));
    all.emplace_back(name, std::move(v));
  };
  add("sorted", [](std::size_t i) { return i; });
  add("backwards", [&](std::size_t i) { return size - i; });
  add("equal", [](std::size_t) { return 7; });
  add("backwards with equals", [&](std::size_t i) { return (size - i) / 3; });
  add("organ pipe", [&](std::size_t i) { return std::min(i, size - i); });
  add("few distinct", [](std::size_t i) { return i * 2654435761U % 5; });
  add("saw", [](std::size_t i) { return i % 100; });
  add("two halves", [&](std::size_t i) { return i % (size / 2 + 1); });
  add("last one wrong", [&](std::size_t i) { return i + 1 == size ? 0 : i; });
  all.emplace_back("random", random_values(size));
  return all;
}

TEST(parallel_sort, sorts_as_std_sort_does) {
  for (const std::size_t size : sizes()) {
    for (auto& [name, values] : patterns(size)) {
      std::vector<int> expected = values;
      std::sort(expected.begin(), expected.end());
      std::vector<int> own = values;
      parallel_sort(own);
      ASSERT_EQ(own, expected) << name << " of " << size;
      std::vector<int> stable = values;
      parallel_stable_sort(stable, [](int a, int b) { return a < b; });
      ASSERT_EQ(stable, expected) << name << " of " << size;
      if (size > 1'000) continue;
      std::deque<std::string> words;
      for (const int v : values) words.push_back(std::to_string(v));
      std::deque<std::string> sorted_words = words;
      std::sort(sorted_words.begin(), sorted_words.end());
      std::deque<std::string> stable_words = words;
      parallel_sort(words);
      ASSERT_EQ(words, sorted_words) << name << " of " << size;
      parallel_stable_sort(stable_words);
      ASSERT_EQ(stable_words, sorted_words) << name << " of " << size;
    }
  }
}

TEST(parallel_sort, everywhere) {
  const heddle_test::watchdog dog;
  const std::vector<int> values = random_values(50'000, 10'000);
  std::vector<int> expected = values;
  std::sort(expected.begin(), expected.end());
  const auto greater = [](int a, int b) { return a > b; };
  at_every_place([&](auto&... where) {
    std::vector<int> own = values;
    parallel_sort(where..., own);
    EXPECT_EQ(own, expected);
    std::vector<int> down = values;
    parallel_stable_sort(where..., down, greater);
    EXPECT_TRUE(std::equal(down.rbegin(), down.rend(), expected.begin()));
  });
}

TEST(parallel_sort, of_many_values) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(workers(2));
  auto all = patterns(100'000);
  all.emplace_back("a million", random_values(1'000'000));
  for (auto& [name, values] : all) {
    std::vector<int> expected = values;
    std::sort(expected.begin(), expected.end());
    std::vector<int> stable = values;
    parallel_sort(pool, values);
    ASSERT_EQ(values, expected) << name;
    parallel_stable_sort(pool, stable, [](int a, int b) { return a < b; });
    ASSERT_EQ(stable, expected) << name;
  }
}

TEST(parallel_sort, of_numbers_of_every_size) {
  const auto check = [](auto values) {
    auto expected = values;
    std::sort(expected.begin(), expected.end());
    parallel_sort(values);
    EXPECT_EQ(values, expected);
    std::sort(expected.begin(), expected.end(), std::greater<>{});
    parallel_sort(values, std::greater<>{});
    EXPECT_EQ(values, expected);
  };
  check(random_values<std::uint8_t>(3'001));
  check(random_values<std::int64_t>(3'001));
  check(random_values<double>(3'001));
  check(random_values<long double>(301));
  std::vector<int> targets(100);
  std::vector<int*> pointers;
  for (int& t : targets) pointers.insert(pointers.begin() + (pointers.size() / 2), &t);
  check(pointers);
}

struct card {
  int rank;
  std::size_t number;
};

TEST(parallel_stable_sort, keeps_the_order_of_equals_everywhere) {
  const heddle_test::watchdog dog;
  const auto lower_rank = [](const card& a, const card& b) { return a.rank < b.rank; };
  at_every_place([&](auto&... where) {
    for (const std::size_t size : {20UL, 100UL, 5'000UL, 30'000UL}) {
      std::vector<card> cards;
      for (const int rank : random_values(size, 50)) cards.push_back({rank, cards.size()});
      parallel_stable_sort(where..., cards, lower_rank);
      ASSERT_TRUE(std::is_sorted(cards.begin(), cards.end(), [](const card& a, const card& b) {
        return std::pair(a.rank, a.number) < std::pair(b.rank, b.number);
      }));
    }
  });
}

TEST(parallel_sort, of_values_that_can_only_be_moved) {
  heddle::thread_pool pool(workers(2));
  for (const bool stable : {false, true}) {
    std::vector<std::unique_ptr<int>> values;
    for (const int v : random_values(20'000)) values.push_back(std::make_unique<int>(v));
    const auto less = [](const auto& a, const auto& b) { return *a < *b; };
    if (stable) {
      parallel_stable_sort(pool, values, less);
    } else {
      parallel_sort(pool, values, less);
    }
    EXPECT_TRUE(std::is_sorted(values.begin(), values.end(), less));
  }
}

TEST(parallel_sort, leaves_what_is_beside_the_range_alone) {
  std::vector<int> v = random_values(20'000);
  const std::vector<int> before = v;
  parallel_sort(std::span(v).subspan(100, 19'000));
  EXPECT_TRUE(std::equal(v.begin(), v.begin() + 100, before.begin()));
  EXPECT_TRUE(std::equal(v.begin() + 19'100, v.end(), before.begin() + 19'100));
  EXPECT_TRUE(std::is_sorted(v.begin() + 100, v.begin() + 19'100));
}

// McIlroy, "A killer adversary for quicksort", 1999: decides what is greater while it is compared,
// so that each pivot is a bad one.
TEST(parallel_sort, is_n_log_n_against_an_adversary) {
  constexpr std::size_t size = 1 << 13;
  constexpr int gas = std::numeric_limits<int>::max();
  std::vector<int> value(size, gas);
  std::vector<std::size_t> order(size);
  std::iota(order.begin(), order.end(), std::size_t{0});
  int solid = 0;
  std::size_t candidate = 0;
  std::size_t comparisons = 0;
  const auto less = [&](std::size_t a, std::size_t b) {
    ++comparisons;
    if (value[a] == gas && value[b] == gas) value[a == candidate ? a : b] = solid++;
    if (value[a] == gas) candidate = a;
    if (value[b] == gas) candidate = b;
    return value[a] < value[b];
  };
  // On one thread: the adversary is none for several.
  heddle::detail::quick_sort(order.data(), order.data() + size, false,
                             heddle::detail::bad_divisions_allowed(size), less);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end(),
                             [&](std::size_t a, std::size_t b) { return value[a] < value[b]; }));
  EXPECT_LT(comparisons, std::size_t{60} * size * 13 / 10);
  std::vector<int> killer = value;
  parallel_sort(killer);
  EXPECT_TRUE(std::is_sorted(killer.begin(), killer.end()));
}

// No order at all: nothing is promised but that it ends and that each element is still there.
TEST(parallel_sort, a_comparator_that_is_no_order_loses_nothing) {
  const heddle_test::watchdog dog;
  const std::function<bool(int, int)> disorders[] = {
      [](int, int) { return true; },
      [](int, int) { return false; },
      [](int a, int b) { return a <= b; },
      [](int a, int b) { return (a ^ b) % 3 == 0; },
      [n = 0U](int, int) mutable { return (++n * 2654435761U >> 13) % 2 == 0; },
  };
  for (const std::size_t size : {5UL, 12UL, 17UL, 32UL, 100UL, 3'000UL, 12'000UL}) {
    std::vector<int> expected = random_values(size);
    const std::vector<int> values = expected;
    std::sort(expected.begin(), expected.end());
    for (const auto& disorder : disorders) {
      std::vector<int> guarded(size + 2, -1);
      std::copy(values.begin(), values.end(), guarded.begin() + 1);
      const auto range = std::span(guarded).subspan(1, size);
      const auto holds_all = [&] {
        std::vector<int> now(range.begin(), range.end());
        std::sort(now.begin(), now.end());
        return now == expected && guarded.front() == -1 && guarded.back() == -1;
      };
      heddle::inline_executor here;  // the last one is not for several threads
      parallel_sort(here, range, std::ref(disorder));
      ASSERT_TRUE(holds_all()) << size;
      parallel_stable_sort(here, range, std::ref(disorder));
      ASSERT_TRUE(holds_all()) << size;
      std::vector<std::string> words;
      for (const int v : values) words.push_back(std::to_string(v));
      std::vector<std::string> all_words = words;
      std::sort(all_words.begin(), all_words.end());
      const auto disorder_of_words = [&](const std::string& a, const std::string& b) {
        return disorder(std::stoi(a), std::stoi(b));
      };
      for (const bool stable : {false, true}) {
        if (stable) {
          parallel_stable_sort(here, words, disorder_of_words);
        } else {
          parallel_sort(here, words, disorder_of_words);
        }
        std::vector<std::string> now = words;
        std::sort(now.begin(), now.end());
        ASSERT_EQ(now, all_words) << size;
      }
    }
  }
}

// Throws after so many comparisons, wherever that is.
TEST(parallel_sort, a_comparator_that_throws_loses_nothing) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  heddle::thread_pool pool(workers(2));
  const std::vector<int> values = random_values(10'000, 1'000);
  std::vector<int> expected = values;
  std::sort(expected.begin(), expected.end());
  for (int after = 1; after < 300'000; after = after * 4 + 1) {
    std::atomic<int> left{after};
    const auto less = [&](const auto& a, const auto& b) {
      if (--left < 0) throw std::runtime_error("enough");
      return a < b;
    };
    for (const bool stable : {false, true}) {
      std::vector<int> numbers = values;
      std::vector<std::string> words;
      for (const int v : values) words.push_back(std::to_string(v) + " and a long tail of text");
      std::vector<std::string> all_words = words;
      const auto sort = [&](auto& range) {
        left = after;
        const auto on_a_worker = [&] {
          if (stable) {
            parallel_stable_sort(range, less);
          } else {
            parallel_sort(range, less);
          }
        };
        try {
          pool.submit(on_a_worker).get();
        } catch (const std::runtime_error&) {
        }
        std::sort(range.begin(), range.end());
      };
      sort(numbers);
      ASSERT_EQ(numbers, expected) << after << ' ' << stable;
      std::sort(all_words.begin(), all_words.end());
      sort(words);
      ASSERT_EQ(words, all_words) << after << ' ' << stable;
    }
  }
}

// Nothing is moved out of the range where a move might fail.
TEST(parallel_sort, of_values_whose_moves_may_throw) {
  struct heavy {
    int value;
    explicit heavy(int v) : value(v) {}
    heavy(heavy&& other) noexcept(false) : value(std::exchange(other.value, -1)) {}
    heavy& operator=(heavy&& other) noexcept(false) {
      value = std::exchange(other.value, -1);
      return *this;
    }
  };
  const auto less = [](const heavy& a, const heavy& b) { return a.value / 8 < b.value / 8; };
  for (const bool stable : {false, true}) {
    std::vector<heavy> values;
    for (const int v : random_values(3'000, 500)) values.emplace_back(v);
    std::vector<std::pair<int, std::size_t>> order;
    for (const heavy& h : values) order.emplace_back(h.value / 8, order.size());
    std::sort(order.begin(), order.end());
    std::vector<int> expected;
    for (const auto& [rank, number] : order) expected.push_back(values[number].value);
    if (stable) {
      parallel_stable_sort(values, less);
      for (std::size_t i = 0; i != values.size(); ++i) ASSERT_EQ(values[i].value, expected[i]);
    } else {
      parallel_sort(values, less);
      for (std::size_t i = 0; i != values.size(); ++i) {
        ASSERT_EQ(values[i].value / 8, expected[i] / 8);
      }
    }
  }
}

TEST(parallel_sort, refuses_a_null_comparator) {
  std::vector<int> v(3);
  bool (*none)(int, int) = nullptr;
  EXPECT_THROW(parallel_sort(v, none), std::invalid_argument);
  EXPECT_THROW(parallel_stable_sort(v, none), std::invalid_argument);
}

TEST(sort_few, networks_sort_every_sequence_of_zeros_and_ones) {
  std::less<> less;
  for (int size = 0; size <= 8; ++size) {
    for (unsigned bits = 0; bits != 1U << size; ++bits) {
      int values[8] = {};
      for (int i = 0; i != size; ++i) values[i] = static_cast<int>(bits >> i & 1U);
      heddle::detail::sort_few(values, size, less);
      ASSERT_TRUE(std::is_sorted(values, values + size)) << size << ' ' << bits;
    }
  }
}

}  // namespace
