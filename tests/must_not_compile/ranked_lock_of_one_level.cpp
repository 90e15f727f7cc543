// error: mutexes of one level have no order between them
#include <heddle/sync/ranked_mutex.hpp>

int main() {
  heddle::ranked_mutex<10> a;
#ifdef MUST_NOT_COMPILE
  heddle::ranked_mutex<10> b;
#else
  heddle::ranked_mutex<11> b;
#endif
  const heddle::ranked_lock both(a, b);
}
