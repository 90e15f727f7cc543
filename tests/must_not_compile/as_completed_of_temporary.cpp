// error: no matching function|cannot bind
// The view refers to the futures, so a temporary range would be gone at the first step.
#include <heddle/future/wait.hpp>
#include <utility>
#include <vector>

void use(std::vector<heddle::future<int>>& results) {
#ifdef MUST_NOT_COMPILE
  auto view = heddle::as_completed(std::move(results));
#else
  auto view = heddle::as_completed(results);
#endif
  static_cast<void>(view.remaining());
}
