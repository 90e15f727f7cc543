#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/strand.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/exec/timers.hpp>
#include <heddle/future/wait.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/pools.hpp"
#include "support/recording_delegate.hpp"

namespace {

using heddle::inline_executor;
using heddle::manual_executor;
using heddle::periodic_options;
using heddle::periodic_timer;
using heddle::thread_pool;
using heddle::timer_queue;
using heddle::timer_tick;
using heddle::prim::clock;
using heddle_test::eventually;
using namespace std::chrono_literals;

// Threads of this process.
unsigned thread_count() {
  unsigned count = 0;
  for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator("/proc/self/task")) {
    ++count;
  }
  return count;
}

TEST(timers_test, work_runs_on_its_executor_when_its_time_has_come) {
  timer_queue timers;
  thread_pool pool(1);
  const heddle_test::watchdog dog;
  const auto start = clock::now();
  auto f = timers.schedule_after(pool, 5ms, [&pool] { return pool.worker_index().has_value(); });
  EXPECT_TRUE(f.get());
  EXPECT_GE(clock::now() - start, 5ms) << "never before its time";
}

TEST(timers_test, the_earliest_goes_first_whatever_the_order_of_scheduling) {
  const heddle_test::watchdog dog;
  // Again with more time, should it have run out while this thread was scheduling.
  for (auto lead = 20ms;; lead *= 2) {
    timer_queue timers;
    std::string order;  // written on the queue's thread
    const auto start = clock::now() + lead;
    std::vector<heddle::future<void>> all;
    for (const int n : {5, 1, 4, 2, 3}) {
      all.push_back(timers.schedule_at(inline_executor(), start + n * 1ms,
                                       [&order, n] { order += std::to_string(n); }));
    }
    for (const char c : {'a', 'b', 'c'}) {
      all.push_back(
          timers.schedule_at(inline_executor(), start + 6ms, [&order, c] { order += c; }));
    }
    const bool in_time = clock::now() < start;
    heddle::wait(all);
    if (!in_time) continue;
    EXPECT_EQ(order, "12345abc") << "and those of the same time as they came";
    return;
  }
}

TEST(timers_test, what_is_due_is_posted_from_here) {
  timer_queue timers;
  manual_executor work;
  const unsigned before = thread_count();
  auto zero = timers.schedule_after(work, 0s, [] { return 1; });
  auto negative = timers.schedule_after(work, -24h * 365 * 100, [] { return 2; });
  auto past = timers.schedule_at(work, clock::time_point::min(), [] { return 3; });
  EXPECT_EQ(work.drain(), 3U);
  EXPECT_EQ(zero.get() + negative.get() + past.get(), 6);
  EXPECT_EQ(timers.pending(), 0U);
  EXPECT_EQ(thread_count(), before) << "no thread is needed for that";
}

TEST(timers_test, huge_times_never_come) {
  timer_queue timers;
  manual_executor work;
  auto years = timers.schedule_after(work, std::chrono::years(1'000'000), [] {});
  auto most = timers.schedule_after(work, std::chrono::hours::max(), [] {});
  auto infinite = timers.schedule_after(
      work, std::chrono::duration<double>(std::numeric_limits<double>::infinity()), [] {});
  auto never = timers.schedule_at(work, heddle::prim::never, [] {});
  EXPECT_EQ(timers.pending(), 4U);
  auto soon = timers.schedule_after(work, 1ms, [] {});
  EXPECT_TRUE(work.run_until_ready(soon, heddle::prim::deadline_after(60s)));
  EXPECT_EQ(timers.pending(), 4U);
  EXPECT_FALSE(years.ready() || most.ready() || infinite.ready() || never.ready());
}

TEST(timers_test, cancelling_takes_it_out_and_frees_it_now) {
  timer_queue timers;
  manual_executor work;
  const auto held = std::make_shared<int>();
  auto f = timers.schedule_after(work, 24h, [held] {});
  auto other = timers.schedule_after(work, 24h, [held] {});
  EXPECT_EQ(held.use_count(), 3);
  EXPECT_TRUE(f.cancel());
  EXPECT_EQ(held.use_count(), 2);
  EXPECT_EQ(timers.pending(), 1U);
  EXPECT_THROW(f.get(), heddle::cancelled);
  EXPECT_FALSE(other.ready());
}

