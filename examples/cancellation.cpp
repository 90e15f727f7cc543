// Giving work up: one task, a group of them, a whole pool, and with a limit.

#include <chrono>
#include <cstdio>
#include <stop_token>
#include <thread>
#include <vector>

#include <heddle/exec/thread_pool.hpp>

using namespace std::chrono_literals;

int main() {
  heddle::thread_pool pool(1);

  // [token]
  auto counting = pool.submit([](std::stop_token stop) {
    long turns = 0;
    while (!stop.stop_requested()) {
      std::this_thread::sleep_for(1ms);
      ++turns;
    }
    return turns;
  });
  auto queued = pool.submit([] { return 1; });  // behind it: there is one worker

  std::printf("cancel before it began: %s\n", queued.cancel() ? "gone" : "too late");
  std::this_thread::sleep_for(20ms);
  counting.cancel();  // it runs, so this trips its stop_token
  std::printf("counted %s\n", counting.get() > 0 ? "a while" : "nothing");

  try {
    queued.get();
  } catch (const heddle::cancelled&) {
    std::puts("queued: cancelled");
  }
  // [token end]

  // [group]
  std::stop_source group;
  std::vector<heddle::future<int>> futures;
  for (int i = 0; i < 5; ++i) {
    futures.push_back(pool.submit({.stop = group.get_token()}, [i, &group] {
      group.request_stop();  // one answer is enough
      return i;
    }));
  }
  int answers = 0;
  for (auto& f : futures) answers += f.exception() == nullptr ? 1 : 0;
  std::printf("%d of the group ran; the others were cancelled before they began\n", answers);
  // [group end]

  // [shutdown]
  heddle::thread_pool_options options;
  options.workers = 1;
  options.name = "batch";
  heddle::thread_pool batch(std::move(options));
  auto stubborn =
      batch.submit(heddle::named("stubborn", [] { std::this_thread::sleep_for(200ms); }));
  while (batch.statistics().started == 0) std::this_thread::yield();
  auto never_begun = batch.submit([] {});

  const auto report = batch.shutdown(heddle::shutdown_mode::cancel, 20ms);
  if (!report.completed) {
    for (const auto& task : report.running) {
      std::printf("worker %u still runs %s\n", task.worker, task.task.c_str());
    }
  }
  // [shutdown end]
  stubborn.get();
  const bool given_up = never_begun.ready() && never_begun.failed();
  std::printf("what had not begun was given up: %s\n", given_up ? "yes" : "no");
  return given_up && answers == 1 ? 0 : 1;
}
