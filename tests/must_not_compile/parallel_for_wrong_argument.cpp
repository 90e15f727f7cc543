// error: no matching function
// The loop's function takes the index, and is refused at the call when it does not.
#include <heddle/algorithm/parallel_for.hpp>

void use() {
#ifdef MUST_NOT_COMPILE
  heddle::parallel_for(0, 10, [](const char*) {});
#else
  heddle::parallel_for(0, 10, [](int) {});
#endif
}
