// Where frames come from, and where they go.
#include <heddle/coro/await.hpp>
#include <heddle/coro/spawn.hpp>
#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/task.hpp>

#include <cstddef>
#include <new>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/cells.hpp>

#include "support/failing_allocations.hpp"
#include "support/failing_new.hpp"
#include "support/threads.hpp"

namespace {

using heddle::coro::sync_wait;
using heddle::coro::task;
using heddle_test::failing_allocations;

task<int> made_number(int n) { co_return n; }

task<int> sum_of(int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) sum += co_await made_number(1);
  co_return sum;
}

task<char> large() {
  char room[4000] = {};
  co_await made_number(1);
  co_return room[1];
}

TEST(coro_frames, are_recycled) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  if (HEDDLE_ASAN) GTEST_SKIP() << "under AddressSanitizer each frame is an allocation";
  sync_wait(sum_of(10));
  const failing_allocations none(0);
  EXPECT_EQ(sync_wait(sum_of(10'000)), 10'000);
}

TEST(coro_frames, without_memory_the_call_throws_and_nothing_has_begun) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  // A compiler that sees the whole life of a task needs no memory for it.
  task<char> (*const volatile unseen)() = &large;
  bool thrown = false;
  {
    const failing_allocations none(0);
    try {
      static_cast<void>(unseen());
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  EXPECT_TRUE(thrown);
}

TEST(coro_frames, a_spawn_without_memory_leaves_the_task_as_it_was) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  struct in_place {
    heddle::executor_ref executor() noexcept {
      return {this, [](void*, heddle::job* j) noexcept { j->run(j, heddle::verb::run); }};
    }
  } here;
  task<int> t = made_number(3);
  bool thrown = false;
  {
    const failing_allocations none(0);
    try {
      static_cast<void>(heddle::coro::spawn(here, std::move(t)));
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(sync_wait(std::move(t)), 3);
}

// Made here, freed there, again and again: memory does not grow with it.
TEST(coro_frames, that_die_on_another_thread_come_back) {
  if (HEDDLE_ASAN) GTEST_SKIP() << "under AddressSanitizer each frame is an allocation";
  const auto pass_on = [](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      std::vector<task<int>> made;
      for (int k = 0; k < 1000; ++k) made.push_back(made_number(k));
      std::thread([&] { made.clear(); }).join();
    }
  };
  pass_on(20);
  const std::size_t before = heddle::prim::detail::read_cell_statistics().slabs;
  pass_on(200);
  EXPECT_LE(heddle::prim::detail::read_cell_statistics().slabs, before + 1);
}

TEST(coro_frames, may_outlive_the_thread_that_made_them) {
  std::optional<task<int>> left;
  std::thread([&] { left = made_number(5); }).join();
  EXPECT_EQ(sync_wait(std::move(*left)), 5);
}

}  // namespace
