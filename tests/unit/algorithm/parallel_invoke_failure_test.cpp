// How parallel_invoke fails: the first exception comes out, what has not begun is dropped, and no
// exception is lost.
#include <heddle/algorithm/parallel_invoke.hpp>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/thread_pool.hpp>

#include "support/pools.hpp"
#include "support/threads.hpp"

namespace {

using heddle::parallel_invoke;
using heddle::thread_pool;

void wait_until(const std::atomic<bool>& flag) {
  while (!flag) std::this_thread::yield();
}

// What a call of parallel_invoke on a worker of two throws.
template <class Call>
std::string failure_on(thread_pool& pool, Call call) {
  try {
    pool.submit(call).get();
  } catch (const std::runtime_error& e) {
    return e.what();
  }
  return "nothing";
}

// Two functions of a call: one that another worker takes, and that fails when the called one has
// begun; behind it that worker has a task of its own to begin, and the called one waits for that:
// the failure is over then.
class failing_theft {
 public:
  explicit failing_theft(thread_pool& pool) : pool_(pool) {}
  ~failing_theft() {
    behind_.open();
    pool_.wait_idle();
  }

  void taken() {
    wait_until(called_);
    pool_.post([this] { behind_.pass(); });
    throw std::runtime_error("taken");
  }
  void called() {
    called_ = true;
    behind_.await_arrivals(1);
  }

 private:
  thread_pool& pool_;
  heddle_test::gate behind_;
  std::atomic<bool> called_ = false;
};

// One that fails when its parent waits for it: what it forks nobody else runs but the parent, or
// who stands in for it.
void fail_when_awaited() {
  std::atomic<bool> awaited = false;
  parallel_invoke([&] { awaited = true; }, [&] { wait_until(awaited); });
  throw std::runtime_error("taken");
}

TEST(parallel_invoke_failure, of_one_drops_those_before_it) {
  for (const unsigned workers : {1U, 2U}) {
    thread_pool pool(workers);
    bool last_ran = false;
    const auto fails = [] { throw std::runtime_error("middle"); };
    std::atomic<bool> first_ran = false;
    const auto call = [&] {
      parallel_invoke([&] { first_ran = true; }, fails, [&] { last_ran = true; });
    };
    EXPECT_EQ(failure_on(pool, call), "middle");
    if (workers == 1) {  // which begins with the last
      EXPECT_TRUE(last_ran);
      EXPECT_FALSE(first_ran);
    }
  }
}

TEST(parallel_invoke_failure, of_the_called_one_drops_all_others) {
  thread_pool pool(1);
  bool any_ran = false;
  const auto runs = [&] { any_ran = true; };
  EXPECT_EQ(
      failure_on(pool,
                 [&] { parallel_invoke(runs, runs, [] { throw std::runtime_error("last"); }); }),
      "last");
  EXPECT_FALSE(any_ran);
}

TEST(parallel_invoke_failure, of_a_taken_one_keeps_its_parent_from_beginning_others) {
  const heddle_test::watchdog dog;
  thread_pool pool(2);
  failing_theft theft(pool);
  bool ran = false;
  const auto runs = [&] { ran = true; };
  const auto call = [&] {
    parallel_invoke([&] { theft.taken(); }, runs, runs, [&] { theft.called(); });
  };
  EXPECT_EQ(failure_on(pool, call), "taken");
  EXPECT_FALSE(ran);
}

TEST(parallel_invoke_failure, of_a_taken_one_keeps_thieves_from_beginning_others) {
  const heddle_test::watchdog dog;
  thread_pool pool(2);
  std::atomic<bool> called = false;
  bool ran = false;
  const auto call = [&] {
    parallel_invoke(
        [&] {
          wait_until(called);
          throw std::runtime_error("taken");
        },
        [&] { ran = true; },
        [&] {
          called = true;
          while (pool.statistics().steals != 2) std::this_thread::yield();
        });
  };
  EXPECT_EQ(failure_on(pool, call), "taken");
  EXPECT_FALSE(ran);
}

TEST(parallel_invoke_failure, of_a_taken_one_comes_out_when_it_was_first) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  const auto at = [&](auto... between) {
    thread_pool pool(2);
    failing_theft theft(pool);
    const auto called = [&] {
      theft.called();
      throw std::runtime_error("called");
    };
    const auto call = [&] { parallel_invoke([&] { theft.taken(); }, between..., called); };
    EXPECT_EQ(failure_on(pool, call), "taken");
  };
  at();
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"called"}));
  at([] {});
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"called", "called"}));
}

TEST(parallel_invoke_failure, of_the_called_one_comes_out_when_it_was_first) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  const auto at = [&](auto... between) {
    std::atomic<bool> taken = false;
    thread_pool pool(2);
    EXPECT_EQ(failure_on(pool,
                         [&] {
                           parallel_invoke(
                               [&] {
                                 taken = true;
                                 fail_when_awaited();
                               },
                               between...,
                               [&] {
                                 wait_until(taken);
                                 throw std::runtime_error("called");
                               });
                         }),
              "called");
  };
  at();
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"taken"}));
  at([] { ADD_FAILURE() << "it had not begun"; });
  EXPECT_EQ(log.sorted(), (std::vector<std::string>{"taken", "taken"}));
}

TEST(parallel_invoke_failure, of_several_at_once_loses_no_exception) {
  const heddle_test::watchdog dog;
  const heddle_test::unhandled_log log;
  std::atomic<std::uint64_t> thrown = 0;
  std::uint64_t caught = 0;
  thread_pool pool(3);
  for (int round = 0; round != 200; ++round) {
    std::atomic<int> running = 0;
    const auto fails = [&] {
      ++running;
      ++thrown;
      --running;
      throw std::runtime_error("one of five");
    };
    const auto call = [&] {
      if (round % 2 == 0) {
        parallel_invoke(fails, fails, fails, fails, fails);
      } else {
        parallel_invoke(fails, fails);
      }
    };
    caught += failure_on(pool, call) == "one of five" ? 1 : 0;
    ASSERT_EQ(running, 0);
  }
  EXPECT_EQ(caught, 200U);
  EXPECT_EQ(caught + log.count(), thrown);
}

}  // namespace