TEST(timers_test, cancelling_after_the_time_is_cancelling_a_job) {
  timer_queue timers;
  manual_executor work;
  auto f = timers.schedule_after(work, 1ms, [] { ADD_FAILURE(); });
  ASSERT_TRUE(eventually([&] { return work.pending() == 1; }));
  EXPECT_EQ(timers.pending(), 0U);
  EXPECT_TRUE(f.cancel());
  EXPECT_EQ(work.drain(), 0U);
}

TEST(timers_test, dropping_the_future_does_not_cancel) {
  timer_queue timers;
  manual_executor work;
  bool ran = false;
  {
    auto dropped = timers.schedule_after(work, 1ms, [&] { ran = true; });
  }
  EXPECT_TRUE(eventually([&] { return work.run_one(); }));
  EXPECT_TRUE(ran);
}

TEST(timers_test, a_waiter_does_not_run_it_ahead_of_its_time) {
  timer_queue timers;
  thread_pool pool(1);
  const heddle_test::pool_watchdog dog(pool);
  const auto late = pool.submit([&] {
                          const auto start = clock::now();
                          timers.schedule_after(pool, 5ms, [] {}).get();
                          return clock::now() - start;
                        })
                        .get();
  EXPECT_GE(late, 5ms);
}

TEST(timers_test, continuations_go_where_the_work_went) {
  timer_queue timers;
  manual_executor work;
  auto f = timers.schedule_after(work, 1ms, [] { return 20; }).then([](int n) { return n + 1; });
  EXPECT_TRUE(work.run_until_ready(f, heddle::prim::deadline_after(60s)));
  EXPECT_EQ(f.get(), 21);
}

TEST(timers_test, work_may_take_a_stop_token) {
  timer_queue timers;
  thread_pool pool(1);
  heddle_test::gate began;
  auto f = timers.schedule_after(pool, 1ms, [&](heddle::prim::stop_token stop) {
    began.pass();
    while (!stop.stop_requested()) std::this_thread::yield();
    return 5;
  });
  began.await_arrivals(1);
  EXPECT_FALSE(f.cancel());
  began.open();
  EXPECT_EQ(f.get(), 5);
}

TEST(timers_test, exceptions_arrive_in_the_future) {
  timer_queue timers;
  auto f = timers.schedule_after(inline_executor(), 1ms, [] { throw std::runtime_error("late"); });
  EXPECT_THROW(f.get(), std::runtime_error);
}

TEST(timers_test, destruction_cancels_what_is_left) {
  const auto held = std::make_shared<int>();
  std::vector<heddle::future<void>> futures;
  heddle::future<void> chained;
  manual_executor work;
  periodic_timer ticking;
  {
    timer_queue timers;
    for (int i = 0; i < 100; ++i) {
      futures.push_back(timers.schedule_after(work, 24h, [held] {}));
    }
    // One more is scheduled by a continuation of what is cancelled: too late.
    chained = timers.schedule_after(work, 24h, [held] {})
                  .then_inline([&timers, &work, held](heddle::future<void>) {
                    timers.schedule_after(work, 24h, [held] {}).get();
                  });
    ticking = timers.schedule_every(work, 24h, [held] {});
    EXPECT_FALSE(ticking.ended());
  }
  for (auto& f : futures) EXPECT_THROW(f.get(), heddle::cancelled);
  EXPECT_THROW(chained.get(), heddle::cancelled);
  EXPECT_TRUE(ticking.ended());
  EXPECT_EQ(held.use_count(), 1);
}

TEST(timers_test, a_queue_may_be_destroyed_by_its_own_thread) {
  const heddle_test::watchdog dog;
  auto timers = std::make_unique<timer_queue>();
  auto left = timers->schedule_after(inline_executor(), 24h, [] {});
  auto f = timers->schedule_after(inline_executor(), 1ms, [&] { timers.reset(); });
  f.get();
  EXPECT_EQ(timers, nullptr);
  EXPECT_THROW(left.get(), heddle::cancelled);
}

