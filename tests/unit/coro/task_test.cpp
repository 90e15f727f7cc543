#include <heddle/coro/sync_wait.hpp>
#include <heddle/coro/task.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <heddle/base/context_slot.hpp>
#include <heddle/base/errors.hpp>

#include "support/pools.hpp"
#include "tasks.hpp"

namespace {

using heddle::no_state;
using heddle::coro::sync_wait;
using heddle::coro::task;
using heddle_test::counted;
using heddle_test::noted_context;
using heddle_test::number;
using testing::HasSubstr;

static_assert(!std::is_copy_constructible_v<task<int>>);
static_assert(std::is_nothrow_move_constructible_v<task<int>>);
static_assert(std::is_nothrow_move_assignable_v<task<int>>);

TEST(coro_task, gives_its_value_to_whoever_awaits_it) {
  const auto twice = [](int n) -> task<int> { co_return 2 * co_await number(n); };
  EXPECT_EQ(sync_wait(twice(21)), 42);
}

TEST(coro_task, begins_when_it_is_awaited) {
  bool begun = false;
  const auto body = [&]() -> task<> {
    begun = true;
    co_return;
  };
  task<> t = body();
  EXPECT_TRUE(t.valid());
  EXPECT_FALSE(begun);
  sync_wait(std::move(t));
  EXPECT_TRUE(begun);
}

TEST(coro_task, moves_values_that_cannot_be_copied) {
  const auto make = []() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  const auto pass = [&]() -> task<std::unique_ptr<int>> {
    auto p = co_await make();
    co_return p;
  };
  EXPECT_EQ(*sync_wait(pass()), 7);
}

TEST(coro_task, returns_references) {
  std::string text = "a";
  const auto self = [](std::string& s) -> task<std::string&> { co_return s; };
  const auto append = [&]() -> task<> { (co_await self(text)) += "b"; };
  sync_wait(append());
  EXPECT_EQ(text, "ab");
  const auto read = [](const std::string& s) -> task<const std::string&> { co_return s; };
  EXPECT_EQ(&sync_wait(read(text)), &text);
}

TEST(coro_task, throws_what_its_body_throws) {
  const auto fails = []() -> task<int> {
    throw std::runtime_error("no");
    co_return 1;
  };
  const auto catches = [&]() -> task<std::string> {
    try {
      co_await fails();
    } catch (const std::runtime_error& e) {
      co_return e.what();
    }
    co_return "nothing";
  };
  EXPECT_EQ(sync_wait(catches()), "no");
  EXPECT_THROW(sync_wait(fails()), std::runtime_error);
}

TEST(coro_task, throws_what_moving_its_value_throws) {
  const auto fails = []() -> task<counted> {
    counted c;
    const heddle_test::throwing moves(counted::move_throws);
    co_return c;
  };
  EXPECT_THROW(sync_wait(fails()), std::runtime_error);
  EXPECT_EQ(counted::alive, 0);
}

task<> holds(counted, int& runs) {
  ++runs;
  co_return;
}

TEST(coro_task, destroyed_before_it_ran_destroys_its_arguments_and_runs_nothing) {
  int runs = 0;
  {
    const task<> t = holds(counted(), runs);
    EXPECT_EQ(counted::alive, 1);
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(runs, 0);
}

TEST(coro_task, arguments_and_values_die_once) {
  int runs = 0;
  const auto body = [&]() -> task<> {
    co_await holds(counted(), runs);
    EXPECT_EQ(counted::alive, 0);
    const auto made = []() -> task<counted> { co_return counted(); };
    {
      const counted c = co_await made();
      EXPECT_EQ(counted::alive, 1);
    }
    EXPECT_EQ(counted::alive, 0);
  };
  sync_wait(body());
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(runs, 1);
}

TEST(coro_task, that_was_moved_from_or_awaited_throws) {
  const auto body = []() -> task<> {
    task<int> first = number(1);
    task<int> second = std::move(first);
    EXPECT_FALSE(first.valid());
    EXPECT_EQ(co_await std::move(second), 1);
    EXPECT_FALSE(second.valid());
    int caught = 0;
    for (task<int>* t : {&first, &second}) {
      try {
        co_await std::move(*t);
      } catch (const no_state& e) {
        EXPECT_THAT(e.what(), HasSubstr("co_await of a task"));
        ++caught;
      }
    }
    EXPECT_EQ(caught, 2);
  };
  sync_wait(body());
  EXPECT_THROW(sync_wait(task<int>()), no_state);
}

TEST(coro_task, assignment_destroys_what_was_there) {
  int runs = 0;
  task<> t = holds(counted(), runs);
  t = holds(counted(), runs);
  EXPECT_EQ(counted::alive, 1);
  t = task<>();
  EXPECT_EQ(counted::alive, 0);
  EXPECT_FALSE(t.valid());
}

TEST(coro_task, a_million_awaits_in_a_loop_use_no_stack) {
  const auto loop = []() -> task<long> {
    long sum = 0;
    for (int i = 0; i < 1'000'000; ++i) sum += co_await number(1);
    co_return sum;
  };
  EXPECT_EQ(sync_wait(loop()), 1'000'000);
}

// Not by a conditional operator: g++ 12 makes the awaited task whatever the condition says.
task<int> nested(int depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await nested(depth - 1);
}

TEST(coro_task, a_hundred_thousand_awaits_inside_of_each_other_use_no_stack) {
  EXPECT_EQ(sync_wait(nested(100'000)), 100'000);
}

TEST(coro_task, has_the_context_of_whoever_awaits_it_and_gives_it_back) {
  noted_context outer;
  noted_context inner;
  const auto child = [&]() -> task<heddle::context_ref> {
    const heddle::context_ref before = heddle::exchange_current(&inner);
    EXPECT_EQ(before, &outer);
    co_await number(1);
    EXPECT_EQ(heddle::current_context(), &inner);
    co_return before;
  };
  const auto parent = [&]() -> task<> {
    EXPECT_EQ(heddle::current_context(), &outer);
    EXPECT_EQ(co_await child(), &outer);
    EXPECT_EQ(heddle::current_context(), &outer);
  };
  {
    const heddle::context_scope around(&outer);
    sync_wait(parent());
    EXPECT_EQ(heddle::current_context(), &outer);
  }
  EXPECT_EQ(heddle::current_context(), nullptr);
  EXPECT_EQ(outer.held, 0);
  EXPECT_EQ(inner.held, 0);
}

task<int> large(int n) {
  char room[4000];
  for (char& c : room) c = static_cast<char>(n);
  const int more = co_await number(n);
  co_return room[17] + room[3999] + more;
}

TEST(coro_task, frames_of_any_size) { EXPECT_EQ(sync_wait(large(5)), 15); }

// Its constant form may be copied for a move without throwing, but it is the moving that happens.
struct throws_as_it_moves {
  throws_as_it_moves() = default;
  throws_as_it_moves(const throws_as_it_moves&) noexcept {}
  throws_as_it_moves(throws_as_it_moves&&) noexcept(false) { throw std::runtime_error("moved"); }
};

TEST(coro_task, of_a_constant_value_whose_move_throws_throws_it) {
  const auto child = []() -> task<const throws_as_it_moves> {
    const throws_as_it_moves value;
    co_return value;
  };
  const auto parent = [](auto& of) -> task<bool> {
    try {
      static_cast<void>(co_await of());
    } catch (const std::runtime_error&) {
      co_return true;
    }
    co_return false;
  };
  EXPECT_TRUE(sync_wait(parent(child)));
}

}  // namespace
