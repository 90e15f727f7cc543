#include <heddle/data/thread_cache.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <heddle/base/unhandled.hpp>
#include <heddle/sync/event.hpp>

#include "support/child_process.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::removal_cause;
using heddle::thread_cache;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(thread_cache, gives_what_its_thread_gave_it) {
  thread_cache<int, std::string> c;
  EXPECT_EQ(c.capacity(), 1000U);
  c.put(1, "one");
  c.put(2, "two");
  c.put(1, "uno");
  EXPECT_EQ(c.get(1), "uno");
  std::thread([&] {
    EXPECT_EQ(c.get(1), std::nullopt) << "that is the other thread's";
    c.put(3, "three");
    EXPECT_EQ(c.size(), 1U);
    EXPECT_EQ(c.own_statistics().misses, 1U);
  }).join();
  EXPECT_FALSE(c.contains(3));
  EXPECT_TRUE(c.erase(1));
  EXPECT_FALSE(c.erase(1));
  EXPECT_EQ(c.size(), 1U);
  std::vector<int> keys;
  c.for_each([&](int k, const std::string&) { keys.push_back(k); });
  EXPECT_THAT(keys, ElementsAre(2));
  c.clear();
  EXPECT_EQ(c.size(), 0U);
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.hits, 1U);
  EXPECT_EQ(s.misses, 1U);
  EXPECT_EQ(s.inserts, 3U);
  EXPECT_EQ(s.replaced, 1U);
  EXPECT_EQ(s.erased, 2U);
  EXPECT_EQ(s.entries, 1U) << "of the thread that has ended";
  EXPECT_EQ(c.own_statistics().entries, 0U);
}

TEST(thread_cache, is_bounded_and_keeps_what_is_asked_for) {
  thread_cache<int, int> c(100);
  for (int i = 0; i < 5000; ++i) {
    c.put(1000 + i, i);
    c.get_or_compute(i % 20, [&] { return i; });
    ASSERT_LE(c.size(), 100U);
  }
  EXPECT_EQ(c.own_statistics().loads, 20U);
  EXPECT_GT(c.own_statistics().evicted, 4000U);
}

TEST(thread_cache, computes_what_is_not_there) {
  thread_cache<int, int> c;
  EXPECT_EQ(c.get_or_compute(1, [] { return 7; }), 7);
  EXPECT_EQ(c.get_or_compute(1, [] { return 8; }), 7);
  EXPECT_THROW(c.get_or_compute(2, []() -> int { throw std::runtime_error("2"); }),
               std::runtime_error);
  EXPECT_EQ(c.get_or_compute(2, [] { return 9; }), 9);
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.loads, 2U);
  EXPECT_EQ(s.load_failures, 1U);
  EXPECT_EQ(s.hits, 1U);
  EXPECT_EQ(s.misses, 3U);
}

TEST(thread_cache, a_computation_may_use_it_but_not_need_itself) {
  thread_cache<int, long> c;
  const std::function<long(int)> sum = [&](int n) -> long {
    return c.get_or_compute(n, [&] { return n == 0 ? 0L : sum(n - 1) + n; });
  };
  EXPECT_EQ(sum(100), 5050);
  EXPECT_THAT(
      [&] { c.get_or_compute(-1, [&] { return c.get_or_compute(-1, [] { return 1L; }); }); },
      ThrowsMessage<heddle::recursive_computation>(HasSubstr("that very value")));
  EXPECT_EQ(c.get_or_compute(-1, [] { return 2L; }), 2);
  EXPECT_EQ(c.get_or_compute(-2,
                             [&] {
                               c.put(-2, 5);
                               return 4L;
                             }),
            4);
  EXPECT_EQ(c.get(-2), 5) << "what was put meanwhile stays";
  c.get_or_compute(-3, [&] {
    c.clear();
    return 4L;
  });
  EXPECT_FALSE(c.contains(-3));
}

heddle::prim::time_point cache_clock;

TEST(thread_cache, expires) {
  std::vector<removal_cause> told;
  thread_cache<int, int> c(
      {.expire_after_write = 5s,
       .on_removal = [&](int, int, removal_cause cause) { told.push_back(cause); },
       .now = [] { return cache_clock; }});
  cache_clock = {};
  c.put(1, 1);
  c.put(2, 2);
  cache_clock += 5s;
  EXPECT_FALSE(c.contains(1));
  EXPECT_EQ(c.get(1), std::nullopt);
  EXPECT_EQ(c.remove_expired(), 1U);
  EXPECT_THAT(told, ElementsAre(removal_cause::expired, removal_cause::expired));
  EXPECT_THAT([] { (thread_cache<int, int>({.expire_after_access = -1ns})); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("-1")));
}

