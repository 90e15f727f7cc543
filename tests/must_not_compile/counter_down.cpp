// error: (constraints not satisfied|invalid operands|no match|cannot decrement)
// A counter counts up; a gauge goes down too.
#include <heddle/lockfree/counter.hpp>

void use(heddle::counter& counter, heddle::gauge& gauge) {
#ifdef MUST_NOT_COMPILE
  --counter;
#else
  ++counter;
#endif
  --gauge;
}
