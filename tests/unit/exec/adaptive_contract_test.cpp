// What the headers and the guide promise of pools that find their own size, at the moments when it
// is hard to keep: refused threads, ends, hooks, switches.
#include <heddle/exec/thread_pool.hpp>

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/sync/blocking_region.hpp>

#include "support/no_more_threads.hpp"
#include "support/pools.hpp"
#include "support/scripted_sizing.hpp"

namespace {

using heddle::blocking_scope;
using heddle::future;
using heddle::promise;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::eventually;
using heddle_test::failing_threads;
using heddle_test::gate;
using heddle_test::load;
using heddle_test::pool_watchdog;
using heddle_test::restless;
using heddle_test::script;
using heddle_test::scripted;

namespace sizing = heddle::sizing;

using namespace std::chrono_literals;

class adaptive_contract : public testing::Test {
 protected:
  adaptive_contract() { script::begin_anew(); }
  ~adaptive_contract() override { script::answers({}); }
};

sizing::choice stay(const sizing::window& w) {
  return {w.size, sizing::cause::nothing_new, {}, 1ms};
}

// One worker more whenever work waits.
void grow_while_work_waits() {
  script::answers([](const sizing::window& w) {
    if (w.queued == 0) return stay(w);
    return sizing::choice{w.size + 1, sizing::cause::idle_cores, "work waits", 1ms};
  });
}

long refusals(const thread_pool& pool) {
  const auto log = pool.sizing_log();
  return std::ranges::count_if(log, [](const sizing::logged_choice& c) {
    return c.why == sizing::cause::bounds && c.reason.find("refused") != std::string::npos;
  });
}

bool comes_to_rest() {
  return eventually([] { return heddle_test::others_sleep_for(30ms); });
}

// ---- what a law is told

TEST_F(adaptive_contract, windows_follow_each_other_and_agree_with_what_was_answered) {
  struct {
    std::mutex mutex;
    int answered = 1;
    std::chrono::nanoseconds end{};
    int checked = 0;
    std::string wrong;
  } seen;
  script::answers(
      [&, dice = heddle::prim::random(heddle::prim::next_seed())](const sizing::window& w) mutable {
        const std::lock_guard lock(seen.mutex);
        const auto check = [&](bool holds, const char* what) {
          if (!holds && seen.wrong.empty()) seen.wrong = what;
        };
        check(w.length > 0ns && w.end - w.length >= seen.end, "windows overlap");
        check(w.size == seen.answered, "the size is not the one that was answered");
        check(w.least == 2 && w.most == 24, "bounds");
        check(w.busy >= 0 && w.computing >= 0 && w.runnable >= 0, "a share below zero");
        check(w.cores > 0 && w.foreign >= 0 && w.throttled >= 0, "the surroundings");
        seen.end = w.end;
        ++seen.checked;
        const int size = static_cast<int>(dice.below(40)) - 5;
        seen.answered = std::clamp(size, 2, 24);
        return sizing::choice{size, sizing::cause::trial, "at random", 1ms};
      });
  script::first = 2;
  seen.answered = 2;
  thread_pool pool(scripted(2, 24));
  const pool_watchdog dog(pool);
  {
    load l(pool, 60);
    std::vector<future<void>> waits;
    for (int i = 0; i < 40; ++i) {
      waits.push_back(pool.submit([] {
        const blocking_scope scope;
        std::this_thread::sleep_for(1ms);
      }));
    }
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(seen.mutex);
      return seen.checked >= 60;
    }));
  }
  const std::lock_guard lock(seen.mutex);
  EXPECT_EQ(seen.wrong, "");
}

TEST_F(adaptive_contract, equal_bounds_leave_nothing_to_decide) {
  script::first = 40;
  thread_pool pool(scripted(3, 3));
  EXPECT_EQ(pool.size(), 3u);
  const pool_watchdog dog(pool);
  {
    load l(pool, 30);
    for (const int size : {100, -1, 3}) {
      script::wants(size);
      const int until = script::windows + 5;
      EXPECT_TRUE(eventually([&] { return script::windows >= until; }));
    }
  }
  EXPECT_EQ(pool.size(), 3u);
  EXPECT_EQ(pool.statistics().size_changes, 0u);
  for (const auto& c : pool.sizing_log()) EXPECT_EQ(c.after, 3);
}

TEST_F(adaptive_contract, an_exception_of_the_first_answer_is_the_constructors) {
  class no_beginning final : public sizing::law {
   public:
    sizing::choice first(double, int, int) override { throw std::runtime_error("no beginning"); }
    sizing::choice next(const sizing::window& w) override { return stay(w); }
  };
  EXPECT_THROW(thread_pool(sizing::adaptive{.make_law = []() -> std::unique_ptr<sizing::law> {
                 return std::make_unique<no_beginning>();
               }}),
               std::runtime_error);
}