TEST(thread_cache, weighs) {
  thread_cache<int, int> c({.capacity = 10, .weigher = [](int, int v) { return std::int64_t{v}; }});
  c.put(1, 6);
  c.put(2, 6);
  EXPECT_FALSE(c.contains(1));
  EXPECT_EQ(c.statistics().weight, 6U);
  c.put(3, 11);
  EXPECT_FALSE(c.contains(3));
  EXPECT_TRUE(c.contains(2));
  EXPECT_THROW(c.put(2, -1), std::invalid_argument);
  EXPECT_EQ(c.get(2), 6);
  EXPECT_EQ(c.statistics().too_heavy, 1U);
}

TEST(thread_cache, an_entry_weighs_one_at_least) {
  thread_cache<int, int> c({.capacity = 10, .weigher = [](int, int) { return std::int64_t{0}; }});
  for (int i = 0; i < 100; ++i) c.put(i, i);
  EXPECT_EQ(c.size(), 10U);
  EXPECT_EQ(c.statistics().weight, 10U);
}

TEST(thread_cache, threads_count_by_themselves_and_are_read_together) {
  const heddle_test::watchdog dog;
  thread_cache<int, int> c(50);
  heddle_test::run_together(4, [&](unsigned) {
    for (int i = 0; i < 1000; ++i) {
      c.get_or_compute(i % 70, [&] { return i; });
      if (i % 100 == 0) {
        const heddle::cache_statistics s = c.statistics();
        EXPECT_LE(s.entries, 200U);
      }
    }
  });
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.hits + s.misses, 4000U);
  EXPECT_EQ(s.loads, s.misses);
}

TEST(thread_cache, with_no_capacity_keeps_nothing) {
  std::vector<int> told;
  thread_cache<int, int> c(
      {.capacity = 0, .on_removal = [&](int k, int, removal_cause) { told.push_back(k); }});
  c.put(1, 1);
  EXPECT_EQ(c.get(1), std::nullopt);
  EXPECT_EQ(c.get_or_compute(2, [] { return 7; }), 7);
  EXPECT_EQ(c.get_or_compute(2, [] { return 8; }), 8);
  EXPECT_FALSE(c.erase(2));
  EXPECT_EQ(c.size(), 0U);
  EXPECT_EQ(c.statistics().too_heavy, 3U);
  EXPECT_THAT(told, ElementsAre(1, 2, 2));
}

TEST(thread_cache, forgets_what_is_not_asked_for) {
  thread_cache<int, int> c(
      {.expire_after_write = 20s, .expire_after_access = 5s, .now = [] { return cache_clock; }});
  cache_clock = {};
  c.put(1, 1);
  c.put(2, 2);
  for (int i = 0; i < 3; ++i) {
    cache_clock += 4s;
    EXPECT_EQ(c.get(1), 1);
    c.contains(2);  // is no access
  }
  EXPECT_EQ(c.get(2), std::nullopt);
  EXPECT_EQ(c.size(), 1U);
  cache_clock += 4s;
  EXPECT_EQ(c.get_or_compute(1, [] { return 9; }), 1);
  cache_clock += 4s;
  EXPECT_EQ(c.get_or_compute(1, [] { return 9; }), 9) << "too long after the write";
}

struct odd_hash {
  std::size_t operator()(int n) const {
    if (n < 0) throw std::domain_error("hash");
    return static_cast<std::size_t>(n);
  }
};

