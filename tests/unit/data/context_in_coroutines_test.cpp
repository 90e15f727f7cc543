// Coroutines take the context of whoever begins them along, through every wait.
#include <heddle/data/context.hpp>

#include <chrono>
#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <heddle/coro/await.hpp>
#include <heddle/coro/delay.hpp>
#include <heddle/coro/gather.hpp>
#include <heddle/coro/schedule_on.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/task.hpp>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::context;
using heddle::context_key;
using heddle::scoped_context;
using heddle::coro::task;

const context_key<std::string> request("request", "none");
const context_key<std::shared_ptr<int>> token("token");

std::string seen() { return request.get(); }
task<std::string> seen_here() { co_return seen(); }

// Waits in every way, on the pool and elsewhere, also with a context of its own.
task<std::string> wait_and_see(heddle::thread_pool& pool) {
  std::string all = seen();
  co_await heddle::coro::delay(1ms);
  all += seen();
  co_await heddle::coro::schedule_on(pool);
  all += seen();
  all += co_await pool.submit(&seen);
  {
    const scoped_context inner(request, "18");
    co_await heddle::coro::delay(1ms);
    const auto [a, b] = co_await heddle::coro::gather(seen_here(), seen_here());
    all += a + b + seen();
  }
  all += co_await seen_here();
  co_return all;
}

const std::string expected = "1717171718181817";

TEST(context_in_coroutines, lasts_through_every_wait) {
  const heddle_test::watchdog dog;
  heddle::thread_pool pool(2U);
  {
    const scoped_context here(request, "17");
    EXPECT_EQ(heddle::coro::sync_wait(wait_and_see(pool)), expected);
  }
  EXPECT_EQ(heddle::coro::sync_wait(seen_here()), "none");
}

// Nobody but the task has the context in which it began, when its own scope gives that back.
TEST(context_in_coroutines, of_a_spawned_task_lives_as_long_as_the_task) {
  const heddle_test::watchdog dog;
  const auto value = std::make_shared<int>(1);
  {
    heddle::thread_pool pool(2U);
    auto done = [&] {
      const scoped_context here(context().with(request, "17").with(token, value));
      return heddle::coro::spawn(pool, wait_and_see(pool));
    }();
    EXPECT_EQ(done.get(), expected);
  }
  EXPECT_EQ(value.use_count(), 1);
}

}  // namespace
