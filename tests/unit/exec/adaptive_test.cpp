// Pools that find their own size, under laws that say what the test wants.
#include <heddle/exec/thread_pool.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/sync/blocking_region.hpp>

#include "support/pools.hpp"
#include "support/scripted_sizing.hpp"

namespace {

using heddle::future;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::eventually;
using heddle_test::gate;
using heddle_test::load;
using heddle_test::pool_watchdog;
using heddle_test::script;
using heddle_test::scripted;

namespace sizing = heddle::sizing;

using namespace std::chrono_literals;

thread_pool_options quick_to_shrink() {
  thread_pool_options options;
  options.sizing = scripted();
  options.spare_keep_alive = 1ms;
  return options;
}

class adaptive : public testing::Test {
 protected:
  adaptive() { script::begin_anew(); }
  ~adaptive() override { script::answers({}); }
};

TEST_F(adaptive, bad_input_is_refused_by_name) {
  const auto message = [](sizing::adaptive wish, unsigned workers = 0) -> std::string {
    thread_pool_options options;
    options.sizing = wish;
    options.workers = workers;
    try {
      const thread_pool pool(std::move(options));
      return "accepted";
    } catch (const std::invalid_argument& refused) {
      return refused.what();
    }
  };
  EXPECT_EQ(message({.min = 0}), "thread_pool: sizing.min 0; the least is 1");
  EXPECT_EQ(message({.min = -3}), "thread_pool: sizing.min -3; the least is 1");
  EXPECT_EQ(message({.max = -1}), "thread_pool: sizing.max -1; it is a number of workers, or 0");
  EXPECT_EQ(message({.min = 4, .max = 3}), "thread_pool: sizing.max 3; it is below sizing.min, 4");
  EXPECT_EQ(message({.max = 1025}), "thread_pool: sizing.max 1025; the most is 1024");
  EXPECT_EQ(message({.min = 5000}), "thread_pool: sizing.min 5000; the most is 1024");
  EXPECT_EQ(message({.make_law = nullptr}), "thread_pool: sizing.make_law is null");
  EXPECT_EQ(message({.make_law = []() -> std::unique_ptr<sizing::law> { return nullptr; }}),
            "thread_pool: sizing.make_law made no law");
  EXPECT_EQ(message(scripted(), 3),
            "thread_pool: workers 3 beside sizing, which finds the number itself");
}

TEST_F(adaptive, an_exception_of_the_law_maker_is_the_constructors) {
  thread_pool_options options;
  options.sizing = {.make_law = []() -> std::unique_ptr<sizing::law> {
    throw std::runtime_error("no law today");
  }};
  EXPECT_THROW(thread_pool(std::move(options)), std::runtime_error);
}

TEST_F(adaptive, the_law_says_how_many_workers_there_are_at_first) {
  script::first = 5;
  const thread_pool pool(scripted(2, 8));
  EXPECT_EQ(pool.size(), 5u);
  const auto log = pool.sizing_log();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0].before, 0);
  EXPECT_EQ(log[0].after, 5);
  EXPECT_EQ(log[0].why, sizing::cause::start);
  EXPECT_EQ(log[0].reason, "the script begins");
  EXPECT_EQ(log[0].signals.least, 2);
}

TEST_F(adaptive, answers_out_of_bounds_are_brought_into_them) {
  script::first = 1000;
  thread_pool pool(scripted(3, 6));
  EXPECT_EQ(pool.size(), 6u);
  const pool_watchdog dog(pool);
  load l(pool);
  script::wants(-7);
  EXPECT_TRUE(eventually([&] { return pool.size() == 3; }));
  script::wants(1 << 30);
  EXPECT_TRUE(eventually([&] { return pool.size() == 6; }));
}

