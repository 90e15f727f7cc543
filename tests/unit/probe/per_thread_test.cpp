#include <heddle/probe/per_thread.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/probe/counters.hpp>

#include "support/failing_new.hpp"
#include "support/threads.hpp"

namespace {

using heddle::owned_counter;
using heddle::per_thread;

std::uint64_t sum_of(const per_thread<owned_counter>& counters) {
  return counters.combine(std::uint64_t{0},
                          [](std::uint64_t sum, const owned_counter& c) { return sum + c.read(); });
}

template <class T>
int number_of_values(const per_thread<T>& values) {
  int n = 0;
  values.for_each([&n](const T&) { ++n; });
  return n;
}

TEST(per_thread, has_no_values_until_somebody_asks) {
  const per_thread<int> values;
  EXPECT_EQ(number_of_values(values), 0);
}

TEST(per_thread, gives_a_thread_the_same_value_each_time) {
  per_thread<int> values;
  values.local() = 7;
  EXPECT_EQ(values.local(), 7);
  EXPECT_EQ(&values.local(), &values.local());
  EXPECT_EQ(number_of_values(values), 1);
}

TEST(per_thread, begins_with_a_value_of_its_own) {
  per_thread<int> numbers;
  EXPECT_EQ(numbers.local(), 0);
  per_thread<std::unique_ptr<int>> owners;
  EXPECT_EQ(owners.local(), nullptr);
}

TEST(per_thread, instances_are_apart) {
  per_thread<int> a;
  per_thread<int> b;
  a.local() = 1;
  b.local() = 2;
  EXPECT_EQ(a.local(), 1);
  EXPECT_EQ(b.local(), 2);
}

TEST(per_thread, threads_are_apart_and_visits_see_all) {
  per_thread<owned_counter> counters;
  heddle_test::run_together(8, [&](unsigned i) {
    for (unsigned k = 0; k <= i; ++k) counters.local().add();
  });
  EXPECT_EQ(sum_of(counters), 36U);
}

TEST(per_thread, values_can_be_changed_in_a_visit) {
  per_thread<int> values;
  values.local() = 3;
  std::thread([&] { values.local() = 4; }).join();
  values.for_each([](int& v) { v *= 10; });
  EXPECT_EQ(values.local(), 30);
  EXPECT_EQ(values.combine(0, [](int sum, int v) { return sum + v; }), 70);
}

TEST(per_thread, combine_moves_its_result_along) {
  per_thread<std::string> words;
  words.local() = "left";
  const auto out = words.combine(std::make_unique<std::string>(),
                                 [](std::unique_ptr<std::string> text, const std::string& word) {
                                   *text += word;
                                   return text;
                                 });
  EXPECT_EQ(*out, "left");
}

TEST(per_thread, a_later_thread_is_given_the_value_of_one_that_ended) {
  per_thread<int> values;
  std::thread([&] { values.local() = 5; }).join();
  EXPECT_EQ(number_of_values(values), 1);
  int found = 0;
  std::thread([&] {
    found = values.local();
    values.local() = 6;
  }).join();
  EXPECT_EQ(found, 5);
  EXPECT_EQ(number_of_values(values), 1);
  EXPECT_EQ(values.local(), 6);  // this thread asks for the first time
  std::thread([&] { found = values.local(); }).join();
  EXPECT_EQ(found, 0);
  EXPECT_EQ(number_of_values(values), 2);
}

TEST(per_thread, a_new_instance_does_not_find_the_values_of_an_old_one) {
  for (int i = 0; i < 100; ++i) {
    per_thread<int> values;
    EXPECT_EQ(values.local(), 0);
    values.local() = i + 1;
  }
}

TEST(per_thread, a_thread_keeps_its_values_while_its_table_grows) {
  per_thread<int> first;
  first.local() = 42;
  std::vector<std::unique_ptr<per_thread<int>>> others;
  for (int i = 0; i < 200; ++i) {
    others.push_back(std::make_unique<per_thread<int>>());
    others.back()->local() = i;
  }
  EXPECT_EQ(first.local(), 42);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(others[static_cast<std::size_t>(i)]->local(), i);
}

TEST(per_thread, values_are_destroyed_with_the_instance_and_not_before) {
  struct counted {
    counted() { ++alive(); }
    ~counted() { --alive(); }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    static std::atomic<int>& alive() {
      static std::atomic<int> n{0};
      return n;
    }
  };
  {
    per_thread<counted> values;
    heddle_test::run_together(4, [&](unsigned) { values.local(); });
    values.local();
    EXPECT_EQ(counted::alive(), number_of_values(values));
    EXPECT_GE(counted::alive(), 1);
  }
  EXPECT_EQ(counted::alive(), 0);
}

TEST(per_thread, tries_again_after_a_constructor_that_threw) {
  struct reluctant {
    reluctant() {
      if (refuse()) throw std::runtime_error("not yet");
    }
    static bool& refuse() {
      static bool r = true;
      return r;
    }
  };
  per_thread<reluctant> values;
  EXPECT_THROW(values.local(), std::runtime_error);
  EXPECT_EQ(number_of_values(values), 0);
  reluctant::refuse() = false;
  values.local();
  EXPECT_EQ(number_of_values(values), 1);
}

TEST(per_thread, a_value_s_constructor_may_use_other_instances) {
  static std::vector<std::unique_ptr<per_thread<int>>> others;
  for (int i = 0; i < 50; ++i) others.push_back(std::make_unique<per_thread<int>>());
  struct nested {
    nested() {
      for (auto& o : others) o->local() = 1;
    }
    int own = 9;
  };
  per_thread<nested> values;
  std::thread([&] {
    EXPECT_EQ(values.local().own, 9);
    EXPECT_EQ(&values.local(), &values.local());
  }).join();
  others.clear();
}

TEST(per_thread, throws_when_memory_is_short_and_works_afterwards) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  for (long successes = 0;; ++successes) {
    per_thread<std::string> values;
    bool worked = false;
    std::thread([&] {
      {
        const heddle_test::failing_allocations limited(successes);
        try {
          values.local();
          worked = true;
        } catch (const std::bad_alloc&) {
        }
      }
      values.local() = "afterwards";
      EXPECT_EQ(values.local(), "afterwards");
    }).join();
    EXPECT_EQ(number_of_values(values), 1);
    if (worked) {
      EXPECT_GE(successes, 2);
      break;
    }
  }
}

