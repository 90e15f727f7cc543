#include <heddle/data/dictionary.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

using heddle::dictionary;
using testing::Pair;
using testing::UnorderedElementsAre;

using words = dictionary<std::string, int>;

TEST(dictionary, gives_what_it_was_given) {
  words d;
  EXPECT_EQ(d.get("one"), std::nullopt);
  EXPECT_EQ(d.get_or("one", 7), 7);
  EXPECT_FALSE(d.contains("one"));
  EXPECT_TRUE(d.empty());
  EXPECT_TRUE(d.set("one", 1));
  EXPECT_FALSE(d.set("one", 11));
  EXPECT_FALSE(d.insert("one", 111));
  EXPECT_TRUE(d.insert("two", 2));
  EXPECT_EQ(d.get("one"), 11);
  EXPECT_EQ(d.get_or("two", 7), 2);
  EXPECT_TRUE(d.contains("two"));
  EXPECT_EQ(d.size(), 2U);
  EXPECT_TRUE(d.erase("one"));
  EXPECT_FALSE(d.erase("one"));
  EXPECT_EQ(d.size(), 1U);
  d.clear();
  EXPECT_TRUE(d.empty());
}

TEST(dictionary, makes_a_value_once) {
  words d;
  int made = 0;
  const auto make = [&made] { return ++made; };
  EXPECT_EQ(d.get_or_insert("one", make), 1);
  EXPECT_EQ(d.get_or_insert("one", make), 1);
  EXPECT_EQ(made, 1);
  EXPECT_THROW(d.get_or_insert("two", []() -> int { throw std::runtime_error("no two"); }),
               std::runtime_error);
  EXPECT_FALSE(d.contains("two"));
  EXPECT_EQ(d.get_or_insert("two", make), 2);
}

TEST(dictionary, several_threads_make_a_value_once) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 50; ++round) {
    dictionary<int, int> d;
    std::atomic<int> made{0};
    heddle_test::run_together(
        4, [&](unsigned) { EXPECT_EQ(d.get_or_insert(1, [&] { return ++made; }), 1); });
    EXPECT_EQ(made, 1);
  }
}

TEST(dictionary, updates_a_copy) {
  words d;
  d.set("one", 1);
  EXPECT_TRUE(d.update("one", [](int& n) { n += 10; }));
  EXPECT_FALSE(d.update("two", [](int& n) { n += 10; }));
  EXPECT_EQ(d.get("one"), 11);
  EXPECT_THROW(d.update("one",
                        [](int& n) {
                          n = 0;
                          throw std::runtime_error("half done");
                        }),
               std::runtime_error);
  EXPECT_EQ(d.get("one"), 11);
  EXPECT_FALSE(d.contains("two"));
}

TEST(dictionary, applies_a_batch) {
  words d;
  d.set("one", 1);
  d.set("two", 2);
  d.set("three", 3);
  words::batch changes;
  changes.set("one", 10);
  changes.erase("two");
  changes.erase("nothing");
  changes.set("four", 4);
  changes.set("four", 44);  // the last one of a key counts
  changes.erase("three");
  changes.set("three", 33);
  changes.set("five", 5);
  changes.erase("five");
  EXPECT_EQ(changes.size(), 6U);
  d.apply(std::move(changes));
  EXPECT_THAT(d.snapshot(),
              UnorderedElementsAre(Pair("one", 10), Pair("three", 33), Pair("four", 44)));
  d.apply(words::batch());
  EXPECT_EQ(d.size(), 3U);
}

// So large that it must grow in the middle of a batch, again and again.
TEST(dictionary, applies_large_batches) {
  dictionary<int, int> d;
  for (int b = 0; b < 40; ++b) {
    dictionary<int, int>::batch changes;
    for (int i = 0; i < 50; ++i) changes.set(25 * b + i, b);
    d.apply(std::move(changes));
  }
  EXPECT_EQ(d.size(), 25U * 39 + 50);
  for (int i = 0; i < 25 * 39; ++i) EXPECT_EQ(d.get(i), i / 25);
}

TEST(dictionary, edits_all_or_nothing) {
  words d;
  d.set("one", 1);
  d.set("two", 2);
  const int moved = d.edit([](words::editor& e) {
    const int n = *e.get("one");
    e.erase("one");
    EXPECT_EQ(e.get("one"), std::nullopt);
    e.set("two", *e.get("two") + n);
    EXPECT_EQ(e.get("two"), 3);
    EXPECT_EQ(e.get("three"), std::nullopt);
    return n;
  });
  EXPECT_EQ(moved, 1);
  EXPECT_THAT(d.snapshot(), UnorderedElementsAre(Pair("two", 3)));
  EXPECT_THROW(d.edit([](words::editor& e) {
    e.set("two", 0);
    e.set("four", 4);
    throw std::runtime_error("not after all");
  }),
               std::runtime_error);
  EXPECT_THAT(d.snapshot(), UnorderedElementsAre(Pair("two", 3)));
}

