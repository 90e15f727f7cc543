// Numbers that follow Zipf's law: n of 1 to N comes with a probability that is proportional to
// 1 / n^s. By Walker's alias method, in Vose's form (M. D. Vose, A linear algorithm for generating
// random numbers with a given distribution, 1991).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): no two numbers become the same.
inline std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

class zipf {
 public:
  zipf(std::size_t count, double exponent) : columns_(count) {
    std::vector<double> weight(count);
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      weight[i] = std::pow(static_cast<double>(i + 1), -exponent);
      sum += weight[i];
    }
    std::vector<std::uint32_t> low;
    std::vector<std::uint32_t> high;
    for (std::size_t i = 0; i < count; ++i) {
      weight[i] *= static_cast<double>(count) / sum;
      (weight[i] < 1 ? low : high).push_back(static_cast<std::uint32_t>(i));
    }
    while (!low.empty() && !high.empty()) {
      const std::uint32_t poor = low.back();
      const std::uint32_t rich = high.back();
      low.pop_back();
      columns_[poor] = {static_cast<float>(weight[poor]), rich};
      weight[rich] -= 1 - weight[poor];
      if (weight[rich] < 1) {
        high.pop_back();
        low.push_back(rich);
      }
    }
    for (const std::uint32_t full : low) columns_[full] = {1, full};
    for (const std::uint32_t full : high) columns_[full] = {1, full};
  }

  // The rank of `random`'s number, 0 being the most frequent. `random` has 64 random bits.
  std::uint32_t operator()(std::uint64_t random) const {
    const std::uint64_t at = ((random >> 32) * columns_.size()) >> 32;
    const float height = static_cast<float>(random & 0xffffff) * 0x1p-24F;
    const auto& [own, other] = columns_[at];
    return height < own ? static_cast<std::uint32_t>(at) : other;
  }

 private:
  struct column {
    float own;
    std::uint32_t other;
  };
  std::vector<column> columns_;
};

}  // namespace bench
