#include <heddle/probe/per_thread.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/probe/counters.hpp>

#include "support/child_process.hpp"
#include "support/failing_new.hpp"
#include "support/thread_exit.hpp"
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
  EXPECT_TRUE(heddle_test::holds_in_child([&] {
    bool good = values.local() == 1;
    per_thread<int> more;
    std::thread([&] { more.local() = 2; }).join();
    more.for_each([&good](int v) { good = good && v == 2; });
    return good;
  }));
}

// Threads end, and instances come and go, at the moment of the fork: the child finds the locks
// free.
TEST(per_thread, a_child_forked_off_while_threads_end_can_go_on) {
  const heddle_test::watchdog dog;
  per_thread<owned_counter> counters;
  std::atomic<bool> over{false};
  std::thread busy([&] {
    while (!over) {
      per_thread<int> other;
      std::thread([&] {
        counters.local().add();
        other.local() = 1;
      }).join();
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(heddle_test::holds_in_child([&] {
      const auto before = sum_of(counters);
      counters.local().add();
      per_thread<int> own;
      own.local() = 5;
      return sum_of(counters) == before + 1 && own.local() == 5;
    }));
  }
  over = true;
  busy.join();
}

TEST(per_thread, begins_with_what_a_callable_returns) {
  per_thread<int> products([] { return 1; });
  products.local() *= 6;
  std::thread([&] { products.local() *= 7; }).join();
  EXPECT_EQ(products.combine(1, [](int a, int b) { return a * b; }), 42);

  struct immovable {
    explicit immovable(int n) : number(n) {}
    immovable(const immovable&) = delete;
    immovable& operator=(const immovable&) = delete;
    int number;
  };
  int made = 0;
  per_thread<immovable> numbers([&made] { return immovable(++made); });
  EXPECT_EQ(numbers.local().number, 1);
  EXPECT_EQ(numbers.local().number, 1);
  std::thread([&] { EXPECT_EQ(numbers.local().number, 2); }).join();

  per_thread<std::string> words([] { return "converted"; });
  EXPECT_EQ(words.local(), "converted");
}

TEST(per_thread, tries_again_after_a_callable_that_threw) {
  bool refuse = true;
  per_thread<int> values([&refuse]() -> int {
    if (refuse) throw std::runtime_error("not yet");
    return 3;
  });
  EXPECT_THROW(values.local(), std::runtime_error);
  EXPECT_THROW(values.local(), std::runtime_error);
  EXPECT_EQ(number_of_values(values), 0);
  refuse = false;
  EXPECT_EQ(values.local(), 3);
}

TEST(per_thread, find_makes_nothing) {
  per_thread<int> values;
  const per_thread<int>& same = values;
  EXPECT_EQ(values.find(), nullptr);
  EXPECT_EQ(same.find(), nullptr);
  EXPECT_EQ(number_of_values(values), 0);
  int* const mine = &values.local();
  EXPECT_EQ(values.find(), mine);
  EXPECT_EQ(same.find(), mine);
  std::thread([&] { EXPECT_EQ(values.find(), nullptr); }).join();
}

struct told {
  void left_behind() noexcept { ++left; }
  void taken_over() noexcept { ++taken; }
  int left = 0;
  int taken = 0;
};

TEST(per_thread, a_value_is_told_when_its_thread_ends_and_when_another_has_it) {
  per_thread<told> values;
  told* first = nullptr;
  std::thread([&] {
    first = &values.local();
    heddle_test::thread_exit::call([&] { EXPECT_EQ(values.local().left, 0); });
  }).join();
  EXPECT_EQ(first->left, 1);
  EXPECT_EQ(first->taken, 0);
  std::thread([&] {
    EXPECT_EQ(&values.local(), first);
    EXPECT_EQ(first->taken, 1);
    EXPECT_EQ(first->left, 1);
  }).join();
  EXPECT_EQ(first->left, 2);
  EXPECT_EQ(first->taken, 1);
}

// The thread has used an instance that is there no more, and one that has come in its place.
TEST(per_thread, a_value_that_is_gone_is_not_told) {
  std::atomic<int> step{0};
  auto values = std::make_unique<per_thread<told>>();
  std::thread user([&] {
    values->local();
    step = 1;
    while (step != 2) std::this_thread::yield();
  });
  while (step != 1) std::this_thread::yield();
  values.reset();
  per_thread<told> next;
  next.local();
  step = 2;
  user.join();
  EXPECT_EQ(next.local().left, 0);
}

TEST(per_thread, a_thread_s_end_destroys_nothing) {
  const auto life = std::make_shared<int>(1);
  {
    per_thread<std::shared_ptr<int>> values;
    std::thread([&] { values.local() = life; }).join();
    EXPECT_EQ(life.use_count(), 2);
  }
  EXPECT_EQ(life.use_count(), 1);
}

TEST(per_thread, over_aligned_values_are_aligned) {
  struct alignas(512) wide {
    char c = 0;
  };
  per_thread<wide> values;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&values.local()) % 512, 0U);
}

// Nothing of the library's own is left behind by instances that are gone, on threads that are gone.
TEST(per_thread, leaves_no_memory_behind) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  const auto use = [] {
    std::thread([] {
      std::vector<std::unique_ptr<per_thread<std::string>>> many;
      for (int i = 0; i < 30; ++i) many.push_back(std::make_unique<per_thread<std::string>>());
      for (auto& values : many) values->local() = "a string too long to be stored in place";
    }).join();
  };
  use();
  const long before = heddle_test::live_allocations_but_for_cells();
  use();
  EXPECT_EQ(heddle_test::live_allocations_but_for_cells(), before);
}

}  // namespace
