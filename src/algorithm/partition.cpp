#include <algorithm>

#include <heddle/algorithm/quick_sort_rounds.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Before `left` there are as many right elements as there are left ones behind it.
std::vector<partition_together::exchange> partition_together::misplaced(
    const std::vector<std::size_t>& borders, std::size_t chunk, std::size_t size,
    std::size_t left) {
  std::vector<exchange> pairs;
  struct stretch {
    std::size_t begin = 0, count = 0;
  } low, high;
  std::size_t low_chunk = 0;
  std::size_t high_chunk = left / chunk;
  for (;;) {
    for (; low.count == 0; ++low_chunk) {
      if (low_chunk * chunk >= left) return pairs;
      const std::size_t end = std::min({(low_chunk + 1) * chunk, left, size});
      low = {borders[low_chunk], end - std::min(borders[low_chunk], end)};
    }
    for (; high.count == 0; ++high_chunk) {
      if (high_chunk == borders.size()) return pairs;
      const std::size_t begin = std::max(high_chunk * chunk, left);
      high = {begin, std::max(begin, borders[high_chunk]) - begin};
    }
    const std::size_t count = std::min(low.count, high.count);
    pairs.push_back({low.begin, high.begin, count});
    low = {low.begin + count, low.count - count};
    high = {high.begin + count, high.count - count};
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
