// Counts of values by size, in bounded memory, for quantiles.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// Any 64-bit value can be recorded; quantiles are exact below 128 and at most 1/64 too high above.
// Takes 30 KiB, always. Not thread-safe.
// Source of the layout: G. Tene, HdrHistogram (each power of two is split into equal steps).
class HEDDLE_API histogram {
 public:
  // Complexity: constant, a few instructions.
  void record(std::uint64_t value) noexcept;

  std::uint64_t count() const noexcept { return count_; }
  // Exact. 0 when nothing was recorded.
  std::uint64_t min() const noexcept { return count_ == 0 ? 0 : min_; }
  std::uint64_t max() const noexcept { return max_; }
  double mean() const noexcept;

  // The smallest value v of the histogram's resolution such that at least `share` of the recorded
  // values are <= v, and never above max(). `share` is clamped to [0, 1]; 0 gives min().
  // 0 when nothing was recorded. Complexity: linear in the 3776 steps.
  std::uint64_t quantile(double share) const noexcept;

  void merge(const histogram& other) noexcept;
  void clear() noexcept;

 private:
  static constexpr unsigned step_bits = 6;  // 64 steps for each power of two
  static constexpr std::size_t steps = std::size_t{1} << step_bits;
  static constexpr std::size_t cells = steps * (64 - step_bits + 1);

  static std::size_t cell_of(std::uint64_t value) noexcept;
  static std::uint64_t highest_in(std::size_t cell) noexcept;

  std::array<std::uint64_t, cells> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t min_ = UINT64_MAX;
  std::uint64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace heddle::inline HEDDLE_ABI
