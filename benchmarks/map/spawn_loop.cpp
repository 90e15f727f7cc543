// The least that a command like `heddle map` has to do: keep SLOTS children of /bin/true running
// until JOBS of them have ended, with posix_spawn and waitpid and nothing else.
// usage: spawn_loop SLOTS JOBS
#include <spawn.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <string>

extern char** environ;

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: spawn_loop SLOTS JOBS\n");
    return 2;
  }
  const int slots = std::atoi(argv[1]);
  const int jobs = std::atoi(argv[2]);
  int started = 0;
  int running = 0;
  int failed = 0;
  while (started < jobs || running > 0) {
    while (started < jobs && running < slots) {
      std::string program = "/bin/true";
      std::string input = std::to_string(++started);
      char* child_argv[] = {program.data(), input.data(), nullptr};
      pid_t child = 0;
      if (posix_spawn(&child, program.c_str(), nullptr, nullptr, child_argv, environ) != 0) {
        std::perror("posix_spawn");
        return 255;
      }
      ++running;
    }
    int status = 0;
    if (waitpid(-1, &status, 0) < 0) {
      std::perror("waitpid");
      return 255;
    }
    --running;
    if (status != 0) ++failed;
  }
  return failed == 0 ? 0 : 1;
}