TEST(thread_cache, a_hash_or_a_weigher_that_throws_changes_nothing) {
  thread_cache<int, int, odd_hash> c({.weigher = [](int, int v) {
    if (v < 0) throw std::domain_error("weigher");
    return std::int64_t{1};
  }});
  c.put(1, 1);
  EXPECT_THROW(c.get(-1), std::domain_error);
  EXPECT_THROW(c.put(-1, 1), std::domain_error);
  EXPECT_THROW(c.erase(-1), std::domain_error);
  EXPECT_THROW(c.contains(-1), std::domain_error);
  EXPECT_THROW(c.get_or_compute(-1, [] { return 1; }), std::domain_error);
  EXPECT_THROW(c.put(1, -1), std::domain_error);
  EXPECT_THROW(c.get_or_compute(2, [] { return -1; }), std::domain_error);
  EXPECT_EQ(c.size(), 1U);
  EXPECT_EQ(c.get(1), 1);
  EXPECT_EQ(c.get_or_compute(2, [] { return 2; }), 2);
  EXPECT_EQ(c.get_or_compute(3,
                             [&] {
                               EXPECT_THROW(c.put(3, -1), std::domain_error);
                               return 3;
                             }),
            3);
  EXPECT_EQ(c.get(3), 3) << "a put that has failed does not win";
}

struct copied {
  explicit copied(int n) : value(n) {}
  copied(const copied& other) : value(other.value) {
    if (left > 0 && --left == 0) throw std::domain_error("copy");
  }
  copied(copied&&) noexcept = default;
  copied& operator=(const copied&) = default;
  int value;
  static inline int left = 0;
};

TEST(thread_cache, a_copy_that_throws_changes_nothing) {
  thread_cache<int, copied> c;
  c.put(1, copied(1));
  copied::left = 1;
  EXPECT_THROW(c.get(1), std::domain_error);
  EXPECT_EQ(c.get(1)->value, 1);
  copied::left = 1;
  EXPECT_THROW(c.get_or_compute(2, [] { return copied(2); }), std::domain_error);
  EXPECT_FALSE(c.contains(2));
  EXPECT_EQ(c.get_or_compute(2, [] { return copied(3); }).value, 3);
}

TEST(thread_cache, a_listener_may_use_it_and_throw) {
  const auto before = heddle::set_unhandled_handler([](std::exception_ptr) noexcept {});
  const std::uint64_t count = heddle::unhandled_count();
  std::vector<std::string> told;
  thread_cache<int, std::string>* self = nullptr;
  thread_cache<int, std::string> c(
      {.capacity = 4, .on_removal = [&](int k, const std::string& v, removal_cause cause) {
         told.push_back(v);
         if (k < 100) {
           self->put(k + 100, v);  // which may evict others, and tell of them
           self->get(k);
           self->erase(k + 100);
         }
         if (cause == removal_cause::erased) throw std::runtime_error("listener");
       }});
  self = &c;
  for (int i = 0; i < 20; ++i) c.put(i, std::to_string(i));
  c.get_or_compute(50, [&] {
    c.put(50, "own");
    return std::string("computed");
  });
  c.erase(50);
  c.put(51, "51");
  c.clear();
  EXPECT_EQ(c.size(), 0U);
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(told.size(), s.evicted + s.erased + s.replaced);
  EXPECT_EQ(heddle::unhandled_count(), count + s.erased);
  EXPECT_GE(s.erased, 1U);
  heddle::set_unhandled_handler(before);

  // A computation that a put in its middle drops, and the listener, and again.
  thread_cache<int, std::string> d({.on_removal = [&](int k, const std::string&, removal_cause) {
    if (self != nullptr) std::exchange(self, nullptr)->put(k, "the listener's");
  }});
  self = &d;
  EXPECT_EQ(d.get_or_compute(1,
                             [&] {
                               d.put(1, "first");
                               d.put(1, "second");
                               return std::string("computed");
                             }),
            "computed");
  EXPECT_EQ(d.get(1), "the listener's");
}

TEST(thread_cache, a_forked_child_has_the_entries_of_its_thread) {
  thread_cache<int, std::string> c;
  std::thread([&] { c.put(7, "another's"); }).join();
  c.put(1, "one");
  heddle::manual_reset_event put;
  heddle::manual_reset_event over;
  std::thread other([&] {
    c.put(2, "two");
    put.set();
    over.wait();
  });
  put.wait();
  const std::size_t own = c.size();
  EXPECT_TRUE(heddle_test::holds_in_child([&] {
    if (c.get(1) != "one" || c.contains(2) || c.size() != own) return false;
    c.put(3, "three");
    return c.get_or_compute(4, [] { return std::string("four"); }) == "four" &&
           c.get(3) == "three" && c.erase(1) && c.size() == own + 1 &&
           c.statistics().entries == own + 2;
  }));
  EXPECT_EQ(c.get(1), "one");
  EXPECT_FALSE(c.contains(3));
  over.set();
  other.join();
}

}  // namespace
