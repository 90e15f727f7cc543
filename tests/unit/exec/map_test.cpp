#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <forward_list>
#include <functional>
#include <memory>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "support/pools.hpp"

namespace {

using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::pool_watchdog;
using heddle_test::unhandled_log;

class map : public heddle_test::pool_test {};

std::vector<int> numbers(int n) {
  std::vector<int> v;
  for (int i = 0; i < n; ++i) v.push_back(i);
  return v;
}

TEST_P(map, gives_the_results_in_the_order_of_the_range) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const std::vector<int> input = numbers(300);
  std::vector<int> output;
  for (int& v : pool.map(
           [](int i) {
             if (i % 7 == 0) std::this_thread::yield();
             return 3 * i;
           },
           input)) {
    output.push_back(v);
  }
  ASSERT_EQ(output.size(), input.size());
  for (const int i : input) EXPECT_EQ(output[static_cast<std::size_t>(i)], 3 * i);
}

TEST_P(map, of_nothing_gives_nothing) {
  thread_pool pool(options());
  auto results = pool.map([](int i) { return i; }, std::vector<int>());
  EXPECT_EQ(results.begin(), results.end());
  EXPECT_EQ(results.next(), std::nullopt);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

TEST_P(map, keeps_at_most_so_many_in_flight) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  for (const std::size_t limit : {std::size_t{1}, std::size_t{3}, std::size_t{0}}) {
    const std::size_t bound = limit == 0 ? std::size_t{4} * workers() : limit;
    std::atomic<std::size_t> begun = 0;
    std::size_t read = 0;
    std::atomic<std::size_t> most = 0;
    auto results = pool.map(
        [&begun](int i) {
          ++begun;
          return i;
        },
        numbers(60), limit);
    EXPECT_EQ(begun, 0U);  // lazy
    while (auto r = results.next()) {
      ++read;
      std::this_thread::yield();
      // Submitted are at most those read and `bound` more, one of which was just read.
      most = std::max(most.load(), begun - (read - 1));
      EXPECT_LE(begun, read - 1 + bound);
    }
    EXPECT_EQ(read, 60U);
    EXPECT_GE(most, 1U);
  }
}

// How far the input is read ahead is bounded as well: it may be endless.
TEST_P(map, reads_an_endless_single_pass_range_no_further_than_needed) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::size_t made = 0;
  auto endless = std::views::iota(0) | std::views::transform([&made](int i) {
                   ++made;
                   return i;
                 });
  auto results = pool.map([](int i) { return i + 1; }, endless, 5);
  int expected = 0;
  for (const int v : results) {
    EXPECT_EQ(v, ++expected);
    if (expected == 100) break;
  }
  EXPECT_LE(made, 105U);

  std::istringstream text("5 6 7 8");
  std::vector<int> output;
  for (const int v :
       pool.map([](int i) { return i * i; }, std::ranges::istream_view<int>(text), 2)) {
    output.push_back(v);
  }
  EXPECT_EQ(output, (std::vector<int>{25, 36, 49, 64}));
}

TEST_P(map, passes_elements_of_an_lvalue_range_by_reference) {
  thread_pool pool(options());
  std::vector<std::unique_ptr<int>> input;
  for (int i = 0; i < 10; ++i) input.push_back(std::make_unique<int>(i));
  for ([[maybe_unused]] auto& v : pool.map([](std::unique_ptr<int>& p) { return ++*p; }, input)) {
  }
  for (int i = 0; i < 10; ++i) EXPECT_EQ(*input[static_cast<std::size_t>(i)], i + 1);
}

TEST_P(map, owns_an_rvalue_range) {
  thread_pool pool(options());
  auto results = pool.map([](const std::string& s) { return s.size(); },
                          std::vector<std::string>{"a", "bb", std::string(100, 'c')});
  std::vector<std::size_t> sizes;
  for (const std::size_t s : results) sizes.push_back(s);
  EXPECT_EQ(sizes, (std::vector<std::size_t>{1, 2, 100}));
}

TEST_P(map, gives_results_that_only_move_and_references_as_values) {
  thread_pool pool(options());
  for (auto& p : pool.map([](int i) { return std::make_unique<int>(i); }, numbers(5))) {
    EXPECT_NE(p, nullptr);
    auto taken = std::move(p);
  }
  const std::vector<std::string> input{"x"};
  for (auto& s : pool.map([](const std::string& e) -> const std::string& { return e; }, input)) {
    EXPECT_NE(&s, &input[0]);
    EXPECT_EQ(s, "x");
  }
}

TEST_P(map, of_a_function_without_result_steps_once_for_each) {
  thread_pool pool(options());
  std::atomic<int> sum = 0;
  int steps = 0;
  for ([[maybe_unused]] auto& v : pool.map([&sum](int i) { sum += i; }, numbers(10))) ++steps;
  EXPECT_EQ(steps, 10);
  EXPECT_EQ(sum, 45);
}

