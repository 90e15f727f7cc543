#include <heddle/base/histogram.hpp>

#include <algorithm>
#include <bit>
#include <cmath>

namespace heddle::inline HEDDLE_ABI {

// Values below 2 * steps have a cell of their own. Above, the highest step_bits + 1 bits choose the
// cell: the position of the leading one, then the bits after it.
std::size_t histogram::cell_of(std::uint64_t value) noexcept {
  const auto width = static_cast<unsigned>(std::bit_width(value));
  if (width <= step_bits + 1) return static_cast<std::size_t>(value);
  const unsigned shift = width - (step_bits + 1);
  return shift * steps + static_cast<std::size_t>(value >> shift);
}

std::uint64_t histogram::highest_in(std::size_t cell) noexcept {
  if (cell < 2 * steps) return cell;
  const auto shift = static_cast<unsigned>(cell / steps - 1);
  const std::uint64_t leading = cell - shift * steps;
  return (leading << shift) | ((std::uint64_t{1} << shift) - 1);
}

void histogram::record(std::uint64_t value) noexcept {
  ++counts_[cell_of(value)];
  ++count_;
  min_ = std::min(min_, value);
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

double histogram::mean() const noexcept {
  return count_ == 0 ? 0 : sum_ / static_cast<double>(count_);
}

std::uint64_t histogram::quantile(double share) const noexcept {
  if (count_ == 0) return 0;
  if (!(share > 0)) return min_;
  if (share >= 1) return max_;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t cell = cell_of(min_); cell < cells; ++cell) {
    seen += counts_[cell];
    if (seen >= wanted) return std::min(highest_in(cell), max_);
  }
  return max_;
}

void histogram::merge(const histogram& other) noexcept {
  for (std::size_t cell = 0; cell < cells; ++cell) counts_[cell] += other.counts_[cell];
  count_ += other.count_;
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

void histogram::clear() noexcept { *this = histogram(); }

}  // namespace heddle::inline HEDDLE_ABI
