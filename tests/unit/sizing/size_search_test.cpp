#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <heddle/sizing/recommend.hpp>
#include <heddle/sizing/size_search.hpp>
#include <set>
#include <stdexcept>
#include <vector>

#include "unit/sizing/noise.hpp"

namespace {

using namespace heddle::sizing;
using sizing_test::noise;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;
using testing::Not;
using testing::ThrowsMessage;

using curve = std::function<double(int)>;

measurement at(int size, double throughput) {
  constexpr double tasks = 1e6;
  return {.size = size,
          .tasks = static_cast<std::uint64_t>(tasks),
          .elapsed = std::chrono::nanoseconds(std::llround(tasks / throughput * 1e9))};
}

// The sizes asked for, in their order.
std::vector<int> drive(size_search& search, const curve& throughput, double deviation = 0,
                       std::uint64_t seed = 1) {
  noise n(seed);
  std::vector<int> asked;
  while (const auto size = search.next()) {
    asked.push_back(*size);
    if (asked.size() > 2000) {
      ADD_FAILURE() << "does not come to an end";
      break;
    }
    search.add(at(*size, throughput(*size) * (1 + deviation * n.next())));
  }
  return asked;
}

std::vector<int> distinct(const std::vector<int>& asked) {
  const std::set<int> all(asked.begin(), asked.end());
  return {all.begin(), all.end()};
}

int recommended(const size_search& search) {
  return recommend(summarize(search.measurements()), {.cores = 2}).size;
}

double linear_up_to(int size, double knee) { return 10 * std::min<double>(size, knee); }

TEST(size_search, doubles_until_twice_in_a_row_nothing_was_gained) {
  size_search search({.most = 1000});
  const auto asked = drive(search, [](int size) { return linear_up_to(size, 4); });
  EXPECT_THAT(std::vector<int>(asked.begin(), asked.begin() + 5), ElementsAre(1, 2, 4, 8, 16));
  EXPECT_EQ(distinct(asked), (std::vector<int>{1, 2, 3, 4, 8, 16}));
  EXPECT_EQ(recommended(search), 4);
}

TEST(size_search, measures_the_largest_size_while_throughput_rises) {
  size_search search({.most = 100});
  const auto sizes = distinct(drive(search, [](int size) { return 10.0 * size; }));
  EXPECT_THAT(sizes, AllOf(Contains(64), Contains(100), Each(Le(100))));
  EXPECT_EQ(recommended(search), 100);
}

TEST(size_search, finds_a_knee_between_the_powers_of_two) {
  for (const int knee : {3, 11, 23, 51, 90, 300}) {
    size_search search({.most = 1024});
    const auto sizes = distinct(drive(search, [&](int size) { return linear_up_to(size, knee); }));
    const int found = recommended(search);
    EXPECT_GE(found, 0.97 * knee - 1e-9) << knee;
    EXPECT_LE(found, 1.15 * knee + 1) << knee;
    EXPECT_LE(sizes.size(), 17U) << knee;
  }
}

TEST(size_search, finds_a_peak) {
  const curve gunther = [](int size) {
    const double n = size;
    return 100 * n / (1 + 0.02 * (n - 1) + 0.0008 * n * (n - 1));
  };
  size_search search({.most = 1024});
  const auto sizes = distinct(drive(search, gunther));
  EXPECT_LE(sizes.size(), 14U);
  double best = 0;
  for (int size = 1; size < 200; ++size) best = std::max(best, gunther(size));
  EXPECT_GE(gunther(recommended(search)), 0.94 * best);
  EXPECT_LE(recommended(search), 35);
}

TEST(size_search, of_constant_and_of_falling_throughput_recommends_one) {
  size_search constant({.most = 1024});
  EXPECT_EQ(distinct(drive(constant, [](int) { return 5.0; })), (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(recommended(constant), 1);
  size_search falling({.most = 1024});
  EXPECT_EQ(distinct(drive(falling, [](int size) { return 5.0 / size; })),
            (std::vector<int>{1, 2, 4}));
  EXPECT_EQ(recommended(falling), 1);
}

TEST(size_search, finds_the_knee_in_spite_of_noise) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    size_search search({.most = 1024});
    drive(search, [](int size) { return linear_up_to(size, 48); }, 0.03, seed);
    EXPECT_GE(recommended(search), 40) << seed;
    EXPECT_LE(recommended(search), 60) << seed;
  }
}

TEST(size_search, repeats_while_the_interval_is_wide_and_no_more_often_than_told) {
  size_search calm({.sizes = {4}, .min_repetitions = 3});
  EXPECT_THAT(drive(calm, [](int) { return 7.0; }), ElementsAre(4, 4, 4));
  EXPECT_TRUE(calm.imprecise().empty());
  size_search wild({.sizes = {4}, .max_repetitions = 9});
  EXPECT_EQ(drive(wild, [](int) { return 7.0; }, 0.3).size(), 9U);
  EXPECT_THAT(wild.imprecise(), ElementsAre(4));
  size_search noisy({.sizes = {4}, .max_repetitions = 100});
  const auto times = drive(noisy, [](int) { return 7.0; }, 0.05).size();
  EXPECT_GT(times, 12U) << "2 sigma / sqrt(n) <= 2 % takes some 25";
  EXPECT_LT(times, 60U);
  EXPECT_LE(summarize(noisy.measurements()).front().throughput.relative_half_width(), 0.02);
}

TEST(size_search, takes_less_care_of_sizes_that_are_certainly_worse) {
  const curve steep = [](int size) { return size == 8 ? 100.0 : 10.0; };
  size_search search({.sizes = {1, 8}, .max_repetitions = 200});
  const auto asked = drive(search, steep, 0.05);
  EXPECT_LT(2 * std::count(asked.begin(), asked.end(), 1),
            std::count(asked.begin(), asked.end(), 8));
}

TEST(size_search, of_given_sizes_measures_just_these_in_alternating_rounds) {
  size_search search({.sizes = {8, 2, 2, 5}, .min_repetitions = 3});
  EXPECT_THAT(drive(search, [](int size) { return 10.0 * size; }),
              ElementsAre(2, 5, 8, 8, 5, 2, 2, 5, 8));
}

TEST(size_search, cancels_a_drift) {
  // Each measurement finds the machine half a percent slower than the one before.
  double speed = 100;
  size_search search({.sizes = {1, 2, 3, 4}, .min_repetitions = 4, .max_repetitions = 4});
  while (const auto size = search.next()) {
    search.add(at(*size, speed));
    speed -= 0.5;
  }
  const auto sizes = summarize(search.measurements());
  for (const auto& s : sizes)
    EXPECT_NEAR(s.throughput.value, sizes.front().throughput.value, 1e-3) << s.size;
}

TEST(size_search, answers_the_same_to_the_same_measurements) {
  const curve knee = [](int size) { return linear_up_to(size, 20); };
  size_search one({.most = 256});
  size_search other({.most = 256});
  EXPECT_EQ(drive(one, knee, 0.02, 5), drive(other, knee, 0.02, 5));
  size_search another({.most = 256});
  EXPECT_EQ(another.next(), another.next()) << "asking changes nothing";
}

TEST(size_search, stays_within_its_bounds) {
  size_search search({.least = 3, .most = 10});
  const auto sizes = distinct(drive(search, [](int size) { return 10.0 * size; }));
  EXPECT_THAT(sizes, AllOf(Contains(3), Contains(6), Contains(10), Each(AllOf(Ge(3), Le(10)))));
  size_search single({.least = 5, .most = 5, .min_repetitions = 2});
  EXPECT_THAT(drive(single, [](int) { return 1.0; }), ElementsAre(5, 5));
}

TEST(size_search, does_not_ask_again_for_what_was_refused) {
  size_search search({.most = 1024});
  std::vector<int> asked;
  while (const auto size = search.next()) {
    ASSERT_LT(asked.size(), 500U);
    asked.push_back(*size);
    if (*size > 90) {
      search.refuse(*size);
    } else {
      search.add(at(*size, 10.0 * *size));
    }
  }
  EXPECT_EQ(std::count(asked.begin(), asked.end(), 128), 1);
  EXPECT_THAT(asked, Not(Contains(256)));
  EXPECT_GE(recommended(search), 80) << "what lies below is found";
}

TEST(size_search, ends_when_everything_is_refused) {
  size_search search({.most = 8});
  for (int i = 0; i < 20; ++i)
    if (const auto size = search.next()) search.refuse(*size);
  EXPECT_FALSE(search.next());
  size_search given({.sizes = {4, 8}, .min_repetitions = 1});
  given.add(at(4, 1));
  given.refuse(8);
  EXPECT_EQ(given.next(), 4) << "a second repetition tells how exact the first is";
  given.add(at(4, 1));
  EXPECT_FALSE(given.next());
  given.refuse(4);
  EXPECT_FALSE(given.next());
}

TEST(size_search, goes_on_when_a_size_fails_that_could_be_had_before) {
  size_search search({.most = 16, .min_repetitions = 3});
  for (int i = 0; i < 5; ++i) {
    const auto size = search.next();
    search.add(at(*size, 10.0 * *size));
  }
  search.refuse(16);
  int left = 0;
  while (const auto size = search.next()) {
    EXPECT_LT(*size, 16);
    search.add(at(*size, 10.0 * *size));
    ASSERT_LT(++left, 100);
  }
  EXPECT_GT(left, 0);
}

TEST(size_search, tells_how_far_it_is) {
  size_search search({.sizes = {1, 2}, .min_repetitions = 2});
  EXPECT_EQ(search.how_far().expected, 4);
  search.add(at(1, 10));
  const auto p = search.how_far();
  EXPECT_EQ(p.sizes, 1);
  EXPECT_EQ(p.done, 1);
  EXPECT_EQ(p.expected, 4);
  drive(search, [](int) { return 10.0; });
  EXPECT_EQ(search.how_far().done, search.how_far().expected);
}

TEST(size_search, refuses_nonsense_and_names_it) {
  const auto refused = [](search_options o, const char* text) {
    EXPECT_THAT([&] { size_search{o}; }, ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
  };
  refused({.sizes = {4, 0}}, "a size is 0");
  refused({.sizes = {-2}}, "a size is -2");
  refused({.least = 0}, "least is 0");
  refused({.least = 9, .most = 8}, "most is 8, must be at least 9");
  refused({.precision = 0}, "precision is 0");
  refused({.precision = 1}, "precision is 1");
  refused({.precision = std::nan("")}, "precision is nan");
  refused({.tolerance = -0.1}, "tolerance is -0.1");
  refused({.min_repetitions = 0}, "min_repetitions is 0");
  refused({.min_repetitions = 4, .max_repetitions = 3}, "max_repetitions is 3");
  size_search search({});
  EXPECT_THAT([&] { search.add(at(0, 1)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("size is 0")));
  EXPECT_EQ(search.next(), 1) << "what was refused has changed nothing";
}

}  // namespace
