// Noise that is the same in every run.
#pragma once

#include <cmath>
#include <cstdint>

#include <heddle/prim/seed.hpp>

namespace sizing_test {

// Normally distributed, mean 0, deviation 1.
class noise {
 public:
  explicit noise(std::uint64_t seed) : random_(seed * 0x9E3779B97F4A7C15ULL) {
    for (int i = 0; i < 8; ++i) random_.next();
  }
  double next() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }

 private:
  double uniform() { return (random_.next() + 0.5) / 4294967296.0; }
  heddle::prim::random random_;
};

}  // namespace sizing_test