TEST(dictionary, shows_every_entry) {
  words d;
  d.set("one", 1);
  d.set("two", 2);
  std::vector<std::pair<std::string, int>> seen;
  d.for_each([&](const std::string& key, const int& value) { seen.emplace_back(key, value); });
  EXPECT_THAT(seen, UnorderedElementsAre(Pair("one", 1), Pair("two", 2)));
  EXPECT_EQ(d.snapshot(), seen);
  EXPECT_THROW(d.for_each([](const std::string&, int) { throw std::runtime_error("enough"); }),
               std::runtime_error);
  EXPECT_TRUE(d.set("three", 3));  // it is not locked
}

TEST(dictionary, refuses_to_be_used_by_what_it_calls) {
  words d;
  words other;
  d.set("one", 1);
  EXPECT_THROW(d.get_or_insert("two", [&] { return d.get("one").value(); }), heddle::recursive_use);
  EXPECT_THROW(d.update("one", [&](int& n) { n = static_cast<int>(d.size()); }),
               heddle::recursive_use);
  EXPECT_THROW(d.for_each([&](const std::string& key, int) { d.erase(key); }),
               heddle::recursive_use);
  EXPECT_THROW(d.for_each([&](const std::string& key, int) { d.get(key); }), heddle::recursive_use);
  EXPECT_THROW(d.edit([&](words::editor&) { d.clear(); }), heddle::recursive_use);
  // Also when another one lies between.
  EXPECT_THROW(
      d.get_or_insert("two",
                      [&] { return other.get_or_insert("x", [&] { return d.get_or("y", 0); }); }),
      heddle::recursive_use);
  EXPECT_THAT(d.snapshot(), UnorderedElementsAre(Pair("one", 1)));
  EXPECT_TRUE(other.empty());
  // Another one may be used, and this one afterwards.
  EXPECT_EQ(d.get_or_insert("two", [&] { return other.get_or_insert("x", [] { return 2; }); }), 2);
  EXPECT_EQ(d.size(), 2U);
}

TEST(dictionary, counts_what_is_done) {
  const heddle_test::watchdog dog;
  dictionary<int, int> d("squares");
  EXPECT_STREQ(d.name(), "squares");
  d.record(heddle::lock_recording::all);
  heddle_test::run_together(3, [&](unsigned t) {
    for (int i = 0; i < 10; ++i) d.set(static_cast<int>(t) * 10 + i, i * i);
    for (int i = 0; i < 40; ++i) d.get(i);
  });
  d.set(1, 1);
  d.erase(1);
  d.erase(1);
  d.update(2, [](int& n) { ++n; });
  d.get_or_insert(1, [] { return 1; });
  d.clear();
  const heddle::dictionary_statistics s = d.statistics();
  EXPECT_EQ(s.hits + s.misses, 3U * 40 + 2);
  EXPECT_GE(s.hits, 3U * 10 + 1);
  EXPECT_GE(s.misses, 3U * 10 + 1);
  EXPECT_EQ(s.inserts, 31U);
  EXPECT_EQ(s.updates, 2U);
  EXPECT_EQ(s.erases, 31U);
  EXPECT_GT(s.hit_share(), 0.2);
  EXPECT_EQ(s.lock.name, "squares");
  EXPECT_GE(s.lock.acquisitions, 3U * 50 + 5);
  EXPECT_EQ(words().statistics().hit_share(), 0);
}

// A value that throws at a chosen moment, and counts how many there are.
struct risky {
  static inline int alive = 0;
  static inline int until_failure = -1;  // operations; none fails when negative

  static void step() {
    if (until_failure >= 0 && until_failure-- == 0) throw std::runtime_error("risky");
  }
  explicit risky(int n) : number(n) { ++alive; }
  risky(const risky& other) : number(other.number) {
    step();
    ++alive;
  }
  risky(risky&& other) : number(other.number) {  // not noexcept, and it throws
    step();
    ++alive;
  }
  risky& operator=(const risky& other) {
    step();
    number = other.number;
    return *this;
  }
  ~risky() { --alive; }
  friend bool operator==(const risky& a, const risky& b) {
    step();
    return a.number == b.number;
  }
  int number;
};
struct risky_hash {
  std::size_t operator()(const risky& r) const {
    risky::step();
    return static_cast<std::size_t>(r.number % 3);  // collisions, so that keys are compared
  }
};