TEST_F(adaptive, the_pool_follows_the_law_up_and_down) {
  thread_pool pool(quick_to_shrink());
  const pool_watchdog dog(pool);
  load l(pool);
  for (const int size : {1, 7, 64, 2, 33, 1}) {
    script::wants(size);
    EXPECT_TRUE(eventually([&] { return pool.size() == static_cast<unsigned>(size); })) << size;
    EXPECT_TRUE(eventually([&] { return l.at_a_time() <= size; })) << size;
    EXPECT_TRUE(eventually([&] { return pool.statistics().threads <= pool.size(); })) << size;
  }
  EXPECT_EQ(pool.statistics().size_changes, 5u);
}

TEST_F(adaptive, as_many_blocking_tasks_start_as_the_law_allows) {
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  gate hold;
  for (int i = 0; i < 64; ++i) pool.post([&] { hold.pass(); });
  script::wants(40);
  hold.await_arrivals(40);
  script::wants(64);
  hold.await_arrivals(64);
  hold.open();
  pool.wait_idle();
}

TEST_F(adaptive, a_size_below_what_runs_takes_effect_when_tasks_end) {
  script::first = 8;
  thread_pool pool(quick_to_shrink());
  const pool_watchdog dog(pool);
  gate hold;
  for (int i = 0; i < 8; ++i) pool.post([&] { hold.pass(); });
  hold.await_arrivals(8);
  script::wants(2);
  std::atomic<int> done{0};
  for (int i = 0; i < 100; ++i) pool.post([&] { ++done; });
  EXPECT_TRUE(eventually([&] { return pool.size() == 2; }));
  hold.open();
  pool.wait_idle();
  EXPECT_EQ(done, 100);
  EXPECT_TRUE(eventually([&] { return pool.statistics().threads == 2; }));
}

TEST_F(adaptive, a_window_tells_what_the_workers_did) {
  script::first = 3;
  std::mutex mutex;
  std::vector<sizing::window> seen;
  std::size_t whole = 0;  // in which the workers sleep in a gate, and five tasks wait
  script::answers([&](const sizing::window& w) {
    const std::lock_guard lock(mutex);
    seen.push_back(w);
    return sizing::choice{3, sizing::cause::nothing_new, {}, 5ms};
  });
  {
    thread_pool pool(scripted(2, 9));
    const pool_watchdog dog(pool);
    gate hold;
    for (int i = 0; i < 8; ++i) pool.post([&] { hold.pass(); });
    hold.await_arrivals(3);
    const auto windows = [&] {
      const std::lock_guard lock(mutex);
      return seen.size();
    };
    whole = windows() + 1;
    ASSERT_TRUE(eventually([&] { return windows() > whole; }));
    hold.open();
    pool.wait_idle();
  }
  const std::lock_guard lock(mutex);
  const auto& w = seen[whole];
  EXPECT_EQ(w.size, 3);
  EXPECT_EQ(w.least, 2);
  EXPECT_EQ(w.most, 9);
  EXPECT_EQ(w.queued, 5u);
  EXPECT_EQ(w.completed, 0u);
  EXPECT_NEAR(w.busy, 3, 1e-3);
  EXPECT_GT(w.cores, 0);
  EXPECT_GT(w.length, 0ns);
  EXPECT_GE(w.end, w.length);
  EXPECT_LE(w.computing, 3);
}

TEST_F(adaptive, given_away_waits_are_not_busy) {
  script::first = 2;
  std::atomic<bool> idle_seen{false};
  std::atomic<bool> waits{false};
  script::answers([&](const sizing::window& w) {
    if (waits && w.busy < 0.01) idle_seen = true;
    return sizing::choice{2, sizing::cause::nothing_new, {}, 1ms};
  });
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  gate hold;
  std::atomic<bool> over{false};
  pool.post([&] {
    const heddle::blocking_scope scope;
    hold.pass();
  });
  hold.await_arrivals(1);
  waits = true;
  // The sizer is awake when there is something to do.
  while (!idle_seen && !over) {
    pool.submit([] {}).get();
    std::this_thread::sleep_for(2ms);
  }
  hold.open();
  pool.wait_idle();
  EXPECT_TRUE(idle_seen);
}

