// A job: computes for so long, by the clock of its own CPU time, then sleeps.
// usage: job COMPUTE_MILLISECONDS SLEEP_MILLISECONDS [IGNORED...]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <thread>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: job COMPUTE_MILLISECONDS SLEEP_MILLISECONDS [IGNORED...]\n");
    return 2;
  }
  const double compute_seconds = std::atof(argv[1]) / 1000;
  const auto used = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
  };
  while (used() < compute_seconds) {
  }
  std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(std::atof(argv[2])));
}
