// Work for later, and work that is done again and again.

#include <chrono>
#include <cstdio>
#include <optional>

#include <heddle/base/errors.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/exec/timers.hpp>

using namespace std::chrono_literals;

int main() {
  heddle::thread_pool pool(2);

  // [after]
  heddle::future<int> later = heddle::schedule_after(pool, 10ms, [] { return 42; });
  std::printf("%d\n", later.get());
  // [after end]

  // [cancel]
  auto reminder = heddle::schedule_after(pool, 24h, [] { std::puts("a day has passed"); });
  const bool in_time = reminder.cancel();  // out of the queue, and freed, now
  // [cancel end]

  // [every]
  heddle::prim::clock::duration worst{0};
  {
    const heddle::periodic_timer ticking = heddle::schedule_every(
        pool, 5ms, [&](const heddle::timer_tick& tick) { worst = std::max(worst, tick.lateness); });
    heddle::schedule_after(pool, 30ms, [] {}).get();

    const heddle::periodic_statistics seen = ticking.statistics();
    std::printf("%llu runs, %llu ticks missed, at most %lld us late\n",
                static_cast<unsigned long long>(seen.runs),
                static_cast<unsigned long long>(seen.missed),
                static_cast<long long>(seen.max_lateness / 1us));
  }  // cancelled; a run in progress is waited for
  // [every end]

  // [options]
  heddle::periodic_options options;
  options.first_after = 0s;                            // at once
  options.when_late = heddle::missed_ticks::catch_up;  // each tick has its run
  options.end_on_exception = true;                     // and an exception is its last
  const auto strict = heddle::schedule_every(pool, 1h, [] { std::puts("tick"); }, options);
  // [options end]

  // [queue]
  std::optional<heddle::future<void>> orphan;
  {
    heddle::timer_queue mine;  // a thread of its own, and an end of its own
    orphan = mine.schedule_after(pool, 1h, [] {});
  }
  try {
    orphan->get();
  } catch (const heddle::cancelled&) {
    std::puts("cancelled with its queue");
  }
  // [queue end]
  return in_time && worst >= 0ns ? 0 : 1;
}
