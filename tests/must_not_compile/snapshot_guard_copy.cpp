// error: deleted
// A guard stands for one place in which its value is held.
#include <heddle/data/snapshot.hpp>

int use(heddle::snapshot<int>::guard& g) {
#ifdef MUST_NOT_COMPILE
  auto other = g;
#else
  auto other = g.keep();
#endif
  return *other;
}
