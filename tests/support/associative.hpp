// An operation that is associative and nothing else: an order of elements that is not kept is seen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <heddle/prim/seed.hpp>

namespace heddle_test {

// x -> factor * x + offset, modulo 2^64.
struct affine {
  std::uint64_t factor = 1;
  std::uint64_t offset = 0;

  friend bool operator==(const affine&, const affine&) = default;
};

struct then_apply {
  affine operator()(const affine& first, const affine& second) const noexcept {
    return {first.factor * second.factor, second.factor * first.offset + second.offset};
  }
};

inline std::vector<affine> random_affine(std::size_t size, heddle::prim::random& dice) {
  std::vector<affine> all(size);
  for (affine& a : all) a = {2 * std::uint64_t{dice.below(1'000'000)} + 1, dice.below(1'000'000)};
  return all;
}

}  // namespace heddle_test
