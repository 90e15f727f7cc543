// A user's first program, built outside Heddle's own tree.
#include <cstdio>
#include <heddle/base/errors.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/version.hpp>

int main() {
  heddle::thread_pool pool;
  auto answer = pool.submit([] { return 6 * 7; });
  // An exception of the library's own must be recognised on both sides of a shared library.
  auto failure = pool.submit([]() -> int { throw heddle::rejected("thrown by a task"); });

  std::printf("heddle %s: %d\n", heddle::version_string, answer.get());
  try {
    failure.get();
  } catch (const heddle::error& caught) {
    std::printf("%s\n", caught.what());
    return 0;
  }
  return 1;
}
