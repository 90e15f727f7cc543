#include <heddle/algorithm/parallel_scan.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "places.hpp"
#include "support/pools.hpp"

namespace {

using heddle::parallel_exclusive_scan;
using heddle::parallel_inclusive_scan;
using heddle_test::at_every_place;
using heddle_test::workers;

// Concatenation is associative and nothing else: an order that is not kept is seen.
TEST(parallel_scan, is_the_sequential_one_everywhere) {
  const heddle_test::watchdog dog;
  at_every_place([](auto&... where) {
    for (const std::size_t size : {0UL, 1UL, 2UL, 3UL, 8UL, 33UL, 100UL, 257UL}) {
      std::vector<std::string> in;
      for (std::size_t i = 0; i != size; ++i)
        in.push_back(std::string(1, static_cast<char>('a' + i % 26)));
      std::vector<std::string> inclusive(size);
      std::vector<std::string> with_init(size);
      std::vector<std::string> exclusive(size);
      const std::plus<> op;
      std::inclusive_scan(in.begin(), in.end(), inclusive.begin(), op);
      std::inclusive_scan(in.begin(), in.end(), with_init.begin(), op, std::string("init"));
      std::exclusive_scan(in.begin(), in.end(), exclusive.begin(), std::string("init"), op);
      for (const std::size_t grain : {0UL, 1UL, 10UL}) {
        std::vector<std::string> out(size);
        EXPECT_EQ(parallel_inclusive_scan(where..., in, out.begin(), op, {.grain = grain}),
                  out.end());
        ASSERT_EQ(out, inclusive) << size << " by " << grain;
        parallel_inclusive_scan(where..., in, out.begin(), op, std::string("init"),
                                {.grain = grain});
        ASSERT_EQ(out, with_init) << size << " by " << grain;
        EXPECT_EQ(parallel_exclusive_scan(where..., in, out.begin(), std::string("init"), op,
                                          {.grain = grain}),
                  out.end());
        ASSERT_EQ(out, exclusive) << size << " by " << grain;
        out = in;
        parallel_exclusive_scan(where..., out, out.begin(), std::string("init"), op,
                                {.grain = grain});
        ASSERT_EQ(out, exclusive) << "in place, " << size << " by " << grain;
      }
    }
  });
}

TEST(parallel_scan, of_many_numbers) {
  const heddle_test::watchdog dog;
  std::vector<std::uint32_t> in(1'000'001);
  std::iota(in.begin(), in.end(), 3U);
  std::vector<std::uint32_t> expected(in.size());
  std::inclusive_scan(in.begin(), in.end(), expected.begin());
  at_every_place([&](auto&... where) {
    std::vector<std::uint32_t> out(in.size());
    parallel_inclusive_scan(where..., in, out.begin(), std::plus<>{});
    ASSERT_EQ(out, expected);
    parallel_exclusive_scan(where..., in, out.begin(), 0U, std::plus<>{});
    ASSERT_TRUE(std::equal(out.begin() + 1, out.end(), expected.begin()));
    ASSERT_EQ(out[0], 0U);
  });
}

TEST(parallel_scan, rethrows_what_the_operation_throws) {
  const heddle_test::unhandled_log log;
  const auto op = [](int a, int b) { return a < 100 ? a + b : throw std::overflow_error("sum"); };
  at_every_place([&](auto&... where) {
    const std::vector<int> in(500, 1);
    std::vector<int> out(500);
    EXPECT_THROW(parallel_inclusive_scan(where..., in, out.begin(), op, {.grain = 5}),
                 std::overflow_error);
    EXPECT_THROW(parallel_exclusive_scan(where..., in, out.begin(), 0, op), std::overflow_error);
  });
}

TEST(parallel_scan, refuses_a_null_callable) {
  std::vector<int> v(3);
  const std::function<int(int, int)> none;
  EXPECT_THROW(parallel_inclusive_scan(v, v.begin(), none), std::invalid_argument);
  EXPECT_THROW(parallel_exclusive_scan(v, v.begin(), 0, none), std::invalid_argument);
}

}  // namespace
