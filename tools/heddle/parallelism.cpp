#include "parallelism.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include <heddle/kernel/quota.hpp>

#include "failure.hpp"
#include "text.hpp"

namespace heddle::tool {
namespace {

using std::chrono::steady_clock;

class fixed_slots final : public slot_policy {
 public:
  explicit fixed_slots(unsigned count) : count_(count) {}
  unsigned slots() override { return count_; }

 private:
  unsigned count_;
};

// A share of the usable cores, which are looked up again at most once a second.
class share_of_cores final : public slot_policy {
 public:
  explicit share_of_cores(double share) : share_(share) {}

  unsigned slots() override {
    const auto now = steady_clock::now();
    if (now >= look_again_) {
      look_again_ = now + std::chrono::seconds(1);
      const double wanted = kernel::usable_cores() * share_;
      const double capped = std::min(wanted, static_cast<double>(most_slots));
      count_ = static_cast<unsigned>(kernel::whole_cores(capped));
    }
    return count_;
  }

 private:
  double share_;
  unsigned count_ = 1;
  steady_clock::time_point look_again_{};
};

}  // namespace

parallelism parse_parallelism(std::string_view text) {
  const auto fail = [text]() {
    throw usage_error(fmt::format(
        "-j {}: give a number of jobs from 1 to {}, a share of the cores such as 50%, auto, or "
        "auto:N for at most N",
        shortened(text), most_slots));
  };
  if (text == "auto") return {};
  parallelism wanted{.what = parallelism::kind::count};
  std::string_view digits = text;
  if (digits.starts_with("auto:")) {
    wanted.what = parallelism::kind::automatic;
    digits.remove_prefix(5);
  } else if (digits.ends_with('%')) {
    wanted.what = parallelism::kind::percent;
    digits.remove_suffix(1);
  }
  const auto number = parse_count(digits);
  if (!number || *number == 0 || *number > most_slots) fail();
  wanted.value = *number;
  return wanted;
}

std::unique_ptr<slot_policy> make_plain_policy(const parallelism& wanted) {
  if (wanted.what == parallelism::kind::count) {
    return std::make_unique<fixed_slots>(static_cast<unsigned>(wanted.value));
  }
  return std::make_unique<share_of_cores>(static_cast<double>(wanted.value) / 100);
}

}  // namespace heddle::tool
