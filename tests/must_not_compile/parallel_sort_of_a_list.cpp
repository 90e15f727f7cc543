// error: no matching function
// Elements must be reached by number.
#include <heddle/algorithm/parallel_sort.hpp>
#include <list>
#include <vector>

void use() {
#ifdef MUST_NOT_COMPILE
  std::list<int> numbers{3, 2, 1};
#else
  std::vector<int> numbers{3, 2, 1};
#endif
  heddle::parallel_sort(numbers);
}
