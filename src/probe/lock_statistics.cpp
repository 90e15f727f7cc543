#include <heddle/probe/lock_statistics.hpp>

#include <algorithm>

namespace heddle::inline HEDDLE_ABI {
namespace {

std::uint64_t highest_in(std::size_t step) noexcept {
  if (step < 4) return step;
  const std::size_t power = step / 4 + 1;
  return ((5 + step % 4) << (power - 2)) - 1;
}

double ratio(double part, double whole) noexcept { return whole > 0 ? part / whole : 0; }

}  // namespace

time_distribution::time_distribution(const std::array<std::uint64_t, steps>& counts,
                                     std::chrono::nanoseconds total,
                                     std::chrono::nanoseconds longest) noexcept
    : counts_(counts), total_(total), longest_(longest) {
  for (const std::uint64_t n : counts_) count_ += n;
}

std::chrono::nanoseconds time_distribution::mean() const noexcept {
  return count_ == 0 ? total_.zero() : total_ / static_cast<std::int64_t>(count_);
}

std::chrono::nanoseconds time_distribution::quantile(double share) const noexcept {
  if (count_ == 0) return longest_.zero();
  const double wanted = std::clamp(share, 0.0, 1.0) * static_cast<double>(count_);
  std::uint64_t seen = 0;
  for (std::size_t step = 0; step + 1 < steps; ++step) {
    seen += counts_[step];
    if (seen == 0 || static_cast<double>(seen) < wanted) continue;
    return std::min(longest_, std::chrono::nanoseconds(highest_in(step)));
  }
  return longest_;
}

void time_distribution::add(const time_distribution& other) noexcept {
  for (std::size_t i = 0; i < steps; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  total_ += other.total_;
  longest_ = std::max(longest_, other.longest_);
}

double lock_statistics::contended_share() const noexcept {
  return ratio(static_cast<double>(contended), static_cast<double>(acquisitions));
}

std::chrono::nanoseconds lock_statistics::total_hold() const noexcept {
  if (hold.count() == 0) return hold.total();
  const double unmeasured =
      ratio(static_cast<double>(acquisitions), static_cast<double>(hold.count()));
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double, std::nano>(hold.total()) * std::max(1.0, unmeasured));
}

double lock_statistics::contention_ratio() const noexcept {
  const auto waiting = static_cast<double>(wait.total().count());
  return ratio(waiting, waiting + static_cast<double>(total_hold().count()));
}

double lock_statistics::acquisitions_per_second() const noexcept {
  return ratio(static_cast<double>(acquisitions),
               std::chrono::duration<double>(recorded_for).count());
}

void lock_statistics::add(const lock_statistics& other) noexcept {
  acquisitions += other.acquisitions;
  contended += other.contended;
  given_up += other.given_up;
  long_waits += other.long_waits;
  if (other.hold.longest() > hold.longest()) longest_hold_site = other.longest_hold_site;
  wait.add(other.wait);
  hold.add(other.hold);
  recorded_for = std::max(recorded_for, other.recorded_for);
}

}  // namespace heddle::inline HEDDLE_ABI
