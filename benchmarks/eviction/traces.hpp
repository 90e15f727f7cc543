// Requests for keys, the same in every run.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

namespace eviction {

using key = std::uint64_t;

struct trace {
  std::string name;
  std::vector<key> requests;
};

// Ranks 1 to n, rank r with probability proportional to 1 / r^s, by rejection-inversion (Hörmann
// and Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions",
// ACM TOMACS 6(3), 1996).
class zipf {
 public:
  zipf(std::uint64_t n, double s)
      : n_(n),
        s_(s),
        begin_(integral(1.5) - 1),
        end_(integral(static_cast<double>(n) + 0.5)),
        sure_(2 - inverse(integral(2.5) - std::pow(2, -s))) {}

  std::uint64_t operator()(std::mt19937_64& random) {
    std::uniform_real_distribution<double> between(end_, begin_);
    for (;;) {
      const double u = between(random);
      const double x = inverse(u);
      const double k = std::min(std::max(std::floor(x + 0.5), 1.0), static_cast<double>(n_));
      if (k - x <= sure_ || u >= integral(k + 0.5) - std::pow(k, -s_)) {
        return static_cast<std::uint64_t>(k);
      }
    }
  }

 private:
  // Of x^-s, and the other way; s = 1 is the logarithm.
  double integral(double x) const {
    return s_ == 1 ? std::log(x) : (std::pow(x, 1 - s_) - 1) / (1 - s_);
  }
  double inverse(double y) const {
    return s_ == 1 ? std::exp(y) : std::pow(1 + y * (1 - s_), 1 / (1 - s_));
  }

  std::uint64_t n_;
  double s_;
  double begin_;
  double end_;
  double sure_;
};

// Ranks are not neighbours: a bijection of 64 bits (the finalizer of splitmix64; Steele, Lea and
// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
inline key scattered(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

inline constexpr key one_off = key{1} << 62;  // above all ranks

inline trace zipf_trace(double s, std::uint64_t keys, std::size_t length) {
  std::mt19937_64 random(19);
  zipf rank(keys, s);
  char name[32];
  std::snprintf(name, sizeof name, "Zipf %.2f", s);
  trace t{name, {}};
  t.requests.reserve(length);
  while (t.requests.size() < length) t.requests.push_back(scattered(rank(random)));
  return t;
}

// Zipf 0.9, and every so often a scan over `burst` keys that nobody asks for again: a fifth of all.
inline trace scan_trace(std::uint64_t keys, std::size_t length, std::size_t burst) {
  std::mt19937_64 random(20);
  zipf rank(keys, 0.9);
  trace t{"Zipf 0.90, a fifth scans", {}};
  key next = one_off;
  while (t.requests.size() < length) {
    for (std::size_t i = 0; i < 4 * burst; ++i) t.requests.push_back(scattered(rank(random)));
    for (std::size_t i = 0; i < burst; ++i) t.requests.push_back(scattered(next++));
  }
  t.requests.resize(length);
  return t;
}

// Round and round.
inline trace loop_trace(std::uint64_t keys, std::size_t length, const char* name) {
  trace t{name, {}};
  t.requests.reserve(length);
  while (t.requests.size() < length) {
    t.requests.push_back(scattered(t.requests.size() % keys));
  }
  return t;
}

// Zipf 0.99, whose ranks belong to other keys in each of ten phases.
inline trace phase_trace(std::uint64_t keys, std::size_t length) {
  std::mt19937_64 random(21);
  zipf rank(keys, 0.99);
  trace t{"Zipf 0.99, ten phases", {}};
  t.requests.reserve(length);
  while (t.requests.size() < length) {
    const std::uint64_t phase = t.requests.size() * 10 / length;
    t.requests.push_back(scattered(rank(random) + phase * keys));
  }
  return t;
}

}  // namespace eviction
