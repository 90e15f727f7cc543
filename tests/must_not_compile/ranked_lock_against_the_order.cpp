// error: an inner lock's level is above that of the outer one
#include <heddle/sync/ranked_mutex.hpp>

int main() {
  heddle::ranked_mutex<10> low;
  heddle::ranked_mutex<20> high;
#ifdef MUST_NOT_COMPILE
  const heddle::ranked_lock outer(high);
  const heddle::ranked_lock inner(outer, low);
#else
  const heddle::ranked_lock outer(low);
  const heddle::ranked_lock inner(outer, high);
#endif
}