TEST(per_thread, keeps_values_of_different_threads_on_different_lines) {
  per_thread<char> values;
  const auto mine = reinterpret_cast<std::uintptr_t>(&values.local());
  std::uintptr_t other = 0;
  std::thread([&] { other = reinterpret_cast<std::uintptr_t>(&values.local()); }).join();
  EXPECT_NE(mine / heddle::destructive_interference, other / heddle::destructive_interference);
}

// The destructor of a thread_local may be the first, or the last, of its thread to ask.
TEST(per_thread, serves_the_destructors_of_thread_locals) {
  static per_thread<owned_counter>* counters = nullptr;
  struct farewell {
    ~farewell() { counters->local().add(); }
  };
  for (const bool asks_before : {false, true}) {
    per_thread<owned_counter> c;
    counters = &c;
    for (int i = 0; i < 20; ++i) {
      std::thread([&] {
        thread_local const farewell f;
        static_cast<void>(&f);
        if (asks_before) c.local().add(0);
      }).join();
    }
    EXPECT_EQ(sum_of(c), 20U);
    EXPECT_EQ(number_of_values(c), 1);
  }
}

TEST(per_thread, a_visit_may_ask_for_a_value) {
  per_thread<int> outer;
  std::thread([&] { outer.local() = 1; }).join();
  outer.for_each([&](int&) { outer.local() = 2; });
  EXPECT_EQ(outer.local(), 2);
}

TEST(per_thread, a_forked_child_can_go_on) {
  per_thread<int> values;
  values.local() = 1;
  const pid_t child = fork();
  ASSERT_NE(child, -1);
  if (child == 0) {
    bool good = values.local() == 1;
    per_thread<int> more;
    std::thread([&] { more.local() = 2; }).join();
    more.for_each([&good](int v) { good = good && v == 2; });
    _exit(good ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
