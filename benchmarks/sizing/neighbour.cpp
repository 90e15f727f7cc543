// A neighbour on the machine: THREADS threads that compute until it is killed. Says when it is
// there, and ends with its parent.
// usage: neighbour THREADS
#include <sys/prctl.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: neighbour THREADS\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::puts("here");
  std::fflush(stdout);
  std::atomic<bool> never{false};
  std::vector<std::jthread> spinners;
  for (int i = 0; i < std::atoi(argv[1]); ++i)
    spinners.emplace_back([&never] {
      while (!never.load(std::memory_order_relaxed)) {
      }
    });
}
