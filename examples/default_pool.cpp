// The pool of the process, and what becomes of it in a forked child.

#include <cstdio>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

#include <heddle/exec/default_pool.hpp>

int main() {
  // [options]
  heddle::thread_pool_options options;  // only if the defaults do not suit, and before first use
  options.workers = 2;
  options.name = "app";
  heddle::set_default_pool_options(std::move(options));
  // [options end]

  // [use]
  auto answer = heddle::default_pool().submit([] { return 6 * 7; });
  std::printf("%d\n", answer.get());
  // [use end]
  std::fflush(stdout);

  // [fork]
  const pid_t child = fork();
  if (child == 0) {
    // The parent's workers are not here; the first use starts workers of our own.
    const int sum = heddle::default_pool().submit([] { return 1 + 1; }).get();
    _exit(sum == 2 ? 0 : 1);
  }
  // [fork end]
  int status = -1;
  if (child < 0 || waitpid(child, &status, 0) != child) return 1;
  std::printf("the child's pool worked: %s\n", status == 0 ? "yes" : "no");
  return status == 0 ? 0 : 1;
}