TEST_F(adaptive, an_idle_pool_is_not_watched) {
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  for (int round = 0; round < 3; ++round) {
    const std::uint64_t before = pool.statistics().sizing_windows;
    {
      load l(pool);
      EXPECT_TRUE(eventually([&] { return pool.statistics().sizing_windows > before + 3; }));
    }
    // The window under way ends, and none is begun.
    EXPECT_TRUE(eventually([] { return heddle_test::others_sleep_for(30ms); }));
    const auto at_rest = pool.statistics();
    std::this_thread::sleep_for(100ms);
    EXPECT_EQ(pool.statistics().sizing_windows, at_rest.sizing_windows);
    EXPECT_EQ(pool.statistics().sizing_cpu, at_rest.sizing_cpu);
  }
}

TEST_F(adaptive, a_lone_long_task_beside_a_free_worker_is_not_watched_either) {
  script::first = 2;
  script::wants(2);
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  gate hold;
  pool.post([&] { hold.pass(); });
  hold.await_arrivals(1);
  EXPECT_TRUE(eventually([] { return heddle_test::others_sleep_for(50ms); }));
  // More tasks, and it is awake.
  const int before = script::windows;
  for (int i = 0; i < 4; ++i) pool.post([&] { hold.pass(); });
  EXPECT_TRUE(eventually([&] { return script::windows > before; }));
  script::wants(5);
  hold.await_arrivals(5);
  hold.open();
  pool.wait_idle();
}

TEST_F(adaptive, the_log_is_bounded_and_in_order) {
  script::answers([](const sizing::window& w) {
    return sizing::choice{w.size == 1 ? 2 : 1, sizing::cause::trial, "to and fro", 1ms};
  });
  thread_pool pool(scripted());
  const pool_watchdog dog(pool, 200s);
  {
    load l(pool, 8);
    EXPECT_TRUE(eventually([&] { return pool.statistics().size_changes > 300; }));
  }
  const auto log = pool.sizing_log();
  ASSERT_EQ(log.size(), 256u);
  for (std::size_t i = 1; i < log.size(); ++i) {
    EXPECT_GE(log[i].at, log[i - 1].at);
    EXPECT_EQ(log[i].before, log[i - 1].after);
    EXPECT_EQ(log[i].signals.size, log[i].before);
    EXPECT_EQ(log[i].reason, "to and fro");
  }
}

TEST_F(adaptive, a_cause_without_a_change_is_written_down_too) {
  script::answers([](const sizing::window& w) {
    return sizing::choice{w.size, sizing::cause::trial_failed, "as it was", 1ms};
  });
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  load l(pool, 2);
  EXPECT_TRUE(eventually([&] { return pool.sizing_log().size() > 2; }));
  EXPECT_EQ(pool.statistics().size_changes, 0u);
}

TEST_F(adaptive, switched_off_it_keeps_its_size) {
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  EXPECT_TRUE(pool.sizing_is_on());
  load l(pool);
  script::wants(6);
  EXPECT_TRUE(eventually([&] { return pool.size() == 6; }));
  pool.set_sizing(false);
  EXPECT_FALSE(pool.sizing_is_on());
  script::wants(9);
  // At most the window that was under way is looked at.
  const auto windows = pool.statistics().sizing_windows;
  std::this_thread::sleep_for(50ms);
  EXPECT_LE(pool.statistics().sizing_windows, windows + 1);
  const unsigned kept = pool.size();
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(pool.size(), kept);
  script::wants(12);
  pool.set_sizing(true);
  EXPECT_TRUE(eventually([&] { return pool.size() == 12; }));
}

TEST_F(adaptive, switching_does_nothing_to_a_pool_of_fixed_size) {
  thread_pool pool(2);
  pool.set_sizing(true);
  EXPECT_FALSE(pool.sizing_is_on());
  EXPECT_TRUE(pool.sizing_log().empty());
  EXPECT_EQ(pool.statistics().sizing_windows, 0u);
  EXPECT_EQ(pool.size(), 2u);
}

