// error: a continuation takes
// A continuation takes the future, its value, or nothing when there is none.
#include <heddle/future/future.hpp>
#include <string>

void use(heddle::future<int>& result) {
#ifdef MUST_NOT_COMPILE
  static_cast<void>(result.then_inline([](const std::string&) {}));
#else
  static_cast<void>(result.then_inline([](int) {}));
#endif
}
