#include <heddle/data/memoize.hpp>

#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "support/threads.hpp"

namespace {

using heddle::memoize;

TEST(memoize, calls_once_for_equal_arguments) {
  int calls = 0;
  auto f = memoize([&](const std::string& text, int times) {
    ++calls;
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  });
  EXPECT_EQ(f("ab", 2), "abab");
  EXPECT_EQ(f("ab", 2), "abab");
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(f("ab", 3), "ababab");
  EXPECT_EQ(f("a", 2), "aa");
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(f.statistics().hits, 1U);
  f.clear();
  EXPECT_EQ(f("ab", 2), "abab");
  EXPECT_EQ(calls, 4);
}

int doubled(int n) { return 2 * n; }

TEST(memoize, takes_functions_and_no_arguments) {
  auto f = memoize(&doubled);
  EXPECT_EQ(f(4), 8);
  EXPECT_EQ(f(4), 8);
  EXPECT_EQ(f.statistics().loads, 1U);
  int calls = 0;
  auto g = memoize([&calls] { return ++calls; });
  EXPECT_EQ(g(), 1);
  EXPECT_EQ(g(), 1);
}

TEST(memoize, a_recursive_function_goes_through_it) {
  int calls = 0;
  auto fibonacci = memoize<long(int)>([&](auto& self, int n) -> long {
    ++calls;
    return n < 2 ? n : self(n - 1) + self(n - 2);
  });
  EXPECT_EQ(fibonacci(80), 23416728348467685);
  EXPECT_EQ(calls, 81);
}

TEST(memoize, a_call_that_needs_itself_is_told) {
  auto f = memoize<int(int)>([](auto& self, int n) -> int { return self(n); });
  EXPECT_THROW(f(1), heddle::recursive_computation);
}

TEST(memoize, remembers_no_exception) {
  int calls = 0;
  auto f = memoize([&](int n) {
    if (++calls == 1) throw std::runtime_error("first");
    return n;
  });
  EXPECT_THROW(f(1), std::runtime_error);
  EXPECT_EQ(f(1), 1);
}

TEST(memoize, is_bounded) {
  auto f = memoize([](int n) { return n; }, 10);
  for (int i = 0; i < 100; ++i) f(i);
  EXPECT_EQ(f.statistics().entries, 10U);
  auto nothing = memoize([](int n) { return n; }, 0);
  nothing(1);
  nothing(1);
  EXPECT_EQ(nothing.statistics().loads, 2U);
}

TEST(memoize, remembers_nothing_of_a_nan) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  int calls = 0;
  auto f = memoize([&](double x, int) {
    ++calls;
    return x + 1;
  });
  EXPECT_EQ(f(1.0, 2), 2.0);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(std::isnan(f(nan, 2)));
  EXPECT_EQ(calls, 6);
  EXPECT_EQ(f(1.0, 2), 2.0);
  EXPECT_EQ(calls, 6);
  EXPECT_EQ(f.statistics().entries, 1U);
  auto g = memoize([&](float x) { return x; });
  EXPECT_TRUE(std::isnan(g(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_EQ(g.statistics().entries, 0U);
}

TEST(memoize, several_threads_call_it_once) {
  const heddle_test::watchdog dog;
  std::atomic<int> calls{0};
  auto f = memoize([&](int n, const std::string&) {
    ++calls;
    return n;
  });
  heddle_test::run_together(4, [&](unsigned) {
    for (int i = 0; i < 200; ++i) EXPECT_EQ(f(i, "x"), i);
  });
  EXPECT_EQ(calls, 200);
}

}  // namespace