using risky_dictionary = dictionary<risky, risky, risky_hash>;

std::vector<std::pair<int, int>> numbers(const risky_dictionary& d) {
  std::vector<std::pair<int, int>> all;
  d.for_each([&](const risky& k, const risky& v) { all.emplace_back(k.number, v.number); });
  std::sort(all.begin(), all.end());
  return all;
}

// Whatever throws, at whichever moment: the dictionary is as before, or the call has done its work.
TEST(dictionary, stays_as_it_was_when_something_throws) {
  using operation = std::function<void(risky_dictionary&)>;
  const std::vector<operation> operations{
      [](auto& d) { d.set(risky(1), risky(10)); },
      [](auto& d) { d.set(risky(100), risky(10)); },
      [](auto& d) { d.insert(risky(101), risky(10)); },
      [](auto& d) { d.erase(risky(1)); },
      [](auto& d) { d.get(risky(1)); },
      [](auto& d) { d.get_or(risky(100), risky(1)); },
      [](auto& d) { d.get_or_insert(risky(100), [] { return risky(3); }); },
      [](auto& d) { d.update(risky(4), [](risky& r) { r = risky(5); }); },
      [](auto& d) { d.snapshot(); },
      [](auto& d) {
        risky_dictionary::batch changes;
        changes.set(risky(1), risky(70));
        changes.erase(risky(2));
        for (int i = 200; i < 220; ++i) changes.set(risky(i), risky(i));
        d.apply(std::move(changes));
      },
      [](auto& d) {
        d.edit([](auto& e) {
          e.set(risky(3), *e.get(risky(4)));
          e.set(risky(300), risky(1));
          e.erase(risky(5));
        });
      },
  };
  for (const operation& change : operations) {
    for (int moment = 0;; ++moment) {
      ASSERT_LT(moment, 10'000);
      risky::until_failure = -1;
      risky_dictionary d;
      for (int i = 0; i < 7; ++i) d.set(risky(i), risky(i));
      const auto before = numbers(d);
      risky::until_failure = moment;
      bool failed = false;
      try {
        change(d);
      } catch (const std::runtime_error&) {
        failed = true;
      }
      risky::until_failure = -1;
      if (!failed) break;
      ASSERT_EQ(numbers(d), before) << "failure " << moment;
      EXPECT_EQ(d.size(), before.size());
      d.set(risky(1000), risky(1));  // it is not locked, and works
      EXPECT_EQ(d.get(risky(1000))->number, 1);
    }
  }
  EXPECT_EQ(risky::alive, 0);
}

// What is taken out is destroyed when the lock is no longer held: its destructor may come back.
TEST(dictionary, destroys_outside_of_its_lock) {
  struct caller {
    dictionary<int, std::shared_ptr<caller>>* d;
    int* calls;
    caller(dictionary<int, std::shared_ptr<caller>>* where, int* count) : d(where), calls(count) {}
    caller(const caller&) = delete;
    caller& operator=(const caller&) = delete;
    ~caller() {
      d->set(1000, nullptr);
      ++*calls;
    }
  };
  const heddle_test::watchdog dog;
  using callers = dictionary<int, std::shared_ptr<caller>>;
  int calls = 0;
  callers d;
  const auto fill = [&] {
    for (int i = 0; i < 4; ++i) d.set(i, std::make_shared<caller>(&d, &calls));
  };
  fill();
  d.erase(0);
  d.set(1, nullptr);
  d.update(2, [](auto& p) { p = nullptr; });
  callers::batch changes;
  changes.erase(3);
  d.apply(std::move(changes));
  EXPECT_EQ(calls, 4);
  fill();
  changes = callers::batch();
  changes.set(0, nullptr);
  d.apply(std::move(changes));
  d.edit([](auto& e) { e.erase(1); });
  d.clear();
  EXPECT_EQ(calls, 8);
}

TEST(dictionary, takes_a_hash_and_a_comparison_of_its_own) {
  struct modulo {
    int by;
    std::size_t operator()(int n) const { return static_cast<std::size_t>(n % by); }
  };
  struct same_remainder {
    int by;
    bool operator()(int a, int b) const { return a % by == b % by; }
  };
  dictionary<int, int, modulo, same_remainder> d("by ten", modulo{10}, same_remainder{10});
  d.set(3, 1);
  EXPECT_EQ(d.get(13), 1);
  d.edit([](auto& e) { e.set(23, 2); });
  EXPECT_EQ(d.get(3), 2);
  d.clear();
  d.set(4, 4);
  EXPECT_EQ(d.get(14), 4);
  EXPECT_EQ(d.size(), 1U);
}

}  // namespace