TEST_F(adaptive_contract, a_moment_without_memory_does_not_end_sizing) {
  script::answers([left = 3](const sizing::window&) mutable -> sizing::choice {
    if (left-- > 0) throw std::bad_alloc();
    return {4, sizing::cause::trial, "there is memory again", 1ms};
  });
  thread_pool pool(scripted());
  const pool_watchdog dog(pool);
  load l(pool, 30);
  EXPECT_TRUE(eventually([&] { return pool.size() == 4; }));
  EXPECT_TRUE(pool.sizing_is_on());
}

// ---- the hook

TEST_F(adaptive_contract, the_hook_comes_after_the_decision_and_on_a_thread_of_its_own) {
  std::atomic<thread_pool*> its{nullptr};
  struct {
    std::mutex mutex;
    std::vector<sizing::logged_choice> choices;
    std::string wrong;
  } told;
  thread_pool_options options;
  options.sizing = scripted(1, 16);
  options.name = "p";
  options.on_resize = [&](const sizing::logged_choice& c) {
    const thread_pool& pool = *its.load();
    const std::lock_guard lock(told.mutex);
    told.choices.push_back(c);
    char name[16] = {};
    ::pthread_getname_np(::pthread_self(), name, sizeof name);
    if (name != std::string("p/sizer")) told.wrong = name;
    if (pool.worker_index()) told.wrong = "on a worker";
    if (pool.size() != static_cast<unsigned>(c.after)) told.wrong = "the size";
    const auto log = pool.sizing_log();
    if (log.back().at != c.at || log.back().after != c.after) told.wrong = "the log";
  };
  script::answers([left = 40, dice = heddle::prim::random(7)](const sizing::window& w) mutable {
    if (left-- <= 0) return stay(w);
    return sizing::choice{static_cast<int>(1 + dice.below(16)), sizing::cause::trial, "", 1ms};
  });
  thread_pool pool(std::move(options));
  its = &pool;
  const pool_watchdog dog(pool);
  {
    load l(pool, 40);
    EXPECT_TRUE(eventually([&] { return script::windows > 42; }));
  }
  EXPECT_TRUE(comes_to_rest());
  const std::lock_guard lock(told.mutex);
  EXPECT_EQ(told.wrong, "");
  const auto log = pool.sizing_log();  // with the first size, which nobody was told
  ASSERT_EQ(told.choices.size() + 1, log.size());
  for (std::size_t i = 0; i < told.choices.size(); ++i) {
    EXPECT_EQ(told.choices[i].at, log[i + 1].at);
    EXPECT_EQ(told.choices[i].before, log[i].after);
  }
}

TEST_F(adaptive_contract, the_hook_may_use_the_pool) {
  const heddle_test::unhandled_log unhandled;
  std::atomic<thread_pool*> its{nullptr};
  std::atomic<int> told{0};
  std::atomic<int> posted{0};
  thread_pool_options options;
  options.sizing = restless(2, 16);
  options.on_resize = [&](const sizing::logged_choice&) {
    ++told;
    thread_pool& pool = *its.load();
    static_cast<void>(pool.report().to_json());
    static_cast<void>(pool.statistics());
    pool.set_sizing(told % 2 == 0);
    pool.set_sizing(true);
    pool.post([&] { ++posted; });
    if (pool.submit([] { return 5; }).get() != 5) posted = -1'000'000;
    if (told % 3 == 0) throw std::runtime_error("told");
  };
  {
    thread_pool pool(std::move(options));
    its = &pool;
    const pool_watchdog dog(pool);
    load l(pool, 20);
    EXPECT_TRUE(eventually([&] { return told >= 30; }));
  }
  EXPECT_GE(posted, 29);  // the last one may have come when the pool was closed
  EXPECT_GE(unhandled.count(), 10u);
}

TEST_F(adaptive_contract, the_hook_may_switch_sizing_off) {
  std::atomic<thread_pool*> its{nullptr};
  thread_pool_options options;
  options.sizing = restless(1, 16);
  options.on_resize = [&](const sizing::logged_choice&) { its.load()->set_sizing(false); };
  thread_pool pool(std::move(options));
  its = &pool;
  const pool_watchdog dog(pool);
  load l(pool, 20);
  for (std::size_t decisions = 2; decisions < 6; ++decisions) {
    EXPECT_TRUE(eventually([&] { return !pool.sizing_is_on(); }));
    const unsigned size = pool.size();
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(pool.size(), size);
    EXPECT_EQ(pool.sizing_log().size(), decisions);
    pool.set_sizing(true);
  }
}

// ---- the switch