TEST_F(adaptive, a_law_that_throws_is_reported_and_the_size_stays) {
  const heddle_test::unhandled_log unhandled;
  script::first = 2;
  script::answers(
      [](const sizing::window&) -> sizing::choice { throw std::runtime_error("lost"); });
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  load l(pool);
  EXPECT_TRUE(eventually([&] { return unhandled.count() == 1; }));
  EXPECT_EQ(heddle_test::unhandled_log::sorted(), std::vector<std::string>{"lost"});
  EXPECT_TRUE(eventually([&] { return !pool.sizing_is_on(); }));
  EXPECT_EQ(pool.size(), 2u);
  l.end();
  script::wants(4);
  pool.set_sizing(true);
  load again(pool);
  EXPECT_TRUE(eventually([&] { return pool.size() == 4; }));
}

TEST_F(adaptive, the_hook_is_told_each_decision) {
  const heddle_test::unhandled_log unhandled;
  std::atomic<int> last{0};
  thread_pool_options options;
  options.sizing = scripted();
  options.on_resize = [&](const sizing::logged_choice& c) {
    last = c.after;
    if (c.after == 3) throw std::runtime_error("three");
  };
  thread_pool pool(std::move(options));
  const pool_watchdog dog(pool);
  load l(pool);
  script::wants(3);
  EXPECT_TRUE(eventually([&] { return last == 3; }));
  script::wants(4);
  EXPECT_TRUE(eventually([&] { return last == 4; }));
  EXPECT_GE(unhandled.count(), 1u);
  EXPECT_EQ(heddle_test::unhandled_log::sorted().front(), "three");
}

// A size drawn anew for each window.
void jump_about(int most) {
  script::answers([most, dice = heddle::prim::random(heddle::prim::next_seed())](
                      const sizing::window&) mutable {
    const int size = 1 + static_cast<int>(dice.below(static_cast<std::uint32_t>(most)));
    return sizing::choice{size, sizing::cause::trial, "at random", 1ms};
  });
}

TEST_F(adaptive, ends_in_the_middle_of_a_step) {
  for (int round = 0; round < 60; ++round) {
    jump_about(64);
    std::atomic<int> done{0};
    bool all = true;
    {
      thread_pool pool(quick_to_shrink());
      const pool_watchdog dog(pool);
      for (int i = 0; i < 100; ++i) {
        pool.post([&] {
          std::this_thread::sleep_for(100us);
          ++done;
        });
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200 * (round % 20)));
      switch (round % 3) {
        case 0:
          break;
        case 1:
          EXPECT_TRUE(pool.shutdown().completed);
          EXPECT_THROW(pool.post([] {}), heddle::rejected);
          break;
        case 2:
          EXPECT_TRUE(pool.shutdown(heddle::shutdown_mode::cancel).completed);
          all = false;
          break;
      }
    }
    if (all) {
      EXPECT_EQ(done, 100);
    }
  }
}

TEST_F(adaptive, destroyed_by_its_own_task) {
  jump_about(16);
  std::atomic<bool> destroyed{false};
  auto pool = std::make_unique<thread_pool>(scripted());
  thread_pool* const it = pool.get();
  it->post([&, mine = std::move(pool)]() mutable {
    std::this_thread::sleep_for(5ms);
    mine.reset();
    destroyed = true;
  });
  EXPECT_TRUE(eventually([&] { return destroyed.load(); }));
}

TEST_F(adaptive, placed_tasks_run_though_their_worker_goes) {
  jump_about(8);
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  load l(pool, 20);
  std::vector<future<int>> results;
  for (int i = 0; i < 3000; ++i) {
    results.push_back(pool.submit_keyed(static_cast<std::size_t>(i), [i] { return i; }));
  }
  long sum = 0;
  for (auto& r : results) sum += r.get();
  EXPECT_EQ(sum, 3000L * 2999 / 2);
}

