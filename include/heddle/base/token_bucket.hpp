// Limiting a rate.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <string>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// A bucket that holds up to `burst` tokens, is full at first, and gets `per_second` new ones every
// second, evenly. What shall happen at that rate takes tokens first.
//
// It has no clock: every function is told the time, so that a test can say what time it is. Times
// that run backwards count as the latest one. Not thread-safe. Never blocks.
// Accuracy: nanoseconds; fractions are carried, and do not add up.
// Source: the virtual scheduling form of the generic cell rate algorithm (ITU-T I.371).
class token_bucket {
 public:
  // Throws std::invalid_argument unless both are positive and finite.
  token_bucket(double per_second, double burst)
      : ns_per_token_(1e9 / checked(per_second, "per_second")),
        ns_to_fill_(ns_per_token_ * checked(burst, "burst")) {}

  // Takes n tokens, ahead of their time if need be, and returns when they are there: `now`, or
  // later. Whoever waits until then keeps to the rate, also with n above the burst. 0 tokens are
  // there when the debts are paid. Throws std::invalid_argument for a negative n, or no number.
  prim::time_point take(double n, prim::time_point now) {
    check_amount(n);
    advance(now);
    missing_ += n * ns_per_token_;
    return there();
  }

  // Takes n tokens if they are there. Throws as take.
  bool try_take(double n, prim::time_point now) {
    check_amount(n);
    advance(now);
    if (missing_ + n * ns_per_token_ > ns_to_fill_ + rounding) return false;
    missing_ += n * ns_per_token_;
    return true;
  }

  // The tokens that are there; negative: they have been taken ahead of their time.
  double available(prim::time_point now) {
    advance(now);
    return (ns_to_fill_ - missing_) / ns_per_token_;
  }

 private:
  static constexpr double rounding = 0.5;  // nanoseconds

  static double checked(double amount, const char* what) {
    if (amount > 0 && std::isfinite(amount)) return amount;
    throw std::invalid_argument(
        std::string("token_bucket: ").append(what).append(" is ").append(std::to_string(amount)));
  }
  static void check_amount(double n) {
    if (n >= 0) return;
    throw std::invalid_argument("token_bucket: " + std::to_string(n) + " tokens");
  }

  void advance(prim::time_point now) noexcept {
    if (begun_ && now <= latest_) return;
    if (begun_) {
      const std::chrono::duration<double, std::nano> passed = now - latest_;
      missing_ = std::max(0.0, missing_ - passed.count());
    }
    begun_ = true;
    latest_ = now;
  }

  // When no more is missing than an empty bucket misses.
  prim::time_point there() const noexcept {
    const double debt = missing_ - ns_to_fill_;
    if (debt <= rounding) return latest_;
    const std::chrono::duration<double, std::nano> left = prim::never - latest_;
    if (debt >= left.count()) return prim::never;
    return latest_ + prim::clock::duration(static_cast<prim::clock::rep>(debt + rounding));
  }

  double ns_per_token_;
  double ns_to_fill_;
  double missing_ = 0;  // to a full bucket, in the nanoseconds in which it comes
  prim::time_point latest_{};
  bool begun_ = false;
};

}  // namespace heddle::inline HEDDLE_ABI
