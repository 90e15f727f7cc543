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
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>

#include <heddle/base/errors.hpp>

#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cache;

class cache_stress : public testing::TestWithParam<unsigned> {};

// Everything at once on few keys, for a value that is copied without the lock and one that is not:
// whatever is found belongs to its key, and the counts agree at the end.
template <class V>
void everything(unsigned threads, const std::function<V(int)>& value_of) {
  std::atomic<std::uint64_t> left{0};
  cache<int, V> c({.capacity = 128,
                   .shards = 2,
                   .on_removal = [&](const int& key, const V& v, heddle::removal_cause) {
                     EXPECT_EQ(v, value_of(key));
                     ++left;
                   }});
  std::atomic<std::uint64_t> failures{0};
  heddle_test::run_together(threads, [&](unsigned id) {
    std::mt19937 random(id);
    for (unsigned i = 0; i < 24'000 / threads; ++i) {
      const int key = static_cast<int>(random() % 300);
      const auto what = static_cast<unsigned>(random() % 100);
      try {
        if (what < 50) {
          const V v = c.get_or_compute(key, [&]() -> V {
            if (what == 0) throw std::runtime_error("no value");
            if (what == 1) throw heddle::cancelled();
            if (what == 2)
              return c.get_or_compute(key + 1000, [&] { return value_of(key + 1000); }),
                     value_of(key);
            return value_of(key);
          });
          EXPECT_EQ(v, value_of(key));
        } else if (what < 85) {
          if (const auto v = c.get(key)) {
            EXPECT_EQ(*v, value_of(key));
          }
        } else if (what < 97) {
          c.put(key, value_of(key));
        } else if (what < 99) {
          c.erase(key);
        } else if (i % 64 == 0) {
          c.clear();
        }
      } catch (const std::runtime_error&) {
        ++failures;
      }
    }
  });
  const heddle::cache_statistics s = c.statistics();
  EXPECT_LE(s.entries, 128U);
  EXPECT_EQ(s.inserts, s.entries + s.evicted + s.erased);
  EXPECT_EQ(left, s.evicted + s.erased + s.replaced);
  EXPECT_LE(s.load_failures, failures);
}

TEST_P(cache_stress, small_values) {
  const heddle_test::watchdog dog;
  using wide = std::array<std::uint64_t, 4>;
  everything<wide>(GetParam(), [](int key) {
    wide w;
    w.fill(static_cast<std::uint64_t>(key) * 7);
    return w;
  });
}

TEST_P(cache_stress, values_on_the_heap) {
  const heddle_test::watchdog dog;
  everything<std::string>(GetParam(),
                          [](int key) { return std::string(40, 'x') + std::to_string(key); });
}

// Values of one word, which are replaced in their places beneath those who look, beside entries
// that leave and come: whatever is found belongs to its key, and no value is older than what the
// same thread has seen of it, or the writer has put.
TEST_P(cache_stress, values_of_one_word) {
  const heddle_test::watchdog dog;
  constexpr std::uint32_t keys = 96;
  cache<std::uint32_t, std::uint64_t> c({.capacity = 64, .shards = 2});
  const unsigned threads = GetParam();
  heddle_test::run_together(threads, [&](unsigned id) {
    std::mt19937 random(id);
    std::array<std::uint64_t, keys> seen{};
    for (unsigned i = 1; i < 60'000 / threads; ++i) {
      const auto key = static_cast<std::uint32_t>(random() % keys);
      const auto what = static_cast<unsigned>(random() % 100);
      if (key % threads == id && what < 50) {  // each key has one writer
        seen[key] = i;
        c.put(key, std::uint64_t{key} << 32 | i);
      } else if (what == 99) {
        c.erase(key);
      } else if (const auto v = c.get(key)) {
        EXPECT_EQ(*v >> 32, key);
        EXPECT_GE(*v & 0xffffffff, seen[key]);
        seen[key] = *v & 0xffffffff;
      }
    }
  });
  const heddle::cache_statistics s = c.statistics();
  EXPECT_LE(s.entries, 64U);
  EXPECT_GT(s.replaced, 0U);
  EXPECT_EQ(s.inserts, s.entries + s.evicted + s.erased);
}

std::atomic<std::int64_t> stress_clock{0};
heddle::prim::time_point read_stress_clock() {
  return heddle::prim::time_point(std::chrono::milliseconds(stress_clock.load()));
}

