// error: returns the value
#include <heddle/data/cache.hpp>

#include <string>

int main() {
  heddle::cache<int, std::string> c(10);
  (void)c.get_or_compute(1, [] { return "one"; });
#if defined(MUST_NOT_COMPILE)
  struct other {};
  (void)c.get_or_compute(1, [] { return other(); });
#endif
}
