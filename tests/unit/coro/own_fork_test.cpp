#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/fork.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/this_task.hpp>
#include <heddle/coro/with_timeout.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <gtest/gtest.h>
#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>
#include <heddle/exec/inline_executor.hpp>
#include <heddle/exec/manual_executor.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"
#include "tasks.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cancelled;
using heddle::manual_reset_event;
using heddle::no_state;
using heddle::thread_pool;
using heddle::coro::delay;
using heddle::coro::fork;
using heddle::coro::fork_join;
using heddle::coro::forked;
using heddle::coro::join;
using heddle::coro::schedule_on;
using heddle::coro::spawn;
using heddle::coro::sync_wait;
using heddle::coro::task;
using heddle_test::counted;
using heddle_test::failing;
using heddle_test::late_number;
using heddle_test::noted_context;
using heddle_test::number;
using heddle_test::pool_watchdog;
using heddle_test::until_stopped;

static_assert(!std::is_copy_constructible_v<forked<int>>);

task<> opens(manual_reset_event& gate) { co_await gate; }

TEST(coro_own_fork, the_parent_goes_on_behind_a_child_that_waits) {
  for (const unsigned workers : {1u, 2u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    manual_reset_event gate;
    const auto waits = [&](int n) -> task<int> {
      co_await gate;
      co_return n;
    };
    const auto parent = [&]() -> task<int> {
      auto a = co_await fork(waits(1));
      auto b = co_await fork(waits(2));
      gate.set();
      co_await join();
      auto c = co_await fork(late_number(3));
      auto d = co_await fork(number(4));
      co_await join();
      co_return a.get() + b.get() + c.get() + d.get();
    };
    EXPECT_EQ(spawn(pool, parent()).get(), 10);
  }
}

TEST(coro_own_fork, values_of_all_kinds) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  int x = 5;
  const auto reference = [&]() -> task<int&> { co_return x; };
  const auto owned = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(9); };
  const auto nothing = []() -> task<> { co_return; };
  const auto parent = [&]() -> task<bool> {
    auto r = co_await fork(reference());
    auto o = co_await fork(owned());
    auto n = co_await fork(nothing());
    forked<int> assigned;
    assigned = co_await fork(late_number(7));
    co_await join();
    n.get();
    co_return &r.get() == &x && *o.get() == 9 && assigned.get() == 7;
  };
  EXPECT_TRUE(spawn(pool, parent()).get());
}

