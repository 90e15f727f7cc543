// What -j auto decided during a run.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>

#include <heddle/sizing/law.hpp>

namespace heddle::tool {

// What a run's sizes were, and why. Of many choices the first and the last ones.
struct sizing_log {
  static constexpr std::size_t most_kept = 64;  // at each end

  void add(sizing::logged_choice choice);

  // What share of the usable cores' time the cost was, of a run that took so long.
  double share_of_cores(std::chrono::nanoseconds run) const noexcept;

  std::deque<sizing::logged_choice> first;
  std::deque<sizing::logged_choice> last;
  std::uint64_t choices = 0;        // all of them, the first size included
  std::uint64_t windows = 0;        // looks at the jobs
  std::chrono::nanoseconds cost{};  // CPU time for all of it
  double cores = 1;                 // usable ones, when they were looked up last
  bool knows_waiting = true;
};

}  // namespace heddle::tool
