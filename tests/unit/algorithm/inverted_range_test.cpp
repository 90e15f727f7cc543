// Ranges that end before they begin: their size() would be a huge number.
#include <heddle/algorithm/for_each_batch.hpp>
#include <heddle/algorithm/map_reduce.hpp>
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/algorithm/parallel_scan.hpp>
#include <heddle/algorithm/parallel_sort.hpp>
#include <heddle/algorithm/parallel_transform.hpp>

#include <deque>
#include <functional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace {

using heddle::for_each_batch;
using heddle::map_batches;
using heddle::parallel_exclusive_scan;
using heddle::parallel_for_each;
using heddle::parallel_inclusive_scan;
using heddle::parallel_reduce;
using heddle::parallel_reduce_deterministic;
using heddle::parallel_sort;
using heddle::parallel_stable_sort;
using heddle::parallel_transform;
using heddle::parallel_transform_reduce;

template <class F>
void expect_refusal(const std::string& operation, F call) {
  SCOPED_TRACE(operation);
  try {
    call();
    ADD_FAILURE() << "it was taken";
  } catch (const std::invalid_argument& e) {
    EXPECT_EQ(e.what(), operation + ": the range ends 2 before it begins");
  }
}

// What is called is written outside of the template: within, each kind of place would have
// functions of its own, and the compiler an algorithm to make for each of them.
constexpr auto never_called = [](auto&&...) { ADD_FAILURE() << "it was called"; };
constexpr auto always_zero = [](auto&&...) { return 0; };
constexpr auto first_of = [](auto a, auto) {
  ADD_FAILURE() << "it was called";
  return a;
};
constexpr auto last_digit_less = [](int a, int b) { return a % 10 < b % 10; };

template <class R, class... Where>
void expect_that_all_refuse(R backwards, Where&... where) {
  using value = std::ranges::range_value_t<R>;
  std::vector<value> out(2);
  expect_refusal("parallel_for_each",
                 [&] { parallel_for_each(where..., backwards, never_called); });
  expect_refusal("parallel_for_each",
                 [&] { parallel_for_each(where..., backwards, never_called, {.grain = 1}); });
  expect_refusal("parallel_transform",
                 [&] { parallel_transform(where..., backwards, out.begin(), std::negate<>{}); });
  expect_refusal("parallel_reduce", [&] {
    static_cast<void>(parallel_reduce(where..., backwards, value(), first_of));
  });
  expect_refusal("parallel_transform_reduce", [&] {
    static_cast<void>(
        parallel_transform_reduce(where..., backwards, value(), first_of, std::negate<>{}));
  });
  expect_refusal("parallel_reduce_deterministic", [&] {
    static_cast<void>(parallel_reduce_deterministic(where..., backwards, value(), first_of));
  });
  expect_refusal("parallel_inclusive_scan",
                 [&] { parallel_inclusive_scan(where..., backwards, out.begin(), first_of); });
  expect_refusal("parallel_inclusive_scan", [&] {
    parallel_inclusive_scan(where..., backwards, out.begin(), first_of, value());
  });
  expect_refusal("parallel_exclusive_scan", [&] {
    parallel_exclusive_scan(where..., backwards, out.begin(), value(), first_of);
  });
  expect_refusal("map_reduce", [&] {
    static_cast<void>(
        heddle::map_reduce<value, int>(where..., backwards, never_called, always_zero));
  });
  expect_refusal("for_each_batch", [&] { for_each_batch(where..., backwards, never_called); });
  expect_refusal("map_batches",
                 [&] { map_batches(where..., backwards, always_zero, never_called); });
  if constexpr (std::sortable<std::ranges::iterator_t<R>>) {
    expect_refusal("parallel_sort", [&] { parallel_sort(where..., backwards); });
    expect_refusal("parallel_stable_sort", [&] { parallel_stable_sort(where..., backwards); });
    expect_refusal("parallel_stable_sort",
                   [&] { parallel_stable_sort(where..., backwards, last_digit_less); });
  }
}

template <class Range>
void expect_that_all_refuse_backwards(Range&& range) {
  const auto backwards = std::ranges::subrange(range.end(), range.begin());
  heddle::thread_pool pool(2);
  heddle::inline_executor here;
  expect_that_all_refuse(backwards);
  expect_that_all_refuse(backwards, pool);
  expect_that_all_refuse(backwards, here);
}

TEST(inverted_range, is_refused_by_every_algorithm) {
  std::vector<int> contiguous{1, 2};
  expect_that_all_refuse_backwards(contiguous);
  std::deque<int> in_chunks{1, 2};
  expect_that_all_refuse_backwards(in_chunks);
  expect_that_all_refuse_backwards(std::views::iota(3, 5));
  expect_that_all_refuse_backwards(std::views::iota(3U, 5U));
  expect_that_all_refuse_backwards(std::views::iota(3LL, 5LL));
  expect_that_all_refuse_backwards(std::views::reverse(contiguous));
}

// Ends and begins at the same place: the smallest range that is none of these.
TEST(inverted_range, an_empty_one_is_not) {
  const std::vector<int> none;
  parallel_for_each(none, [](int) { FAIL(); });
  EXPECT_EQ(heddle::for_each_batch(none, [](auto&&) { FAIL(); }).done.items, 0U);
  EXPECT_EQ(parallel_reduce(std::views::iota(4, 4), 7, std::plus<>{}), 7);
}

}  // namespace
