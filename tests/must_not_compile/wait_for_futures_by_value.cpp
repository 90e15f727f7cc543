// error: no matching function|constraints not satisfied
// What is waited for must be lent: futures that a view makes up as it goes are no one's.
#include <heddle/future/promise.hpp>
#include <heddle/future/wait.hpp>
#include <vector>

void use(std::vector<int>& values, std::vector<heddle::future<int>>& results) {
  auto made = values | std::views::transform([](int v) { return heddle::make_ready_future(v); });
  static_cast<void>(made);
#ifdef MUST_NOT_COMPILE
  static_cast<void>(heddle::wait(made));
#else
  static_cast<void>(heddle::wait(results));
#endif
}
