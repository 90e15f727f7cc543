// Functions that remember what they have returned.

#include <algorithm>
#include <cstdio>
#include <string>

#include <heddle/data/memoize.hpp>

namespace {

// How many single edits make one word of the other.
int distance(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return static_cast<int>(a.size() + b.size());
  const std::string shorter_a = a.substr(1);
  const std::string shorter_b = b.substr(1);
  if (a[0] == b[0]) return distance(shorter_a, shorter_b);
  const int without = std::min(distance(shorter_a, b), distance(a, shorter_b));
  return 1 + std::min(without, distance(shorter_a, shorter_b));
}

}  // namespace

int main() {
  // [memoize]
  auto edits = heddle::memoize(&distance);
  edits("kitten", "sitting");
  const int again = edits("kitten", "sitting");  // remembered
  std::printf("%d edits\n", again);              // 3 edits
  // [memoize end]

  // [recursive]
  // A recursive function gets the memoized one as its first argument.
  auto paths = heddle::memoize<long(int, int)>([](auto& self, int right, int down) -> long {
    if (right == 0 || down == 0) return 1;
    return self(right - 1, down) + self(right, down - 1);
  });
  std::printf("%ld paths\n", paths(16, 16));  // 601080390 paths
  // [recursive end]
  return again == 3 && paths(16, 16) == 601080390 ? 0 : 1;
}
