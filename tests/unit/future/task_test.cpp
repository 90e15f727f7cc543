#include <heddle/future/make_task.hpp>

#include <array>
#include <functional>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/context_slot.hpp>

#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using heddle::executor_ref;
using heddle::future;
using heddle::job;
using heddle::verb;
using heddle::detail::make_task;
using heddle_test::counted;
using heddle_test::unhandled_log;

template <class F>
auto made(F&& f) {
  return make_task(executor_ref{}, std::stop_token{}, std::forward<F>(f));
}
template <class F>
auto made(std::stop_token user_stop, F&& f) {
  return make_task(executor_ref{}, std::stop_token{}, std::move(user_stop), std::forward<F>(f));
}
void give(job* j, verb v) { j->run(j, v); }

// The bytes of a task for a callable that captures so many.
template <class R, std::size_t Captured>
constexpr std::size_t task_size() {
  struct callable {
    std::array<char, Captured> captured;
    R operator()() { return R(); }
  };
  return sizeof(heddle::detail::task<R, callable>);
}
template <class R>
constexpr std::size_t captureless_task_size() {
  const auto callable = [] { return R(); };
  return sizeof(heddle::detail::task<R, decltype(callable)>);
}

TEST(task, fits_the_cells) {
  static_assert(captureless_task_size<void>() == 64);
  static_assert(captureless_task_size<int>() == 64);
  static_assert(task_size<void, 8>() == 64);
  static_assert(task_size<int, 8>() == 64);
  static_assert(task_size<double, 8>() == 64);
  static_assert(task_size<std::unique_ptr<int>, 8>() == 64);
  static_assert(task_size<int, 24>() + sizeof(void*) <= 128);
  static_assert(task_size<int, 56>() + sizeof(void*) <= 128);
  static_assert(task_size<void, 64>() == 128);
  static_assert(task_size<int, 96>() + sizeof(void*) <= 192);
  static_assert(task_size<std::string, 8>() == 96);
  static_assert(task_size<std::string, 96>() <= 256);
  static_assert(sizeof(future<int>) == sizeof(void*));
}

// Callable and value share eight bytes; whatever their kinds, one is gone before the other is
// there.
TEST(task, gives_every_kind_of_result) {
  int target = 5;
  {
    auto [f, j] = made([&target]() -> int& { return target; });
    give(j, verb::run);
    EXPECT_EQ(&f.get(), &target);
  }
  {
    auto [f, j] = made([&target] { ++target; });
    give(j, verb::run);
    f.get();
    EXPECT_EQ(target, 6);
  }
  {
    auto [f, j] = made([p = std::make_unique<int>(3)]() mutable { return std::move(p); });
    give(j, verb::run);
    EXPECT_EQ(*f.get(), 3);
  }
  {
    auto [f, j] = made([p = std::make_unique<int>(3)] { return std::string(99, 'x'); });
    give(j, verb::run);
    EXPECT_EQ(f.get(), std::string(99, 'x'));
  }
  {
    auto [f, j] = made([s = std::string(50, 'y')] { return s.size(); });
    give(j, verb::run);
    EXPECT_EQ(f.get(), 50U);
  }
  {
    struct alignas(64) wide {
      int value = 0;
    };
    auto [f, j] = made([w = wide{7}] { return wide{w.value + 1}; });
    give(j, verb::run);
    EXPECT_EQ(f.get().value, 8);
  }
  {
    auto [f, j] = made([p = std::make_unique<int>(3)]() -> int { throw std::runtime_error("x"); });
    give(j, verb::run);
    EXPECT_THROW(f.get(), std::runtime_error);
  }
}

TEST(task, destroys_its_callable_and_its_value_once) {
  for (const verb v : {verb::run, verb::discard}) {
    {
      auto [f, j] = made([c = counted()] { return counted(); });
      EXPECT_EQ(counted::alive, 1);
      give(j, v);
      EXPECT_EQ(counted::alive, v == verb::run ? 1 : 0);
    }
    EXPECT_EQ(counted::alive, 0);
    {
      auto [f, j] = made([c = std::make_unique<counted>()] { return std::make_unique<counted>(); });
      give(j, v);
      EXPECT_EQ(counted::alive, v == verb::run ? 1 : 0);
    }
    EXPECT_EQ(counted::alive, 0);
  }
}

