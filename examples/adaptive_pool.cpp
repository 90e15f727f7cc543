// A pool that finds out by itself how many workers its tasks need.
#include <heddle/exec/thread_pool.hpp>

#include <chrono>
#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

// As if a server had been asked: hardly any work, and then a wait for the answer.
void ask_a_server() { std::this_thread::sleep_for(10ms); }

int main() {
  // [adaptive]
  heddle::thread_pool pool(heddle::sizing::adaptive{.min = 1, .max = 64});
  for (int i = 0; i < 1000; ++i) pool.post(ask_a_server);
  pool.wait_idle();

  for (const heddle::sizing::logged_choice& step : pool.sizing_log()) {
    std::printf("%4.0f ms: %2d -> %2d workers; %s\n",
                std::chrono::duration<double, std::milli>(step.at).count(), step.before, step.after,
                step.reason.c_str());
  }
  // [adaptive end]

  const auto done = pool.statistics();
  std::printf("%llu tasks with %u workers; finding that out took %.1f ms of CPU\n",
              static_cast<unsigned long long>(done.completed), done.workers,
              std::chrono::duration<double, std::milli>(done.sizing_cpu).count());
}