// Values that weigh more or less, expire after their write or access, are swept away beside those
// who look, and are waited for with limits: whatever is found belongs to its key, and the counts
// agree at the end.
template <class V>
void with_time_and_weight(unsigned threads, std::chrono::milliseconds after_write,
                          std::chrono::milliseconds after_access, V (*make)(std::uint64_t),
                          std::uint64_t (*read)(const V&)) {
  std::atomic<std::uint64_t> left{0};
  cache<int, V> c({.capacity = 256,
                   .shards = 2,
                   .expire_after_write = after_write,
                   .expire_after_access = after_access,
                   .weigher = [](int key, const V&) { return std::int64_t{key % 5}; },
                   .on_removal =
                       [&](int key, const V& v, heddle::removal_cause) {
                         EXPECT_EQ(read(v) >> 48, static_cast<std::uint64_t>(key));
                         ++left;
                       },
                   .now = &read_stress_clock});
  std::stop_source stop;
  heddle_test::run_together(threads, [&](unsigned id) {
    std::mt19937 random(id);
    const auto value_of = [&](int key) {
      return make(static_cast<std::uint64_t>(key) << 48 |
                  static_cast<std::uint64_t>(stress_clock.load()));
    };
    const auto check = [&](int key, const V& v) {
      EXPECT_EQ(read(v) >> 48, static_cast<std::uint64_t>(key));
    };
    for (unsigned i = 0; i < 24'000 / threads; ++i) {
      const int key = static_cast<int>(random() % 300);
      const auto what = static_cast<unsigned>(random() % 100);
      try {
        std::optional<V> v;
        if (what < 40) {
          v = c.get(key);
        } else if (what < 60) {
          c.put(key, value_of(key));
        } else if (what < 90) {
          const auto f = [&] {
            if (what == 60) throw heddle::cancelled();
            if (what < 64) std::this_thread::yield();
            return value_of(key);
          };
          if (what < 70) {
            v = c.get_or_compute(key, f);
          } else if (what < 80) {
            v = c.get_or_compute_for(key, f, std::chrono::microseconds(what % 4));
          } else {
            v = c.get_or_compute(key, f, stop.get_token());
          }
        } else if (what < 92) {
          c.remove_expired();
        } else if (what < 94) {
          c.erase(key);
        } else if (what < 96) {
          c.for_each([&](int k, const V& held) { check(k, held); });
        } else {
          ++stress_clock;
        }
        if (v) check(key, *v);
        if (id == 0 && i == 12'000 / threads) stop.request_stop();
      } catch (const heddle::cancelled&) {
      }
    }
  });
  heddle::cache_statistics s = c.statistics();
  EXPECT_LE(s.entries, 256U);
  EXPECT_LE(s.weight, 256U);
  EXPECT_GT(s.expired, 0U);
  EXPECT_EQ(s.inserts, s.entries + s.evicted + s.erased + s.expired);
  EXPECT_EQ(left, s.evicted + s.erased + s.expired + s.replaced);
  stress_clock += 1'000'000;
  EXPECT_EQ(c.remove_expired(), s.entries);
  s = c.statistics();
  EXPECT_EQ(s.weight, 0U);
  EXPECT_EQ(left, s.evicted + s.erased + s.expired + s.replaced);
}

TEST_P(cache_stress, values_of_one_word_that_expire_and_weigh) {
  const heddle_test::watchdog dog;
  const auto make = [](std::uint64_t n) { return n; };
  const auto read = [](const std::uint64_t& n) { return n; };
  with_time_and_weight<std::uint64_t>(GetParam(), 40ms, 0ms, make, read);
  with_time_and_weight<std::uint64_t>(GetParam(), 0ms, 40ms, make, read);
}

TEST_P(cache_stress, values_on_the_heap_that_expire_and_weigh) {
  const heddle_test::watchdog dog;
  const auto make = [](std::uint64_t n) { return std::to_string(n); };
  const auto read = [](const std::string& s) { return static_cast<std::uint64_t>(std::stoull(s)); };
  with_time_and_weight<std::string>(GetParam(), 40ms, 0ms, make, read);
  with_time_and_weight<std::string>(GetParam(), 400ms, 40ms, make, read);
}

// Keys that refer to text which is freed as soon as its erase has returned, beneath those who look.
TEST_P(cache_stress, keys_whose_text_goes_with_them) {
  const heddle_test::watchdog dog;
  constexpr unsigned keys = 8;
  cache<std::string_view, std::uint64_t> c({.capacity = 64, .shards = 1});
  const auto text_of = [](unsigned n) { return "a text of its own " + std::to_string(n); };
  std::atomic<bool> over{false};
  heddle_test::run_together(GetParam() + 1, [&](unsigned id) {
    if (id == 0) {
      for (std::uint64_t i = 0; i < 20'000; ++i) {
        const auto n = static_cast<unsigned>(i % keys);
        const auto text = std::make_unique<std::string>(text_of(n));
        c.put(*text, i);
        EXPECT_EQ(c.get(*text), i);
        EXPECT_TRUE(c.erase(*text));
      }
      over = true;
      return;
    }
    for (unsigned i = id; !over; ++i) {
      const unsigned n = i % keys;
      if (const auto v = c.get(text_of(n))) {
        EXPECT_EQ(*v % keys, n);
      }
    }
  });
  EXPECT_EQ(c.size(), 0U);
}

// Computations that need each other's values in every order: nobody hangs, and whoever is not told
// of a circle has its value.
TEST_P(cache_stress, computations_that_need_each_other) {
  const heddle_test::watchdog dog;
  cache<int, int> c(3);
  std::atomic<int> values{0};
  heddle_test::run_together(GetParam(), [&](unsigned id) {
    for (int i = 0; i < 500; ++i) {
      const int first = static_cast<int>(id + static_cast<unsigned>(i)) % 5;
      try {
        c.get_or_compute(
            first, [&] { return c.get_or_compute((first + 1 + i % 4) % 5, [] { return 1; }) + 1; });
        ++values;
      } catch (const heddle::recursive_computation&) {
      }
      if (i % 3 == 0) c.erase(first);
    }
  });
  EXPECT_GT(values, 0);
}

INSTANTIATE_TEST_SUITE_P(threads, cache_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
