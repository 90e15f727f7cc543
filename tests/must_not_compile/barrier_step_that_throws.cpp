// error: a completion step takes nothing and is noexcept
// The last to arrive runs the step while all others wait: an exception would have nowhere to go.
#include <heddle/sync/barrier.hpp>

int main() {
  int phases = 0;
#ifdef MUST_NOT_COMPILE
  heddle::barrier meeting(1, [&phases] { ++phases; });
#else
  heddle::barrier meeting(1, [&phases]() noexcept { ++phases; });
#endif
  meeting.arrive_and_wait();
  return phases - 1;
}
