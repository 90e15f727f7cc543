// How large the next batch is, and when it may go. Users need for_each_batch.hpp.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

#include <heddle/base/token_bucket.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The number of items in a batch: a fixed one; or what takes about a millisecond, which is long
// enough that handing it over costs less than a hundredth, and short enough to be shared out. That
// is found from the batches that have ended, beginning with one item.
class batch_sizer {
 public:
  static constexpr std::size_t largest = std::size_t{1} << 16;

  // 0: to be found.
  explicit batch_sizer(std::size_t fixed) noexcept
      : size_(fixed != 0 ? fixed : 1), found_(fixed == 0) {}

  bool measures() const noexcept { return found_; }

  // Of so many items that are left, if that is known, `sharers` batches remain at least.
  std::size_t next(std::optional<std::size_t> left, std::size_t sharers) const noexcept {
    if (!found_ || !left) return size_;
    return std::clamp<std::size_t>(*left / sharers, 1, size_);
  }

  // A batch of so many items has taken so long.
  void measured(std::size_t items, std::chrono::nanoseconds took) noexcept {
    if (!found_ || items == 0) return;
    const double cost = static_cast<double>(took.count()) / static_cast<double>(items);
    cost_ = cost_ < 0 ? cost : (3 * cost_ + cost) / 4;
    // A few cheap items say little about the next thousands: the size grows by steps.
    const std::size_t most = std::min(largest, std::max(size_, 8 * std::min(items, largest)));
    const double wanted = cost_ > 0 ? wanted_ns / cost_ : static_cast<double>(most);
    size_ = wanted >= static_cast<double>(most) ? most : static_cast<std::size_t>(wanted);
    size_ = std::max<std::size_t>(size_, 1);
  }

 private:
  static constexpr double wanted_ns = 1e6;

  std::size_t size_;
  const bool found_;
  double cost_ = -1;  // of an item, in nanoseconds; negative: not known yet
};

// When the next batch may go: after a pause, and not above a rate.
class batch_pace {
 public:
  // Throws std::invalid_argument for a pause, rate or burst that is negative, infinite or no
  // number. 0: no pause; no limit; a burst of `usual` items.
  batch_pace(std::chrono::nanoseconds pause, double items_per_second, double burst,
             std::size_t usual)
      : pause_(pause) {
    if (pause.count() < 0) {
      throw std::invalid_argument("batch_options: a pause of " + std::to_string(pause.count()) +
                                  " ns");
    }
    check(items_per_second, "items_per_second");
    check(burst, "burst");
    if (items_per_second == 0) return;
    bucket_.emplace(items_per_second, burst != 0 ? burst : static_cast<double>(usual));
  }

  // For a batch of so many items that is ready now.
  prim::time_point next(std::size_t items, prim::time_point now) {
    const prim::time_point rested = begun_ ? later(now, pause_) : now;
    begun_ = true;
    if (!bucket_) return rested;
    return std::max(rested, bucket_->take(static_cast<double>(items), now));
  }

 private:
  static void check(double amount, const char* what) {
    if (amount >= 0 && std::isfinite(amount)) return;
    throw std::invalid_argument(
        std::string("batch_options: ").append(what).append(" is ").append(std::to_string(amount)));
  }
  static prim::time_point later(prim::time_point from, std::chrono::nanoseconds time) noexcept {
    return time < prim::never - from ? from + time : prim::never;
  }

  const std::chrono::nanoseconds pause_;
  std::optional<token_bucket> bucket_;
  bool begun_ = false;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
