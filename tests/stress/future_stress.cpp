// Both ends of futures at once.
#include <heddle/future/future.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/future/make_task.hpp>
#include <heddle/future/promise.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/future/wait.hpp>
#include <heddle/prim/seed.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::promise;
using heddle_test::counted;
using heddle_test::watchdog;

using namespace std::chrono_literals;

// Two threads meet at each round, so that both ends of a future are used at the same instant.
template <class Consume, class Produce>
void both_ends(int rounds, Consume consume, Produce produce) {
  struct round {
    promise<counted> p;
    future<counted> f = p.get_future();
  };
  std::vector<round> all(static_cast<std::size_t>(rounds));
  std::atomic<int> consumer_at = -1;
  std::atomic<int> producer_at = -1;
  const auto meet = [](std::atomic<int>& mine, const std::atomic<int>& other, int r) {
    mine = r;
    while (other < r) std::this_thread::yield();
  };
  heddle_test::run_together(2, [&](unsigned i) {
    for (int r = 0; r < rounds; ++r) {
      round& at = all[static_cast<std::size_t>(r)];
      if (i == 0) {
        meet(consumer_at, producer_at, r);
        consume(r, std::move(at.f));
      } else {
        meet(producer_at, consumer_at, r);
        produce(r, std::move(at.p));
      }
    }
  });
}

TEST(future_stress, reader_and_setter) {
  const watchdog dog;
  both_ends(
      3000,
      [](int r, future<counted> f) {
        switch (r % 4) {
          case 0:
            static_cast<void>(f.get());
            break;
          case 1:
            while (!f.ready()) {
            }
            break;  // destroyed at once
          case 2:
            while (!f.wait_for(1us)) {
            }
            static_cast<void>(f.get());
            break;
          default:
            break;  // destroyed unread
        }
      },
      [](int, promise<counted> p) { p.set_value(); });
  EXPECT_EQ(counted::alive, 0);
}

TEST(future_stress, canceller_and_setter) {
  const watchdog dog;
  std::atomic<int> cancelled = 0;
  std::atomic<int> refused = 0;
  both_ends(
      3000,
      [&](int, future<counted> f) {
        if (f.cancel()) {
          ++cancelled;
          EXPECT_THROW(static_cast<void>(f.get()), heddle::cancelled);
        } else {
          static_cast<void>(f.get());
        }
      },
      [&](int, promise<counted> p) {
        if (!p.set_value()) ++refused;
      });
  EXPECT_EQ(cancelled, refused);
  EXPECT_EQ(counted::alive, 0);
}

TEST(future_stress, every_exception_is_read_or_reported_never_both) {
  const watchdog dog;
  const heddle_test::unhandled_log log;
  std::atomic<unsigned> read = 0;
  both_ends(
      3000,
      [&](int r, future<counted> f) {
        if (r % 3 == 0) {
          ++read;
          EXPECT_THROW(static_cast<void>(f.get()), std::runtime_error);
        } else if (r % 3 == 1) {
          static_cast<void>(f.ready());
        }
      },
      [&](int, promise<counted> p) {
        p.set_exception(std::make_exception_ptr(std::runtime_error("x")));
      });
  EXPECT_EQ(read + log.count(), 3000U);
}

TEST(future_stress, broken_promise_and_reader) {
  const watchdog dog;
  both_ends(
      2000,
      [](int, future<counted> f) {
        EXPECT_THROW(static_cast<void>(f.get()), heddle::broken_promise);
      },
      [](int, promise<counted>) {});
}

TEST(future_stress, continuation_attached_while_the_value_is_set) {
  const watchdog dog;
  std::atomic<int> ran = 0;
  both_ends(
      3000,
      [&](int r, future<counted> f) {
        auto g = f.then_inline([&ran, c = counted()](const counted&) { ++ran; });
        auto h = g.then_inline([&ran] { ++ran; });
        if (r % 2 == 0) h.get();
      },
      [](int, promise<counted> p) { p.set_value(); });
  EXPECT_EQ(ran, 6000);
  EXPECT_EQ(counted::alive, 0);
}

TEST(future_stress, continuation_cancelled_while_the_value_is_set) {
  const watchdog dog;
  std::atomic<int> ran = 0;
  std::atomic<int> cancelled = 0;
  both_ends(
      3000,
      [&](int, future<counted> f) {
        auto g = f.then_inline([&ran, c = counted()](const counted&) { ++ran; });
        if (g.cancel()) {
          ++cancelled;
        } else {
          g.get();
        }
      },
      [](int, promise<counted> p) { p.set_value(); });
  EXPECT_EQ(ran + cancelled, 3000);
  EXPECT_EQ(counted::alive, 0);
}

TEST(future_stress, stop_races_with_the_value) {
  const watchdog dog;
  heddle::prim::stop_source stop;
  both_ends(
      2000,
      [&](int, future<counted> f) {
        heddle::prim::stop_source s;
        std::atomic<bool> begun = false;
        std::thread stopper([&] {
          begun = true;
          s.request_stop();
        });
        while (!begun) std::this_thread::yield();
        if (!f.wait(s.get_token())) f.wait();
        stopper.join();
        static_cast<void>(f.get());
      },
      [](int, promise<counted> p) { p.set_value(); });
  EXPECT_EQ(counted::alive, 0);
}