TEST(coro_own_fork, a_task_ends_behind_its_children) {
  for (const unsigned workers : {1u, 2u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    std::atomic<int> ended{0};
    const auto child = [&](counted) -> task<> {
      co_await delay(200us);
      ++ended;
    };
    const auto parent = [&]() -> task<std::string> {
      co_await fork(child(counted()));
      const auto kept = co_await fork(child(counted()));
      co_return "value";
    };
    const auto body = [&]() -> task<int> {
      const std::string value = co_await parent();
      const int all = ended;
      co_return value == "value" ? all : -1;
    };
    EXPECT_EQ(spawn(pool, body()).get(), 2);
    EXPECT_EQ(spawn(pool, parent()).get(), "value");
    EXPECT_EQ(sync_wait(parent()), "value");
    EXPECT_EQ(ended, 6);
    EXPECT_EQ(counted::alive, 0);
  }
}

TEST(coro_own_fork, a_failure_that_nobody_joins_is_the_tasks) {
  for (const unsigned workers : {1u, 2u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    const auto fails_late = []() -> task<> {
      co_await delay(100us);
      throw std::runtime_error("late");
    };
    const auto parent = [&](bool late) -> task<counted> {
      if (late) {
        co_await fork(fails_late());
      } else {
        co_await fork(failing("early"));
      }
      co_return counted();
    };
    EXPECT_THROW(spawn(pool, parent(true)).get(), std::runtime_error);
    EXPECT_THROW(spawn(pool, parent(false)).get(), std::runtime_error);
    EXPECT_THROW(spawn(pool, fork_join(parent(true), parent(false))).get(), std::runtime_error);
    EXPECT_EQ(counted::alive, 0);
  }
}

TEST(coro_own_fork, a_task_that_fails_stops_its_children_and_ends_behind_them) {
  for (const unsigned workers : {1u, 2u}) {
    thread_pool pool(workers);
    const pool_watchdog dog(pool);
    std::atomic<int> stopped{0};
    const auto parent = [&]() -> task<> {
      const auto first = co_await fork(until_stopped(stopped));
      co_await fork(until_stopped(stopped));
      throw std::out_of_range("body");
    };
    const auto body = [&]() -> task<int> {
      try {
        co_await parent();
      } catch (const std::out_of_range&) {
        co_return stopped;
      }
      co_return -1;
    };
    EXPECT_EQ(spawn(pool, body()).get(), 2);
  }
}

TEST(coro_own_fork, failures_beside_that_of_the_task_go_to_the_handler) {
  thread_pool pool(1);
  const pool_watchdog dog(pool);
  const heddle_test::unhandled_log log;
  const auto fails_when_stopped = [](std::atomic<int>& stopped) -> task<> {
    try {
      co_await until_stopped(stopped);
    } catch (const cancelled&) {
      throw std::runtime_error("child");
    }
  };
  std::atomic<int> stopped{0};
  const auto parent = [&](bool before) -> task<> {
    if (before) {
      co_await fork(failing("child"));
    } else {
      co_await fork(fails_when_stopped(stopped));
    }
    throw std::out_of_range("body");
  };
  EXPECT_THROW(spawn(pool, parent(true)).get(), std::out_of_range);
  EXPECT_EQ(log.count(), 1u);
  EXPECT_THROW(spawn(pool, parent(false)).get(), std::out_of_range);
  EXPECT_EQ(log.count(), 2u);
  EXPECT_EQ(stopped, 1);
}

TEST(coro_own_fork, the_join_throws_what_failed_first_and_nothing_begins_behind_it) {
  thread_pool pool(1);
  const pool_watchdog dog(pool);
  bool begun = false;
  const auto begins = [&](counted) -> task<> {
    begun = true;
    co_return;
  };
  std::atomic<int> stopped{0};
  const auto parent = [&]() -> task<std::string> {
    auto good = co_await fork(number(1));
    co_await fork(until_stopped(stopped));
    auto bad = co_await fork(failing("first"));
    auto none = co_await fork(begins(counted()));
    std::string thrown = "nothing";
    try {
      co_await join();
    } catch (const std::runtime_error& e) {
      thrown = e.what();
    }
    EXPECT_EQ(good.get(), 1);
    EXPECT_THROW(bad.get(), no_state);
    EXPECT_FALSE(none.valid());
    EXPECT_THROW(none.get(), no_state);
    auto again = co_await fork(number(2));
    co_await join();
    EXPECT_EQ(again.get(), 2);
    co_return thrown;
  };
  EXPECT_EQ(spawn(pool, parent()).get(), "first");
  EXPECT_FALSE(begun);
  EXPECT_EQ(stopped, 1);
  EXPECT_EQ(counted::alive, 0);
}

TEST(coro_own_fork, a_stop_from_outside_reaches_the_children) {
  thread_pool pool(1);
  const pool_watchdog dog(pool);
  std::atomic<int> stopped{0};
  const auto joins = [&]() -> task<> {
    co_await fork(until_stopped(stopped));
    co_await join();
  };
  const auto ends = [&]() -> task<> { co_await fork(until_stopped(stopped)); };
  EXPECT_THROW(spawn(pool, heddle::coro::with_timeout(joins(), 2ms)).get(), heddle::timed_out);
  EXPECT_THROW(spawn(pool, heddle::coro::with_timeout(ends(), 2ms)).get(), heddle::timed_out);
  EXPECT_EQ(stopped, 2);
}

TEST(coro_own_fork, a_handle_may_outlive_the_task) {
  thread_pool pool(2);
  const pool_watchdog dog(pool);
  const auto child = [](counted c) -> task<counted> {
    co_await delay(100us);
    co_return c;
  };
  const auto parent = [&]() -> task<forked<counted>> { co_return co_await fork(child(counted())); };
  {
    auto kept = spawn(pool, parent()).get();
    EXPECT_TRUE(kept.valid());
    kept.get();
    EXPECT_FALSE(kept.valid());
    EXPECT_TRUE(spawn(pool, parent()).get().valid());
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(coro_own_fork, bad_input) {
  task<int> gone;
  EXPECT_THROW(static_cast<void>(fork(std::move(gone))), no_state);
  EXPECT_THROW(forked<int>().get(), no_state);
  thread_pool pool(1);
  const pool_watchdog dog(pool);
  manual_reset_event gate;
  const auto parent = [&]() -> task<> {
    co_await join();  // of nothing
    auto waits = co_await fork(opens(gate));
    EXPECT_THROW(waits.get(), no_state);
    gate.set();
    co_await join();
    waits.get();
    EXPECT_THROW(waits.get(), no_state);
  };
  spawn(pool, parent()).get();
}

TEST(coro_own_fork, never_awaited_destroys_its_task) {
  const auto holds = [](counted) -> task<> { co_return; };
  {
    const auto waits = fork(holds(counted()));
    EXPECT_EQ(counted::alive, 1);
  }
  EXPECT_EQ(counted::alive, 0);
}

// The children are on other executors than their parent, which has moved as well.
TEST(coro_own_fork, tasks_that_move_to_other_executors) {
  thread_pool pool(2);
  thread_pool other(1);
  heddle::inline_executor here;
  const pool_watchdog dog(pool);
  const auto wanders = [&](int n) -> task<int> {
    co_await schedule_on(other);
    co_await delay(50us);
    co_return n;
  };
  const auto joins = [&]() -> task<int> {
    auto a = co_await fork(wanders(1));
    co_await schedule_on(here);
    auto b = co_await fork(wanders(2));
    co_await schedule_on(pool);
    auto c = co_await fork(wanders(3));
    co_await join();
    co_return a.get() + b.get() + c.get();
  };
  const auto ends = [&]() -> task<int> {
    co_await fork(wanders(1));
    co_await schedule_on(other);
    co_await fork(wanders(2));
    co_await schedule_on(pool);
    co_return 4;
  };
  const auto body = [&]() -> task<int> {
    auto a = co_await fork(ends());
    const int b = co_await ends();
    const int c = co_await joins();
    co_await join();
    co_return a.get() + b + c;
  };
  EXPECT_EQ(spawn(pool, body()).get(), 14);
  EXPECT_EQ(sync_wait(body()), 14);
}

// Each waits at its end for the next.
task<> chain(int n, manual_reset_event& gate) {
  if (n == 0) {
    co_await gate;
  } else {
    co_await fork(chain(n - 1, gate));
  }
}

TEST(coro_own_fork, ends_behind_children_use_no_stack) {
  constexpr int depth = HEDDLE_TSAN ? 10'000 : 100'000;
  thread_pool pool(1);
  manual_reset_event gate;
  auto all = spawn(pool, chain(depth, gate));
  spawn(pool, number(1)).get();
  gate.set();
  all.get();
}

TEST(coro_own_fork, each_has_the_context_of_its_parent_and_that_keeps_its_own) {
  noted_context outer;
  noted_context inner;
  {
    thread_pool pool(2);
    const pool_watchdog dog(pool);
    const auto child = [&](bool late) -> task<bool> {
      const bool mine = heddle::exchange_current(&inner) == &outer;
      if (late) co_await delay(100us);
      const bool still = heddle::current_context() == &inner;
      co_return mine&& still;
    };
    const auto ends = [&]() -> task<bool> {
      co_await fork(child(true));
      co_return heddle::current_context() == &outer;
    };
    const auto body = [&]() -> task<bool> {
      auto a = co_await fork(child(true));
      auto b = co_await fork(child(false));
      const bool between = heddle::current_context() == &outer;
      const bool c = co_await ends();
      const bool behind = heddle::current_context() == &outer;
      co_await join();
      co_return a.get() && b.get() && c&& between&& behind&& heddle::current_context() == &outer;
    };
    heddle::future<bool> done;
    {
      const heddle::context_scope around(&outer);
      done = spawn(pool, body());
    }
    EXPECT_TRUE(done.get());
  }
  EXPECT_EQ(outer.held, 0);
  EXPECT_EQ(inner.held, 0);
}

// The pool refuses the parent, which fails on the thread that opens the gate and would have to let
// its children go on as well.
TEST(coro_own_fork, a_parent_that_its_pool_refuses_ends_behind_its_children) {
  manual_reset_event gate;
  std::atomic<int> ended{0};
  heddle::future<void> result;
  {
    thread_pool pool(1);
    const auto child = [&](bool late) -> task<> {
      try {
        if (late) {
          co_await delay(24h);
        } else {
          co_await gate;
        }
      } catch (const cancelled&) {
        ++ended;
        throw;
      }
    };
    const auto parent = [](auto& of, manual_reset_event& opened) -> task<> {
      co_await fork(of(true));
      co_await fork(of(false));
      co_await opened;
      co_await fork(of(true));
    };
    result = spawn(pool, parent(child, gate));
    spawn(pool, number(1)).get();
    pool.shutdown(heddle::shutdown_mode::drain);
    gate.set();
    EXPECT_THROW(result.get(), cancelled);
  }
  EXPECT_EQ(ended, 2);
}

// A child moves to the pool, where it closes the executor of its parent, which nobody could take:
// there are no lanes. So the parent goes on on the pool's thread, and has to be told.
task<int> one_that_closes(heddle::manual_executor& home, thread_pool& pool) {
  co_await schedule_on(pool);
  home.close();
  co_return 1;
}

TEST(coro_own_fork, a_refusal_behind_a_child_without_a_lane_is_told_by_the_join) {
  thread_pool pool(1);
  heddle::manual_executor home;
  const auto parent = [](heddle::manual_executor& at, thread_pool& other) -> task<int> {
    const auto child = co_await fork(one_that_closes(at, other));
    EXPECT_TRUE(child.valid());
    EXPECT_THROW(co_await join(), cancelled);
    co_await join();  // told once
    co_return 7;
  };
  heddle::future<int> result = spawn(home, parent(home, pool));
  EXPECT_TRUE(home.run_one());
  EXPECT_EQ(result.get(), 7);
}

TEST(coro_own_fork, a_refusal_behind_a_child_without_a_lane_is_told_by_the_next_await) {
  thread_pool pool(1);
  heddle::manual_executor home;
  const auto parent = [](heddle::manual_executor& at, thread_pool& other) -> task<int> {
    auto child = co_await fork(one_that_closes(at, other));
    EXPECT_THROW(co_await number(2), cancelled);
    EXPECT_EQ(co_await number(3), 3);
    co_await join();
    co_return child.get();
  };
  heddle::future<int> result = spawn(home, parent(home, pool));
  EXPECT_TRUE(home.run_one());
  EXPECT_EQ(result.get(), 1);
}

TEST(coro_own_fork, a_join_that_is_kept_may_be_awaited_again) {
  thread_pool pool(1);
  const auto parent = []() -> task<int> {
    auto all = join();
    auto first = co_await fork(failing("first"));
    EXPECT_THROW(co_await all, std::runtime_error);
    auto second = co_await fork(number(2));
    co_await all;
    co_return second.get();
  };
  EXPECT_EQ(spawn(pool, parent()).get(), 2);
}

}  // namespace