TEST_P(map, exception_comes_out_at_its_place_and_stepping_on_skips_it) {
  const unhandled_log log;
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto results = pool.map(
      [](int i) {
        if (i % 3 == 1) throw std::runtime_error(std::to_string(i));
        return i;
      },
      numbers(10), 4);
  std::vector<int> values;
  std::vector<std::string> errors;
  for (bool more = true; more;) {
    try {
      const auto r = results.next();
      more = r.has_value();
      if (more) values.push_back(*r);
    } catch (const std::runtime_error& e) {
      errors.emplace_back(e.what());
      EXPECT_EQ(static_cast<int>(values.size() + errors.size()) - 1, std::stoi(e.what()));
    }
  }
  EXPECT_EQ(values, (std::vector<int>{0, 2, 3, 5, 6, 8, 9}));
  EXPECT_EQ(errors, (std::vector<std::string>{"1", "4", "7"}));
  EXPECT_EQ(log.count(), 0U);
}

TEST_P(map, exception_comes_out_of_begin_and_of_a_step) {
  thread_pool pool(options());
  const auto failing_at = [](int where) {
    return [where](int i) {
      if (i == where) throw std::runtime_error("map");
      return i;
    };
  };
  auto first = pool.map(failing_at(0), numbers(3));
  EXPECT_THROW(static_cast<void>(first.begin()), std::runtime_error);
  auto second = pool.map(failing_at(1), numbers(3));
  auto it = second.begin();
  EXPECT_EQ(*it, 0);
  EXPECT_THROW(++it, std::runtime_error);
  ++it;
  EXPECT_EQ(*it, 2);
  ++it;
  EXPECT_EQ(it, second.end());
}

TEST_P(map, exception_of_the_range_comes_out_and_nothing_hangs) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  auto range = numbers(20) | std::views::transform([](int i) {
                 if (i == 7) throw std::out_of_range("range");
                 return i;
               });
  auto results = pool.map([](int i) { return i; }, std::move(range), 3);
  int read = 0;
  EXPECT_THROW(
      {
        while (results.next()) ++read;
      },
      std::out_of_range);
  EXPECT_LE(read, 7);
}

TEST_P(map, left_early_cancels_what_has_not_begun_and_waits_for_the_rest) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  std::atomic<int> inside = 0;
  {
    auto results = pool.map(
        [&inside, c = counted()](int i) {
          ++inside;
          std::this_thread::sleep_for(std::chrono::microseconds(200));
          --inside;
          return i;
        },
        numbers(1000), 16);
    EXPECT_TRUE(results.next().has_value());
  }
  EXPECT_EQ(inside, 0);
  EXPECT_EQ(counted::alive, 0);
  EXPECT_LE(pool.statistics().submitted, 17U);
  EXPECT_TRUE(pool.wait_idle());
}

TEST_P(map, left_by_an_exception_of_the_loop) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  try {
    for (const int v : pool.map([](int i) { return i; }, numbers(100))) {
      if (v == 5) throw std::runtime_error("loop");
    }
    ADD_FAILURE() << "the loop ended";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "loop");
  }
}

TEST_P(map, errors_behind_an_early_leave_go_to_the_handler) {
  const unhandled_log log;
  std::atomic<unsigned> begun = 0;
  {
    thread_pool pool(options());
    auto results = pool.map(
        [&begun](int) -> int {
          ++begun;
          throw std::runtime_error("x");
        },
        numbers(5), 5);
    EXPECT_THROW(static_cast<void>(results.next()), std::runtime_error);
  }
  EXPECT_EQ(log.count(), begun - 1);
}

TEST_P(map, inside_a_task_and_inside_itself) {
  thread_pool pool(options());
  const pool_watchdog dog(pool);
  const auto total = [&pool](int n) {
    int sum = 0;
    for (const int v : pool.map([](int i) { return i; }, numbers(n))) sum += v;
    return sum;
  };
  EXPECT_EQ(pool.submit(total, 30).get(), 435);
  int all = 0;
  for (const int v : pool.map(total, numbers(20))) all += v;
  int expected = 0;
  for (int n = 0; n < 20; ++n) expected += n * (n - 1) / 2;
  EXPECT_EQ(all, expected);
}

TEST_P(map, refuses_a_null_function_and_a_pool_that_was_shut_down) {
  thread_pool pool(options());
  EXPECT_THROW(static_cast<void>(pool.map(std::function<int(int)>(), numbers(1))),
               std::invalid_argument);
  auto results = pool.map([](int i) { return i; }, numbers(3));
  pool.shutdown();
  EXPECT_THROW(static_cast<void>(results.next()), heddle::rejected);
}

TEST_P(map, of_a_pool_shut_down_meanwhile_says_so) {
  thread_pool pool(options());
  auto results = pool.map([](int i) { return i; }, numbers(10), 3);
  EXPECT_EQ(results.next(), 0);
  pool.shutdown();
  EXPECT_EQ(results.next(), 1);  // what was submitted before comes first
  EXPECT_EQ(results.next(), 2);
  EXPECT_THROW(static_cast<void>(results.next()), heddle::rejected);
}

TEST_P(map, of_a_range_that_throws_gives_what_came_before_and_goes_on_behind) {
  thread_pool pool(options());
  const std::vector<int> input = numbers(6);
  auto range = input | std::views::transform([thrown = false](int i) mutable {
                 if (i == 3 && !std::exchange(thrown, true)) throw std::out_of_range("three");
                 return i;
               });
  auto results = pool.map([](int i) { return i; }, std::move(range), 2);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(results.next(), i);
  EXPECT_THROW(static_cast<void>(results.next()), std::out_of_range);
  for (int i = 3; i < 6; ++i) EXPECT_EQ(results.next(), i);
  EXPECT_EQ(results.next(), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(pools, map, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