TEST(task, is_freed_by_whoever_comes_last) {
  const unhandled_log log;
  const auto work = [c = counted()] { return counted(); };
  for (int order = 0; order < 6; ++order) {
    auto task = made(work);
    switch (order) {
      case 0:  // the future
        give(task.work, verb::run);
        break;
      case 1: {  // the one who finishes
        {
          const auto dropped = std::move(task.result);
        }
        give(task.work, verb::run);
        break;
      }
      case 2:  // the future, after a helper and a tombstone
        give(task.work, verb::help);
        EXPECT_TRUE(task.work->spent);
        give(task.work, verb::run);
        break;
      case 3: {  // the tombstone
        give(task.work, verb::help);
        {
          const auto dropped = std::move(task.result);
        }
        give(task.work, verb::discard);
        break;
      }
      case 4:  // the future, after it was cancelled
        EXPECT_TRUE(task.result.cancel());
        EXPECT_TRUE(task.work->spent);
        give(task.work, verb::run);
        break;
      default: {  // the tombstone of a cancelled one
        EXPECT_TRUE(task.result.cancel());
        {
          const auto dropped = std::move(task.result);
        }
        give(task.work, verb::run);
      }
    }
    {
      const auto dropped = std::move(task.result);
    }
    EXPECT_EQ(counted::alive, 1) << order;
  }
  EXPECT_EQ(log.count(), 0U);
}

TEST(task, whose_callable_cannot_be_moved_in_is_not_made) {
  const counted original;
  const auto callable = [original] {};
  {
    const heddle_test::throwing t(counted::copy_throws);
    EXPECT_THROW(static_cast<void>(made(callable)), std::runtime_error);
    EXPECT_THROW(static_cast<void>(made(std::stop_source().get_token(), callable)),
                 std::runtime_error);
  }
  EXPECT_EQ(counted::alive, 2);
}

TEST(task, whose_value_cannot_be_moved_into_the_future_fails) {
  {
    auto [f, j] = made([] { return counted(); });
    const heddle_test::throwing t(counted::move_throws);
    give(j, verb::run);
    EXPECT_THROW(static_cast<void>(f.get()), std::runtime_error);
  }
  EXPECT_EQ(counted::alive, 0);
}

struct ends_badly {
  bool armed = true;
  ends_badly() = default;
  ends_badly(ends_badly&& other) noexcept : armed(std::exchange(other.armed, false)) {}
  ~ends_badly() noexcept(false) {
    if (armed) throw std::runtime_error("from a destructor");
  }
};

void run_what_ends_badly() {
  auto [f, j] = made([e = ends_badly()] {});
  give(j, verb::run);
}

TEST(task_death, callable_whose_destructor_throws_ends_the_program) {
  EXPECT_DEATH(run_what_ends_badly(), "");
}

TEST(task, carries_the_context_of_its_maker) {
  struct node : heddle::context_node {
    explicit node(int& count)
        : heddle::context_node{
              [](heddle::context_node* n) noexcept { ++static_cast<node*>(n)->count_; },
              [](heddle::context_node* n) noexcept { --static_cast<node*>(n)->count_; }},
          count_(count) {}
    int& count_;
  };
  int held = 0;
  node context(held);
  for (const verb v : {verb::run, verb::discard}) {
    heddle::context_ref seen = nullptr;
    heddle::exchange_current(&context);
    auto [f, j] = made([&seen] { seen = heddle::current_context(); });
    heddle::exchange_current(nullptr);
    EXPECT_EQ(held, 1);
    give(j, v);
    EXPECT_EQ(held, 0) << "gone before the result can be seen";
    EXPECT_EQ(seen, v == verb::run ? &context : nullptr);
  }
  EXPECT_EQ(heddle::current_context(), nullptr);
}

