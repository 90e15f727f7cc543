// error: takes its arguments by value or const reference
#include <heddle/data/memoize.hpp>

int main() {
  auto doubled = heddle::memoize([](int n) { return 2 * n; });
  (void)doubled(1);
#if defined(MUST_NOT_COMPILE)
  auto increment = heddle::memoize([](int& n) { return ++n; });
  int n = 1;
  (void)increment(n);
#endif
}