TEST(timers_test, all_timers_of_an_executor_can_be_got_rid_of) {
  timer_queue timers;
  manual_executor one;
  manual_executor other;
  std::vector<heddle::future<void>> mine;
  std::vector<heddle::future<void>> theirs;
  for (int i = 0; i < 50; ++i) {
    mine.push_back(timers.schedule_after(one, 24h + (i * 7 % 50) * 1s, [] {}));
    theirs.push_back(timers.schedule_after(other, 24h + (i * 11 % 50) * 1s, [] {}));
  }
  const periodic_timer ticking = timers.schedule_every(one, 24h, [] {});
  EXPECT_EQ(timers.cancel_all(one.executor()), 51U);
  EXPECT_EQ(timers.cancel_all(one.executor()), 0U);
  for (auto& f : mine) EXPECT_THROW(f.get(), heddle::cancelled);
  for (auto& f : theirs) EXPECT_FALSE(f.ready());
  EXPECT_TRUE(ticking.ended());
  EXPECT_EQ(timers.pending(), 50U);
  for (auto& f : theirs) EXPECT_TRUE(f.cancel());
  EXPECT_EQ(timers.pending(), 0U);
}

TEST(timers_test, a_hundred_thousand_at_once) {
  timer_queue timers;
  const heddle_test::watchdog dog;
  constexpr int count = 100'000;
  std::vector<heddle::future<void>> far;
  std::vector<heddle::future<void>> near;
  std::atomic<int> runs{0};
  for (int i = 0; i < count; ++i) {
    far.push_back(timers.schedule_after(inline_executor(), 24h + (i * 7919 % count) * 1us, [] {}));
    near.push_back(
        timers.schedule_after(inline_executor(), (i * 7919 % 100) * 1ms, [&] { ++runs; }));
  }
  for (auto& f : far) ASSERT_TRUE(f.cancel());
  heddle::wait(near);
  EXPECT_EQ(runs, count);
  EXPECT_EQ(timers.pending(), 0U);
}

TEST(timers_test, sleeps_while_nothing_is_due) {
  timer_queue timers;
  manual_executor work;
  auto far = timers.schedule_after(work, 24h, [] {});
  // The state and the number of voluntary switches of the queue's thread, known by its name.
  const auto look = [] {
    std::pair<std::string, long> seen;
    for (const auto& e : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream name(e.path() / "comm");
      std::string text;
      name >> text;
      if (text != "heddle-timers") continue;
      std::ifstream status(e.path() / "status");
      for (std::string word; status >> word;) {
        if (word == "State:") status >> seen.first;
        if (word == "voluntary_ctxt_switches:") status >> seen.second;
      }
    }
    return seen;
  };
  ASSERT_TRUE(eventually([&] { return look().first == "S"; })) << "it has gone to sleep";
  const auto before = look();
  std::vector<heddle::future<void>> later;
  for (int i = 1; i <= 100; ++i) later.push_back(timers.schedule_after(work, 24h + i * 1s, [] {}));
  for (auto& f : later) f.cancel();
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(look(), before) << "nobody wakes it for what is not the earliest";
}

