// error: a continuation takes
// A value is not dropped in silence: only after a future<void> a continuation may take nothing.
#include <heddle/future/future.hpp>

#ifdef MUST_NOT_COMPILE
void use(heddle::future<int>& result) {
#else
void use(heddle::future<void>& result) {
#endif
  static_cast<void>(result.then_inline([] {}));
}
