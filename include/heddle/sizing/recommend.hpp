// The size to use, from what was measured, and what keeps more workers from bringing more.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <heddle/prim/config.hpp>
#include <heddle/sizing/fit.hpp>
#include <heddle/sizing/measurement.hpp>

namespace heddle::inline HEDDLE_ABI::sizing {

// What limits throughput.
enum class limit : unsigned char {
  unknown,
  not_reached,         // throughput still rises at the largest size measured
  cores,               // they are all in use
  neighbour,           // workers wait for cores that others use, or that a CPU quota holds back
  memory_or_spinning,  // CPU time a task rises with the size
  lock,                // workers put each other to sleep
  saturation,          // what tasks wait for gives no more
  coherency,           // each worker costs all others something, so throughput falls
};
HEDDLE_API std::string_view to_string(limit what) noexcept;

struct recommendation {
  int size = 1;  // the smallest whose throughput is as good as the best
  int best = 1;  // the size of the highest throughput measured
  limit why = limit::unknown;
  std::string reason;  // in words for people, one or two clauses, without full stop
};

// A throughput that is lower than the best one by no more than the tolerance, to which as much is
// added as the two intervals leave in doubt, but no more than the tolerance itself.
HEDDLE_API bool as_good(const estimate& throughput, const estimate& best,
                        double tolerance) noexcept;

struct recommend_options {
  double cores = 1;         // usable ones, fractions included
  double tolerance = 0.03;  // a throughput lower by this share is as good
};

// `sizes` as summarize() gives them. `fit`, of the universal scalability law, adds its voice where
// the signals do not tell. Throws std::invalid_argument, naming the value, for no sizes, cores that
// are not finite and above 0, a tolerance that is negative or not below 1.
HEDDLE_API recommendation recommend(std::span<const size_summary> sizes,
                                    const recommend_options& options,
                                    const scaling_fit* fit = nullptr);

}  // namespace heddle::inline HEDDLE_ABI::sizing