// Everybody who may claim a task, or see it off, at the same instant: the queue's own verb, a
// helper, the token's callback, and a consumer who reads, cancels, or leaves.
TEST(future_stress, tasks_that_are_run_helped_stopped_cancelled_and_dropped_at_once) {
  const watchdog dog;
  for (int r = 0; r < 4000; ++r) {
    std::atomic<int> ran = 0;
    std::stop_source stop;
    auto task = heddle::detail::make_task(heddle::executor_ref{}, std::stop_token(),
                                          stop.get_token(), [&ran, c = counted()] {
                                            ++ran;
                                            return counted();
                                          });
    auto reader = std::move(task.result).share();
    auto kept = reader;
    heddle_test::run_together(4, [&](unsigned i) {
      switch (i) {
        case 0:
          task.work->run(task.work, r % 3 == 0 ? heddle::verb::discard : heddle::verb::run);
          break;
        case 1: {
          const auto mine = std::move(kept);  // keeps the task alive, as waiters do
          if (r % 5 < 3) task.work->run(task.work, heddle::verb::help);
          break;
        }
        case 2:
          if (r % 2 == 0) stop.request_stop();
          break;
        default: {
          const auto mine = std::move(reader);
          if (r % 4 == 1) mine.cancel();
          if (r % 4 == 2) break;
          const bool cancelled = mine.exception() != nullptr;
          EXPECT_EQ(ran, cancelled ? 0 : 1);
        }
      }
    });
    ASSERT_LE(ran, 1) << r;
    ASSERT_EQ(counted::alive, 0) << r;
  }
}

// One token for many tasks that come, run and go while it is tripped.
TEST(future_stress, a_group_of_tasks_is_stopped_while_it_is_submitted) {
  const watchdog dog;
  std::atomic<int> done = 0;
  for (int round = 0; round < 60; ++round) {
    heddle::thread_pool pool(2);
    std::stop_source stop;
    std::thread stopper([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(20 * (round % 10)));
      stop.request_stop();
    });
    std::vector<future<void>> futures;
    for (int i = 0; i < 300; ++i) {
      heddle::task_options options;
      options.stop = stop.get_token();
      if (i % 2 == 0) {
        futures.push_back(pool.submit(std::move(options), [&done, c = counted()] { ++done; }));
      } else {
        futures.push_back(
            pool.submit(std::move(options), [&done, c = counted()](std::stop_token) { ++done; }));
      }
      if (i % 7 == 0) futures.pop_back();
    }
    for (auto& f : futures) {
      try {
        f.get();
      } catch (const heddle::cancelled&) {
        EXPECT_TRUE(stop.stop_requested());
      }
    }
    stopper.join();
  }
  EXPECT_EQ(counted::alive, 0);
}

TEST(future_stress, shared_by_threads_that_come_and_go) {
  const watchdog dog;
  for (int round = 0; round < 1500; ++round) {
    promise<counted> p;
    const auto shared = std::make_unique<heddle::shared_future<counted>>(p.get_future().share());
    std::atomic<int> calls = 0;
    std::vector<heddle::shared_future<counted>> copies(3, *shared);
    heddle_test::run_together(4, [&](unsigned i) {
      if (i == 3) {
        p.set_value();
        return;
      }
      auto mine = std::move(copies[i]);
      mine.on_ready([&calls] { ++calls; });
      const auto another = mine;
      mine = {};
      if (i == 0) static_cast<void>(another.get());
      if (i == 1) {
        another.then_inline([&calls](const counted&) { ++calls; }).get();
      }
    });
    ASSERT_EQ(calls, 4);
    ASSERT_EQ(counted::alive, 1);
  }
}

// Many producers, one consumer who waits for several at once and gives up in between.
TEST(future_stress, waiting_for_many_in_every_way) {
  const watchdog dog;
  heddle::prim::random dice(heddle::prim::next_seed());
  for (int round = 0; round < 150; ++round) {
    constexpr std::size_t n = 24;
    std::vector<promise<int>> promises(n);
    std::vector<future<int>> futures;
    for (auto& p : promises) futures.push_back(p.get_future());
    heddle_test::run_together(3, [&](unsigned i) {
      if (i > 0) {
        for (std::size_t k = i - 1; k < n; k += 2) promises[k].set_value(1);
        return;
      }
      int got = 0;
      switch (dice.below(3)) {
        case 0:
          while (heddle::wait_for(futures, 10us).not_done.size() > n / 2) {
          }
          heddle::wait(futures, heddle::wait_condition::first_exception);
          for (auto& f : futures) got += f.get();
          break;
        case 1:
          for (auto& f : heddle::as_completed(futures)) got += f.get();
          break;
        default: {
          for (auto& f : heddle::as_completed(futures)) {
            got += f.get();
            if (got == 5) break;
          }
          for (auto& f : futures) {
            if (f.valid()) got += f.get();
          }
        }
      }
      EXPECT_EQ(got, static_cast<int>(n));
    });
  }
}

}  // namespace
