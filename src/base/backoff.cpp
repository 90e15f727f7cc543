#include <heddle/base/backoff.hpp>

#include <stdexcept>
#include <string>

namespace heddle::inline HEDDLE_ABI {

backoff::backoff(duration first, duration cap, std::uint64_t seed)
    : first_(first), cap_(cap), state_(seed) {
  if (first.count() <= 0 || cap < first) {
    throw std::invalid_argument("backoff: first pause of " + std::to_string(first.count()) +
                                " ns with a cap of " + std::to_string(cap.count()) + " ns");
  }
}

backoff::duration backoff::pause(unsigned failures) noexcept {
  auto length = first_;
  for (unsigned n = 1; n < failures && length < cap_; ++n) {
    length = length > cap_ / 2 ? cap_ : length * 2;
  }
  const auto half = static_cast<std::uint64_t>(length.count()) / 2;
  const auto spread = static_cast<std::uint64_t>(length.count()) - half;
  return duration(static_cast<duration::rep>(half + next_random() % (spread + 1)));
}

// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014).
std::uint64_t backoff::next_random() noexcept {
  state_ += 0x9e3779b97f4a7c15;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace heddle::inline HEDDLE_ABI