TEST(timers_test, bad_arguments_are_refused) {
  timer_queue timers;
  manual_executor work;
  const heddle::executor_ref none;
  EXPECT_THROW((void)timers.schedule_after(none, 1s, [] {}), std::invalid_argument);
  EXPECT_THROW((void)timers.schedule_at(none, clock::now(), [] {}), std::invalid_argument);
  EXPECT_THROW((void)timers.schedule_every(none, 1s, [] {}), std::invalid_argument);
  EXPECT_THROW((void)timers.schedule_after(work, 1s, std::function<int()>()),
               std::invalid_argument);
  EXPECT_THROW((void)timers.schedule_every(work, 1s, static_cast<void (*)()>(nullptr)),
               std::invalid_argument);
  for (const auto period : {0s, -1s}) {
    EXPECT_THROW((void)timers.schedule_every(work, period, [] {}), std::invalid_argument);
  }
  const std::chrono::duration<double> not_a_number(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THROW((void)timers.schedule_every(work, not_a_number, [] {}), std::invalid_argument);
  EXPECT_THROW((void)timers.schedule_after(work, not_a_number, [] {}), std::invalid_argument);
  EXPECT_EQ(timers.pending(), 0U);
}

TEST(timers_test, the_processs_own_queue) {
  manual_executor work;
  EXPECT_EQ(&timer_queue::standard(), &timer_queue::standard());
  auto f = heddle::schedule_after(work, 1ms, [] { return 1; });
  auto g = heddle::schedule_at(work, clock::now() + 1ms, [] { return 2; });
  int ticks = 0;
  const auto ticking = heddle::schedule_every(work, 1ms, [&] { ++ticks; });
  EXPECT_TRUE(work.run_until_ready(f, heddle::prim::deadline_after(60s)));
  EXPECT_TRUE(work.run_until_ready(g, heddle::prim::deadline_after(60s)));
  EXPECT_TRUE(eventually([&] {
    work.drain();
    return ticks > 1;
  }));
}

// Periodic ones. A manual executor makes each step visible; time passes by the clock, so nothing is
// said of how many ticks it takes.

TEST(periodic_timer_test, repeats_until_it_is_cancelled) {
  timer_queue timers;
  manual_executor work;
  int runs = 0;
  auto timer = timers.schedule_every(work, 1ms, [&] { ++runs; });
  EXPECT_FALSE(timer.ended());
  ASSERT_TRUE(eventually([&] {
    work.drain();
    return runs >= 3;
  }));
  timer.cancel();
  EXPECT_TRUE(timer.ended());
  const int seen = runs;
  EXPECT_EQ(timers.pending(), 0U);
  work.drain();
  EXPECT_EQ(runs, seen) << "a run that was posted before does nothing";
  EXPECT_EQ(timer.statistics().runs, static_cast<std::uint64_t>(seen));
}

TEST(periodic_timer_test, never_piles_up) {
  timer_queue timers;
  manual_executor work;
  auto timer = timers.schedule_every(work, 1ms, [] {});
  ASSERT_TRUE(eventually([&] { return work.pending() == 1; }));
  std::this_thread::sleep_for(10ms);
  EXPECT_EQ(work.pending(), 1U);
}

TEST(periodic_timer_test, tells_what_was_missed_and_how_late_it_is) {
  timer_queue timers;
  manual_executor work;
  std::vector<timer_tick> ticks;
  const auto start = clock::now();
  auto timer = timers.schedule_every(work, 1ms, [&](const timer_tick& t) { ticks.push_back(t); });
  std::this_thread::sleep_for(10ms);
  ASSERT_TRUE(eventually([&] {
    work.drain();
    return ticks.size() >= 2;
  }));
  timer.cancel();
  EXPECT_GE(ticks[0].due, start + 1ms);
  EXPECT_GE(ticks[0].lateness, 9ms);
  EXPECT_GE(ticks[0].missed, 8U);
  // The next tick is the first on the grid that has not passed.
  EXPECT_EQ(ticks[1].due, ticks[0].due + (ticks[0].missed + 1) * 1ms);
  const auto seen = timer.statistics();
  EXPECT_EQ(seen.runs, ticks.size());
  EXPECT_GE(seen.missed, ticks[0].missed);
  EXPECT_GE(seen.max_lateness, ticks[0].lateness);
  EXPECT_EQ(seen.last_lateness, ticks.back().lateness);
}

TEST(periodic_timer_test, catches_up_when_told) {
  timer_queue timers;
  manual_executor work;
  std::vector<clock::time_point> due;
  periodic_options options;
  options.when_late = heddle::missed_ticks::catch_up;
  auto timer =
      timers.schedule_every(work, 1ms, [&](const timer_tick& t) { due.push_back(t.due); }, options);
  std::this_thread::sleep_for(10ms);
  ASSERT_TRUE(eventually([&] {
    work.drain();
    return due.size() >= 9;
  }));
  timer.cancel();
  for (std::size_t i = 1; i < due.size(); ++i) EXPECT_EQ(due[i], due[i - 1] + 1ms);
  EXPECT_EQ(timer.statistics().missed, 0U);
}

TEST(periodic_timer_test, the_first_tick_can_be_chosen) {
  timer_queue timers;
  manual_executor work;
  int runs = 0;
  periodic_options options;
  options.first_after = 0s;
  auto now = timers.schedule_every(work, 24h, [&] { ++runs; }, options);
  EXPECT_EQ(work.drain(), 1U) << "a first tick that is due is posted from here";
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(timers.pending(), 1U);
  options.first_after = 24h;
  auto later = timers.schedule_every(work, 1ns, [&] { ++runs; }, options);
  EXPECT_EQ(timers.pending(), 2U);
}

TEST(periodic_timer_test, goes_on_after_an_exception) {
  const heddle_test::unhandled_log unhandled;
  timer_queue timers;
  manual_executor work;
  int runs = 0;
  auto timer = timers.schedule_every(work, 1ms, [&] {
    if (++runs == 1) throw std::runtime_error("first");
  });
  ASSERT_TRUE(eventually([&] {
    work.drain();
    return runs >= 2;
  }));
  timer.cancel();
  EXPECT_EQ(timer.statistics().failed, 1U);
  EXPECT_EQ(unhandled.sorted(), std::vector<std::string>{"first"});
}

TEST(periodic_timer_test, ends_after_an_exception_when_told) {
  const heddle_test::unhandled_log unhandled;
  timer_queue timers;
  manual_executor work;
  const auto held = std::make_shared<int>();
  periodic_options options;
  options.first_after = 0s;
  options.end_on_exception = true;
  auto timer =
      timers.schedule_every(work, 1ns, [held] { throw std::runtime_error("only"); }, options);
  work.drain();
  EXPECT_TRUE(timer.ended());
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(timers.pending(), 0U);
  EXPECT_EQ(unhandled.sorted(), std::vector<std::string>{"only"});
}

TEST(periodic_timer_test, cancelling_frees_the_callable_now) {
  timer_queue timers;
  manual_executor work;
  const auto held = std::make_shared<int>();
  auto waiting = timers.schedule_every(work, 24h, [held] {});
  periodic_options at_once;
  at_once.first_after = 0s;
  auto posted = timers.schedule_every(work, 24h, [held] {}, at_once);
  EXPECT_EQ(held.use_count(), 3);
  waiting.cancel();
  posted.cancel();
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_TRUE(waiting.ended() && posted.ended());
  posted.cancel();
  posted.stop();
}

TEST(periodic_timer_test, destruction_waits_for_a_run_in_progress) {
  timer_queue timers;
  thread_pool pool(1);
  const heddle_test::watchdog dog;
  heddle_test::gate inside;
  std::atomic<bool> over{false};
  auto timer = std::make_unique<periodic_timer>(timers.schedule_every(pool, 1ms, [&] {
    inside.pass();
    over = true;
  }));
  inside.await_arrivals(1);
  timer->cancel();
  EXPECT_FALSE(timer->ended());
  std::thread opener([&] {
    std::this_thread::sleep_for(5ms);
    inside.open();
  });
  timer.reset();
  EXPECT_TRUE(over);
  opener.join();
}

TEST(periodic_timer_test, waiting_for_a_run_is_announced) {
  timer_queue timers;
  thread_pool pool(1);
  heddle_test::gate inside;
  auto timer = timers.schedule_every(pool, 1ms, [&] { inside.pass(); });
  inside.await_arrivals(1);
  heddle_test::recording_delegate outer;
  outer.inside_enter = [&] { inside.open(); };
  timer.stop();
  EXPECT_EQ(outer.log.size(), 2U);
  EXPECT_TRUE(timer.ended());
}

TEST(periodic_timer_test, a_worker_that_waits_for_a_run_does_not_stop_the_pool) {
  timer_queue timers;
  thread_pool pool(1);
  const heddle_test::pool_watchdog dog(pool);
  // The run needs the only worker to come to its end, and that one waits for the run.
  std::atomic<bool> began{false};
  std::atomic<bool> released{false};
  thread_pool other(1);
  auto timer = timers.schedule_every(other, 1ms, [&] {
    began = true;
    while (!released) std::this_thread::yield();
  });
  while (!began) std::this_thread::yield();
  auto stopper = pool.submit([&] { timer.stop(); });
  pool.submit([&] { released = true; }).get();
  stopper.get();
  EXPECT_TRUE(timer.ended());
}

TEST(periodic_timer_test, may_be_destroyed_by_its_own_run) {
  timer_queue timers;
  manual_executor work;
  const auto held = std::make_shared<int>();
  std::optional<periodic_timer> timer;
  periodic_options options;
  options.first_after = 0s;
  timer = timers.schedule_every(
      work, 1ns,
      [&timer, held] {
        const auto mine = held;
        timer.reset();
        EXPECT_GE(mine.use_count(), 3) << "the callable lives until it returns";
      },
      options);
  EXPECT_EQ(work.drain(), 1U);
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(timers.pending(), 0U);
}

TEST(periodic_timer_test, ends_when_its_executor_refuses_it) {
  timer_queue timers;
  const auto held = std::make_shared<int>();
  manual_executor work;
  auto timer = timers.schedule_every(work, 1ms, [held] {});
  work.close();
  EXPECT_TRUE(eventually([&] { return timer.ended(); }));
  EXPECT_EQ(held.use_count(), 1);
}

TEST(periodic_timer_test, outlives_its_queue_as_something_ended) {
  manual_executor work;
  periodic_timer timer;
  int runs = 0;
  {
    timer_queue timers;
    periodic_options options;
    options.first_after = 0s;
    timer = timers.schedule_every(work, 1h, [&] { ++runs; }, options);
    EXPECT_EQ(work.pending(), 1U);
  }
  EXPECT_EQ(work.drain(), 1U) << "the run that was posted is still to come";
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(timer.ended());
  EXPECT_EQ(timer.statistics().runs, 1U);
}

TEST(periodic_timer_test, handles_move) {
  timer_queue timers;
  manual_executor work;
  periodic_timer none;
  EXPECT_TRUE(none.ended());
  none.cancel();
  none.stop();
  EXPECT_EQ(none.statistics().runs, 0U);
  periodic_timer first = timers.schedule_every(work, 24h, [] {});
  periodic_timer second = std::move(first);
  EXPECT_TRUE(first.ended());  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(second.ended());
  second = timers.schedule_every(work, 24h, [] {});
  EXPECT_EQ(timers.pending(), 1U) << "the one before is cancelled";
}

TEST(periodic_timer_test, periods_too_long_for_the_clock_never_come) {
  timer_queue timers;
  manual_executor work;
  periodic_options options;
  options.first_after = 0s;
  auto once = timers.schedule_every(work, std::chrono::hours::max(), [] {}, options);
  EXPECT_EQ(work.drain(), 1U);
  EXPECT_EQ(timers.pending(), 1U);
  auto never = timers.schedule_every(work, std::chrono::years(1'000'000), [] {});
  EXPECT_EQ(timers.pending(), 2U);
}

TEST(periodic_timer_test, works_on_a_strand) {
  timer_queue timers;
  thread_pool pool(2);
  const heddle_test::pool_watchdog dog(pool);
  const heddle::strand one(pool);
  int shared = 0;
  {
    const auto a = timers.schedule_every(one, 1ms, [&] { ++shared; });
    const auto b = timers.schedule_every(one, 1ms, [&] { ++shared; });
    ASSERT_TRUE(eventually([&] { return one.submit([&] { return shared; }).get() >= 4; }));
  }
  one.submit([] {}).get();
  EXPECT_GE(shared, 4);
}

}  // namespace
