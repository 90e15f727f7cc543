// A set of sequence numbers that come nearly in order.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>

namespace heddle::tool {

// Holds ranges, so a million consecutive numbers cost as much as one.
class sequence_set {
 public:
  bool contains(std::uint64_t number) const {
    const auto after = ranges_.upper_bound(number);
    return after != ranges_.begin() && number <= std::prev(after)->second;
  }

  void insert(std::uint64_t number) {
    auto after = ranges_.upper_bound(number);
    if (after != ranges_.begin()) {
      const auto before = std::prev(after);
      if (number <= before->second) return;
      if (number == before->second + 1) {
        before->second = number;
        if (after != ranges_.end() && after->first == number + 1) {
          before->second = after->second;
          ranges_.erase(after);
        }
        return;
      }
    }
    std::uint64_t last = number;
    if (after != ranges_.end() && after->first == number + 1) {
      last = after->second;
      after = ranges_.erase(after);
    }
    ranges_.emplace_hint(after, number, last);
  }

  void erase(std::uint64_t number) {
    const auto after = ranges_.upper_bound(number);
    if (after == ranges_.begin()) return;
    const auto range = std::prev(after);
    const auto [first, last] = *range;
    if (number > last) return;
    if (number < last) ranges_.emplace_hint(after, number + 1, last);
    if (number > first) {
      range->second = number - 1;
    } else {
      ranges_.erase(range);
    }
  }

  std::size_t ranges() const noexcept { return ranges_.size(); }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  // first to last; never touching each other
};

}  // namespace heddle::tool
