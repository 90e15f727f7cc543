// Word counts and an index: map, combine, group by key, reduce.

#include <cstdio>
#include <functional>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include <heddle/algorithm/map_reduce.hpp>
#include <heddle/exec/thread_pool.hpp>

namespace {

const std::vector<std::string> lines{
    "the shuttle flies through the warp",
    "the heddle lifts the warp",
    "and the weft follows the shuttle",
};

}  // namespace

int main() {
  // [count]
  const auto counts = heddle::map_reduce<std::string, int>(
      lines,
      [](const std::string& line, auto& emit) {
        std::istringstream words(line);
        for (std::string word; words >> word;) emit(word, 1);
      },
      std::plus<>(),  // the combiner: two counts of a word make one
      [](const std::string&, auto partial_counts) {
        return std::accumulate(partial_counts.begin(), partial_counts.end(), 0);
      });
  for (const auto& [word, count] : counts) std::printf("%s: %d\n", word.c_str(), count);
  // [count end]

  // [index]
  heddle::thread_pool pool(4U);
  std::vector<std::size_t> numbers(lines.size());
  std::iota(numbers.begin(), numbers.end(), 1U);
  const auto index = heddle::map_reduce<char, std::size_t>(
      pool, numbers,
      [](std::size_t number, auto& emit) { emit(lines[number - 1].front(), number); },
      [](char, auto found) {  // in the order of the lines, whatever the pool did
        return std::vector<std::size_t>(found.begin(), found.end());
      });
  // [index end]
  for (const auto& [letter, where] : index) {
    std::printf("%c:", letter);
    for (const std::size_t number : where) std::printf(" %zu", number);
    std::printf("\n");
  }
  return counts.front().second == 6 && index.size() == 2 ? 0 : 1;
}