TEST_F(adaptive, the_child_of_a_fork_begins_anew) {
#if HEDDLE_TSAN
  GTEST_SKIP() << "ThreadSanitizer lets no thread start in a child of a process with threads";
#endif
  script::first = 2;
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  {
    load l(pool);
    script::wants(7);
    EXPECT_TRUE(eventually([&] { return pool.size() == 7; }));
  }
  // No thread of this process is inside the script while it is copied.
  pool.set_sizing(false);
  const int made = script::laws_made;
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(100);
    bool good = pool.sizing_log().empty();
    good = good && pool.submit([] { return 1; }).get() == 1;
    good = good && script::laws_made == made + 1 && pool.size() == 2;
    good = good && !pool.sizing_is_on();  // as in the parent
    pool.set_sizing(true);
    script::wants(5);
    {
      load l(pool);
      good = good && eventually([&] { return pool.size() == 5; });
    }
    const auto log = pool.sizing_log();
    good = good && log.front().why == sizing::cause::start && log.back().after == 5;
    good = good && pool.shutdown().completed;
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  pool.set_sizing(true);
  load l(pool);
  script::wants(4);
  EXPECT_TRUE(eventually([&] { return pool.size() == 4; }));
}

TEST_F(adaptive, bound_workers_share_the_cpus) {
  thread_pool_options options;
  options.sizing = scripted(1, 12);
  options.affinity.policy = heddle::kernel::placement::compact;
  thread_pool pool(std::move(options));
  const pool_watchdog dog(pool);
  gate hold;
  for (int i = 0; i < 12; ++i) pool.post([&] { hold.pass(); });
  script::wants(12);
  hold.await_arrivals(12);
  hold.open();
  pool.wait_idle();
}

// The real law, on tasks that sleep: nobody knows where it ends, but it must not stay at one.
TEST_F(adaptive, the_law_of_the_house_lets_sleeping_tasks_overlap) {
  thread_pool pool(sizing::adaptive{.min = 1, .max = 64});
  const pool_watchdog dog(pool);
  std::atomic<bool> over{false};
  std::function<void()> task = [&] {
    std::this_thread::sleep_for(5ms);
    if (!over) pool.post(task);
  };
  for (int i = 0; i < 200; ++i) pool.post(task);
  EXPECT_TRUE(eventually([&] { return pool.size() > 8; }));
  over = true;
  pool.wait_idle();
}

class adaptive_shapes : public adaptive, public testing::WithParamInterface<heddle::scheduling> {};

TEST_P(adaptive_shapes, every_task_runs_once_while_the_size_jumps) {
  jump_about(64);
  for (const bool bounded : {false, true}) {
    thread_pool_options options;
    options.sizing = scripted();
    options.schedule = GetParam();
    options.spare_keep_alive = 200us;
    if (bounded) options.queue_capacity = 64;
    thread_pool pool(std::move(options));
    const pool_watchdog dog(pool);
    constexpr std::size_t roots = 400;
    constexpr std::size_t children = 8;
    std::vector<std::atomic<int>> runs(roots * (children + 1));
    std::vector<future<void>> all;
    for (std::size_t i = 0; i < roots; ++i) {
      const auto level = i % 3 == 0 ? heddle::priority::high : heddle::priority::normal;
      all.push_back(pool.submit(level, [&, i] {
        ++runs[i * (children + 1)];
        std::vector<future<void>> mine;
        for (std::size_t c = 1; c <= children; ++c) {
          mine.push_back(pool.submit([&, i, c] {
            if ((i + c) % 16 == 0) {
              const heddle::blocking_scope scope;
              std::this_thread::sleep_for(100us);
            }
            ++runs[i * (children + 1) + c];
          }));
        }
        for (auto& f : mine) f.get();
      }));
      if (i % 50 == 0) std::this_thread::sleep_for(1ms);
    }
    for (auto& f : all) f.get();
    pool.wait_idle();
    for (const auto& r : runs) EXPECT_EQ(r, 1);
    const auto s = pool.statistics();
    EXPECT_EQ(s.completed, s.submitted);
  }
}

INSTANTIATE_TEST_SUITE_P(pools, adaptive_shapes,
                         testing::Values(heddle::scheduling::work_stealing,
                                         heddle::scheduling::fifo));

}  // namespace