TEST_F(adaptive_contract, the_size_is_kept_from_the_moment_when_sizing_is_off) {
  thread_pool pool(restless(1, 32));
  const pool_watchdog dog(pool);
  load l(pool, 64);
  for (int round = 0; round < 80; ++round) {
    std::this_thread::sleep_for(std::chrono::microseconds(100 * (round % 20)));
    pool.set_sizing(false);
    const unsigned kept = pool.size();
    std::this_thread::sleep_for(1ms);
    ASSERT_EQ(pool.size(), kept) << round;
    pool.set_sizing(true);
  }
}

// ---- rest

TEST_F(adaptive_contract, tasks_that_wait_with_their_place_given_away_are_not_watched) {
  script::first = 2;
  thread_pool pool(scripted(1, 8));
  const pool_watchdog dog(pool);
  gate hold;
  for (int i = 0; i < 5; ++i) {
    pool.post([&] {
      const blocking_scope scope;
      hold.pass();
    });
  }
  hold.await_arrivals(5);
  EXPECT_TRUE(comes_to_rest());
  const auto at_rest = pool.statistics();
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(pool.statistics().sizing_windows, at_rest.sizing_windows);
  EXPECT_EQ(pool.statistics().sizing_cpu, at_rest.sizing_cpu);
  hold.open();
  pool.wait_idle();
}

// All workers wait for work that is there, and there are no spares: only growth can help.
TEST_F(adaptive_contract, work_that_waits_beside_waiting_workers_is_seen) {
  grow_while_work_waits();
  thread_pool_options options;
  options.sizing = scripted(1, 4);
  options.max_spares = 0;
  thread_pool pool(std::move(options));
  const pool_watchdog dog(pool);
  promise<void> p;
  auto waits = pool.submit([f = p.get_future()]() mutable { f.get(); });
  EXPECT_TRUE(eventually([&] { return pool.statistics().blocked == 1; }));
  pool.post([&] { p.set_value(); });
  EXPECT_TRUE(eventually([&] { return waits.ready(); }));
}

TEST_F(adaptive_contract, so_is_work_that_was_placed_on_a_waiting_worker) {
  script::answers([windows = 0](const sizing::window& w) mutable {
    if (w.queued == 0 || ++windows < 5) return stay(w);  // it wants to be sure
    return sizing::choice{2, sizing::cause::idle_cores, "work waits", 1ms};
  });
  thread_pool_options options;
  options.sizing = scripted(1, 4);
  options.max_spares = 0;
  thread_pool pool(std::move(options));
  const pool_watchdog dog(pool);
  auto waits = pool.submit([&] { return pool.submit_to(0, [] { return 7; }).get(); });
  EXPECT_TRUE(eventually([&] { return waits.ready(); }));
  EXPECT_EQ(waits.get(), 7);
}

// ---- bounds that the system sets

TEST_F(adaptive_contract, refused_threads_cost_no_worker_that_is_there) {
  script::first = 4;
  script::answers(&stay);
  thread_pool pool(scripted(1, 8));
  const pool_watchdog dog(pool);
  gate begun, hold;
  for (int i = 0; i < 4; ++i) {
    pool.post([&] {
      begun.pass();
      const blocking_scope scope;
      hold.pass();
    });
  }
  begun.await_arrivals(4);
  begun.open();
  hold.await_arrivals(4);
  std::atomic<int> done{0};
  int posted = 0;
  {
    const failing_threads none;
    const auto ask_for_a_spare = [&] {
      pool.post([&] { ++done; });
      ++posted;
    };
    const int until = script::windows + 40;
    EXPECT_TRUE(eventually([&] {
      ask_for_a_spare();
      return script::windows >= until;
    }));
    EXPECT_TRUE(eventually([&] {
      ask_for_a_spare();
      return pool.report().sizing->most_now == 4;
    }));
    EXPECT_GE(refusals(pool), 1);
    EXPECT_LE(refusals(pool), 7);  // asked again after 1, 2, 4 ... seconds
    EXPECT_EQ(pool.size(), 4u);
    EXPECT_EQ(done, 0);
  }
  hold.open();
  pool.wait_idle();
  EXPECT_EQ(done, posted);
  EXPECT_EQ(pool.statistics().size_changes, 0u);
}

// Nothing but the sizer is left to ask the system for the spare.
TEST_F(adaptive_contract, a_refused_spare_is_asked_for_again) {
  script::answers(&stay);
  thread_pool pool(scripted(1, 1));
  const pool_watchdog dog(pool);
  promise<void> p;
  auto waits = pool.submit([f = p.get_future()]() mutable { f.get(); });
  EXPECT_TRUE(eventually([&] { return pool.statistics().blocked == 1; }));
  {
    const failing_threads none;
    pool.post([&] { p.set_value(); });
    EXPECT_TRUE(eventually([&] { return refusals(pool) >= 1; }));
  }
  EXPECT_TRUE(eventually([&] { return waits.ready(); }));
  if (!waits.ready()) p.set_value();
}

