#include <heddle/algorithm/parallel_transform.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "places.hpp"
#include "support/pools.hpp"

namespace {

using heddle::parallel_transform;
using heddle_test::at_every_place;
using heddle_test::interesting_sizes;
using heddle_test::workers;

TEST(parallel_transform, writes_what_std_transform_does_everywhere) {
  const heddle_test::watchdog dog;
  const auto f = [](int i) { return 3L * i; };
  at_every_place([&](auto&... where) {
    for (const std::size_t size : interesting_sizes()) {
      std::vector<int> in(size);
      std::iota(in.begin(), in.end(), 1);
      std::vector<long> expected(size);
      std::transform(in.begin(), in.end(), expected.begin(), f);
      for (const std::size_t grain : {0UL, 1UL, 10UL}) {
        std::vector<long> out(size + 1, -1);
        const auto end = parallel_transform(where..., in, out.begin(), f, {.grain = grain});
        ASSERT_EQ(end, out.end() - 1);
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), out.begin()));
        ASSERT_EQ(out.back(), -1);
      }
    }
  });
}

TEST(parallel_transform, in_place_and_of_many) {
  heddle::thread_pool pool(workers(2));
  std::vector<int> v(1'000'000);
  std::iota(v.begin(), v.end(), 0);
  parallel_transform(pool, v, v.begin(), [](int i) { return i + 1; });
  for (std::size_t i = 0; i != v.size(); ++i) ASSERT_EQ(v[i], static_cast<int>(i) + 1);
}

TEST(parallel_transform, to_values_that_can_only_be_moved) {
  std::vector<std::unique_ptr<std::string>> out(100);
  parallel_transform(std::views::iota(0, 100), out.begin(),
                     [](int i) { return std::make_unique<std::string>(std::to_string(i)); },
                     {.grain = 9});
  EXPECT_EQ(*out[99], "99");
}

TEST(parallel_transform, rethrows_and_leaves_what_was_written) {
  const heddle_test::unhandled_log log;
  const auto f = [](int i) { return i != 0 ? i : throw std::domain_error("zero"); };
  at_every_place([&](auto&... where) {
    std::vector<int> in(100, 1);
    in[50] = 0;
    std::vector<int> out(100);
    EXPECT_THROW(parallel_transform(where..., in, out.begin(), f, {.grain = 1}), std::domain_error);
    EXPECT_EQ(out[50], 0);
  });
}

TEST(parallel_transform, refuses_a_null_callable) {
  std::vector<int> v(3);
  const std::function<int(int)> none;
  EXPECT_THROW(parallel_transform(v, v.begin(), none), std::invalid_argument);
}

}  // namespace