TEST(linked_task, is_cancelled_at_once_when_its_token_is_tripped) {
  std::stop_source stop;
  int runs = 0;
  std::vector<future<void>> futures;
  std::vector<job*> jobs;
  for (int i = 0; i < 10; ++i) {
    auto task = made(stop.get_token(), [&runs, c = counted()] { ++runs; });
    futures.push_back(std::move(task.result));
    jobs.push_back(task.work);
  }
  give(jobs[0], verb::run);
  EXPECT_EQ(counted::alive, 9);
  stop.request_stop();
  EXPECT_EQ(counted::alive, 0);
  futures[0].get();
  for (std::size_t i = 1; i < 10; ++i) {
    EXPECT_TRUE(jobs[i]->spent);
    ASSERT_TRUE(futures[i].ready());
    EXPECT_THROW(futures[i].get(), heddle::cancelled);
    give(jobs[i], verb::run);
  }
  EXPECT_EQ(runs, 1);
}

TEST(linked_task, of_a_tripped_token_never_runs) {
  std::stop_source stop;
  stop.request_stop();
  int runs = 0;
  auto plain = made(stop.get_token(), [&runs] { ++runs; });
  auto stoppable = made(stop.get_token(), [&runs](std::stop_token) { ++runs; });
  EXPECT_THROW(plain.result.get(), heddle::cancelled);
  EXPECT_THROW(stoppable.result.get(), heddle::cancelled);
  give(plain.work, verb::run);
  give(stoppable.work, verb::discard);
  EXPECT_EQ(runs, 0);
}

TEST(linked_task, that_runs_hears_of_its_token_of_its_future_and_of_its_executor) {
  for (int who = 0; who < 3; ++who) {
    std::stop_source user;
    std::stop_source executor;
    future<bool>* handle = nullptr;
    auto task =
        make_task(executor_ref{}, executor.get_token(), user.get_token(), [&](std::stop_token own) {
          EXPECT_FALSE(own.stop_requested());
          if (who == 0) user.request_stop();
          if (who == 1) executor.request_stop();
          if (who == 2) {
            EXPECT_FALSE(handle->cancel());
          }
          return own.stop_requested();
        });
    handle = &task.result;
    give(task.work, verb::run);
    EXPECT_TRUE(task.result.get()) << who;
  }
}

TEST(linked_task, that_is_over_lets_go_of_its_token) {
  std::stop_source stop;
  auto task = made(stop.get_token(), [] { return 1; });
  give(task.work, verb::run);
  stop.request_stop();
  EXPECT_EQ(task.result.get(), 1);
}

// The callable dies inside the stop callback; what it does there must find no lock held.
TEST(linked_task, may_trip_and_cancel_others_while_it_is_given_up) {
  std::stop_source stop;
  auto last = made(stop.get_token(), [] {});
  struct canceller {
    future<void>* target;
    explicit canceller(future<void>* f) : target(f) {}
    canceller(canceller&& other) noexcept : target(std::exchange(other.target, nullptr)) {}
    ~canceller() {
      if (target != nullptr) target->cancel();
    }
    void operator()() {}
  };
  auto first = made(stop.get_token(), canceller(&last.result));
  stop.request_stop();
  EXPECT_TRUE(first.result.failed());
  EXPECT_TRUE(last.result.failed());
  give(first.work, verb::run);
  give(last.work, verb::run);
}

TEST(linked_task, whose_token_can_stop_nothing_is_a_plain_one) {
  std::stop_token never;
  {
    std::stop_source gone;
    never = gone.get_token();
  }
  auto task = made(never, [] { return 2; });
  give(task.work, verb::run);
  EXPECT_EQ(task.result.get(), 2);
}

TEST(posted_task, reports_its_exception_and_is_stopped_like_others) {
  const unhandled_log log;
  std::stop_source stop;
  int runs = 0;
  const auto post = [&](auto f) {
    return heddle::detail::make_posted_task(std::stop_token{}, stop.get_token(), std::move(f));
  };
  job* const failing = post([&runs, c = counted()] {
    ++runs;
    throw std::runtime_error("posted");
  });
  job* const late = post([&runs, c = counted()] { ++runs; });
  give(failing, verb::run);
  stop.request_stop();
  give(late, verb::run);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(log.sorted(), std::vector<std::string>{"posted"});
}

}  // namespace