TEST_F(adaptive_contract, what_sets_a_bound_is_told) {
  struct fewer_descriptors {
    fewer_descriptors() {
      ::getrlimit(RLIMIT_NOFILE, &before);
      const rlimit few{100, before.rlim_max};
      ::setrlimit(RLIMIT_NOFILE, &few);
    }
    ~fewer_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before); }
    rlimit before{};
  } const limit;
  script::answers([](const sizing::window& w) {
    if (w.size == w.most) return stay(w);
    return sizing::choice{w.most, sizing::cause::bounds, "as many as are allowed", 1ms};
  });
  thread_pool pool(sizing::adaptive{.make_law = scripted().make_law});
  const pool_watchdog dog(pool);
  const auto first = pool.report();
  EXPECT_EQ(first.sizing->max, 1024);
  EXPECT_LT(first.sizing->most_now, 50);
  load l(pool, 60);
  std::string reason;
  EXPECT_TRUE(eventually([&] {
    for (const auto& c : pool.sizing_log()) {
      if (c.why == sizing::cause::bounds) reason = c.reason;
    }
    return !reason.empty();
  }));
  EXPECT_NE(reason.find("as many as are allowed; the limit of open files allows 100"),
            std::string::npos)
      << reason;
}

// ---- the end

// Enough to keep a restless pool changing.
void post_some(thread_pool& pool, std::atomic<int>& done, int count) {
  for (int i = 0; i < count; ++i) {
    pool.post([&] {
      std::this_thread::sleep_for(100us);
      ++done;
    });
  }
}

TEST_F(adaptive_contract, ends_in_every_way_while_it_changes) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 60; ++round) {
    std::atomic<int> told{0};
    std::atomic<int> done{0};
    thread_pool_options options;
    options.sizing = restless(1, 24);
    options.spare_keep_alive = 300us;
    options.on_resize = [&](const sizing::logged_choice&) { ++told; };
    auto pool = std::make_unique<thread_pool>(std::move(options));
    post_some(*pool, done, 60);
    std::this_thread::sleep_for(std::chrono::microseconds(400 * (round % 10)));
    bool all = true;
    bool has_ended = true;
    switch (round % 6) {
      case 0:
        has_ended = false;  // the destructor does it
        break;
      case 1:
        EXPECT_TRUE(pool->shutdown(heddle::shutdown_mode::cancel).completed);
        EXPECT_TRUE(pool->shutdown().completed);
        all = false;
        break;
      case 2:
        while (!pool->shutdown(heddle::shutdown_mode::drain, 200us).completed) {
        }
        break;
      case 3:
        EXPECT_TRUE(pool->submit([&] { return pool->shutdown().completed; }).get());
        has_ended = false;
        break;
      case 4:
        heddle_test::run_together(3, [&](unsigned) { EXPECT_TRUE(pool->shutdown().completed); });
        break;
      case 5:
        while (!pool->shutdown(heddle::shutdown_mode::drain, 100us).completed) {
          if (pool->shutdown(heddle::shutdown_mode::cancel, 100us).completed) break;
        }
        all = false;
        break;
    }
    if (has_ended) {
      const auto log = pool->sizing_log();
      const int calls = told;
      const unsigned size = pool->size();
      pool->set_sizing(false);
      pool->set_sizing(true);
      std::this_thread::sleep_for(3ms);
      EXPECT_EQ(told, calls);
      EXPECT_EQ(pool->size(), size);
      EXPECT_EQ(pool->sizing_log().size(), log.size());
    }
    // Nothing is said to have been refused because it was the end.
    EXPECT_EQ(refusals(*pool), 0);
    pool.reset();
    if (all) {
      EXPECT_EQ(done, 60);
    }
  }
}

// They need each other, and the size grows while the pool drains.
TEST_F(adaptive_contract, grows_while_it_drains) {
  grow_while_work_waits();
  std::barrier<> meeting(6);
  thread_pool pool(scripted(1, 8));
  const pool_watchdog dog(pool);
  for (int i = 0; i < 6; ++i) pool.post([&] { meeting.arrive_and_wait(); });
  EXPECT_TRUE(pool.shutdown().completed);
}

TEST_F(adaptive_contract, quickly_made_and_quickly_gone) {
  const heddle_test::watchdog dog;
  for (int round = 0; round < 100; ++round) {
    std::atomic<int> done{0};
    {
      thread_pool pool(restless(1, 8));
      switch (round % 4) {
        case 0:
          break;
        case 1:
          pool.post([&] { ++done; });
          break;
        case 2:
          pool.set_sizing(false);
          pool.post([&] { ++done; });
          pool.set_sizing(true);
          break;
        case 3:
          EXPECT_FALSE(pool.report().to_text().empty());
      }
    }
    EXPECT_EQ(done, round % 4 == 1 || round % 4 == 2 ? 1 : 0);
  }
}

}  // namespace
