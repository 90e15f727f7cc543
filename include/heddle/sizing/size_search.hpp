// Which sizes to measure, and how often.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/sizing/measurement.hpp>
#include <heddle/sizing/statistics.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

struct search_options {
  // Sizes to measure, in any order, doubles ignored. None: the search finds them from `least` to
  // `most`.
  std::vector<int> sizes{};
  int least = 1;
  int most = 64;

  // A size is measured until its mean throughput is known to within this share of it, with 95 %
  // confidence, or often enough. Three times that share will do for one that will not be
  // recommended: it is certainly worse than the best, or a smaller one is as good.
  double precision = 0.02;
  int min_repetitions = 3;
  int max_repetitions = 12;

  // A throughput within this share of the best one is as good.
  double tolerance = 0.03;
};

// Finds out with few measurements how throughput depends on the size, most closely where it stops
// growing and where it is highest. Sizes first double, until twice in a row this brought nothing.
// Then the gaps below the recommended and around the best size are halved, until the sizes at their
// ends differ by no more than noise, or by no more than an eighth. Rounds go up and down the sizes
// in turn, so that a machine that becomes slower meanwhile does so for all of them.
//
//   while (const auto size = search.next()) search.add(measure(*size));
//
// Answers depend on nothing but options and measurements.
class HEDDLE_API size_search {
 public:
  // Throws std::invalid_argument, naming the value: a size or bound below 1, most below least,
  // precision or tolerance not above 0 or not below 1, repetitions below 1 or max below min.
  explicit size_search(search_options options);

  // The size to measure next; nothing when enough is known.
  std::optional<int> next() const;

  // What was measured, at whatever size. Throws as summarize().
  void add(const measurement& m);

  // The size cannot be had: it and larger ones are not asked for again.
  void refuse(int size);

  std::span<const measurement> measurements() const noexcept { return measurements_; }

  // Sizes measured so far, how many measurements the sizes known now need at most, and how many of
  // these are done.
  struct progress {
    int sizes = 0;
    int done = 0;
    int expected = 0;  // grows when more sizes turn out to be of interest
  };
  progress how_far() const noexcept;

  // The sizes whose throughput is known less precisely than asked for, though they were measured
  // max_repetitions times.
  std::vector<int> imprecise() const;

 private:
  struct seen {
    int size = 1;
    running_mean throughput{};
  };

  const seen* best() const noexcept;
  bool is_certain(const seen& s) const;
  int repetitions_left(const seen& s) const;
  std::optional<int> scout() const;
  std::optional<int> least_measured(bool until_certain) const;
  std::optional<int> refine() const;
  std::optional<int> between(int low, int high) const;

  search_options options_;
  std::vector<measurement> measurements_;
  std::vector<seen> seen_;  // by size, rising
};

}  // namespace heddle::inline HEDDLE_ABI::sizing
