// What was recorded about a lock, a semaphore, a queue, ..., as plain values.
#pragma once

#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <heddle/prim/config.hpp>
#include <heddle/probe/wait_record.hpp>

namespace heddle::inline HEDDLE_ABI {

// How long something took, each time it was measured.
class HEDDLE_API time_distribution {
 public:
  // Quarters of each power of two of nanoseconds; the last step has also what is longer (3 days).
  static constexpr std::size_t steps = 192;
  static constexpr std::size_t step_of(std::uint64_t ns) noexcept {
    if (ns < 4) return static_cast<std::size_t>(ns);
    const auto power = static_cast<std::size_t>(std::bit_width(ns)) - 1;
    const std::size_t step = 4 * (power - 1) + ((ns >> (power - 2)) & 3);
    return step < steps ? step : steps - 1;
  }

  time_distribution() = default;
  // `counts` by step; of all together the sum and the longest.
  time_distribution(const std::array<std::uint64_t, steps>& counts, std::chrono::nanoseconds total,
                    std::chrono::nanoseconds longest) noexcept;

  std::uint64_t count() const noexcept { return count_; }
  std::chrono::nanoseconds total() const noexcept { return total_; }
  std::chrono::nanoseconds longest() const noexcept { return longest_; }
  // 0 when nothing was measured.
  std::chrono::nanoseconds mean() const noexcept;
  // Such that at least `share` of the times were no longer: at most a quarter too high, and never
  // above longest(). `share` is clamped to [0, 1]. 0 when nothing was measured.
  std::chrono::nanoseconds quantile(double share) const noexcept;

  void add(const time_distribution& other) noexcept;

 private:
  std::array<std::uint64_t, steps> counts_{};
  std::uint64_t count_ = 0;
  std::chrono::nanoseconds total_{0};
  std::chrono::nanoseconds longest_{0};
};

// One object, or those of one name that are no more, taken together. Of an object that is in use
// while it is read: contended <= acquisitions, and the rest may be a few apart from each other.
struct HEDDLE_API lock_statistics {
  std::string name;  // empty when it has none
  wait_kind kind = wait_kind::mutex;
  const void* object = nullptr;  // null: it was destroyed
  std::uint64_t acquisitions = 0;
  std::uint64_t contended = 0;   // of them, those that could not be had at once
  std::uint64_t given_up = 0;    // waits that ended by a deadline, a stop or an exception
  std::uint64_t long_waits = 0;  // those that reached the threshold of set_long_wait_handler
  time_distribution wait;        // of the contended acquisitions, and of what was given up
  // From acquisition to release, where one thread at a time holds: all of them, or a sample.
  time_distribution hold;
  const void* longest_hold_site = nullptr;   // the code that acquired it for the longest of them
  std::chrono::nanoseconds recorded_for{0};  // how long it has been recorded

  // contended / acquisitions. These are 0 when nothing was recorded.
  double contended_share() const noexcept;
  // All hold times; where only a sample was measured, what it lets expect.
  std::chrono::nanoseconds total_hold() const noexcept;
  std::chrono::nanoseconds mean_critical_section() const noexcept { return hold.mean(); }
  // Wait time / (wait time + hold time): which part of the time that threads spent with it went to
  // waiting.
  double contention_ratio() const noexcept;
  double acquisitions_per_second() const noexcept;

  // Adds up; the place of the longest hold is that of the longer one.
  void add(const lock_statistics& other) noexcept;
};

// All that have a name or were recorded, the longest total wait first. Destroyed ones that had a
// name and were recorded follow as one for each name and kind.
//
// Thread-safety: any thread, at any time, also during static destruction.
// Blocks? Only for a lock that is held while names are given and taken, or for another snapshot.
// Allocates. Throws std::bad_alloc.
HEDDLE_API std::vector<lock_statistics> lock_snapshot();

}  // namespace heddle::inline HEDDLE_ABI
