// error: no matching function
// Sums of stretches are combined, too: an operation that only adds an element to a sum is not
// enough.
#include <heddle/algorithm/parallel_reduce.hpp>
#include <string>
#include <vector>

struct total {
  explicit total(const std::string& word) : letters(word.size()) {}
  std::size_t letters;
};

struct add_word {
  total operator()(total sum, const std::string& word) const {
    sum.letters += word.size();
    return sum;
  }
#ifndef MUST_NOT_COMPILE
  total operator()(total a, const total& b) const {
    a.letters += b.letters;
    return a;
  }
#endif
};

std::size_t use(const std::vector<std::string>& words) {
  return heddle::parallel_reduce(words, total(""), add_word{}).letters;
}
