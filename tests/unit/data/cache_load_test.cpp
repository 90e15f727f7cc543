// get_or_compute with several threads: one computes, the others wait.
#include <heddle/data/cache.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <heddle/base/errors.hpp>
#include <heddle/exec/thread_pool.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/watch/wait_graph.hpp>

#include "support/child_process.hpp"
#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;
using heddle::cache;
using heddle::recursive_computation;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::ThrowsMessage;

template <class C>
void await_waiters(const C& c, std::uint64_t count) {
  while (c.statistics().waits < count) std::this_thread::sleep_for(100us);
}

TEST(cache_load, one_computes_and_the_others_wait) {
  const heddle_test::watchdog dog;
  cache<int, std::string> c(100);
  std::atomic<int> computed{0};
  heddle_test::run_together(5, [&](unsigned) {
    EXPECT_EQ(c.get_or_compute(1,
                               [&] {
                                 ++computed;
                                 await_waiters(c, 4);
                                 return std::string("the one");
                               }),
              "the one");
  });
  EXPECT_EQ(computed, 1);
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.loads, 1U);
  EXPECT_EQ(s.waits, 4U);
  EXPECT_EQ(s.misses, 5U);
}

TEST(cache_load, other_keys_do_not_wait) {
  const heddle_test::watchdog dog;
  cache<int, int> c({.shards = 1});
  heddle::manual_reset_event go;
  std::thread slow([&] {
    c.get_or_compute(1, [&] {
      go.wait();
      return 1;
    });
  });
  EXPECT_EQ(c.get_or_compute(2, [] { return 2; }), 2);
  EXPECT_EQ(c.get(1), std::nullopt) << "a get does not wait";
  go.set();
  slow.join();
  EXPECT_EQ(c.get(1), 1);
}

TEST(cache_load, an_exception_goes_to_all_who_wait_and_the_next_one_tries_again) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  std::atomic<int> computed{0};
  std::atomic<int> caught{0};
  heddle_test::run_together(4, [&](unsigned) {
    try {
      c.get_or_compute(1, [&]() -> int {
        ++computed;
        await_waiters(c, 3);
        throw std::runtime_error("no value");
      });
    } catch (const std::runtime_error& e) {
      EXPECT_STREQ(e.what(), "no value");
      ++caught;
    }
  });
  EXPECT_EQ(computed, 1);
  EXPECT_EQ(caught, 4);
  EXPECT_EQ(c.statistics().load_failures, 1U);
  EXPECT_EQ(c.get_or_compute(1, [] { return 7; }), 7);
}

TEST(cache_load, when_the_leader_is_cancelled_one_of_those_who_wait_takes_over) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  std::atomic<int> computed{0};
  std::atomic<int> cancelled{0};
  heddle_test::run_together(4, [&](unsigned) {
    try {
      const int v = c.get_or_compute(1, [&] {
        if (++computed == 1) {
          await_waiters(c, 3);
          throw heddle::cancelled();
        }
        return 5;
      });
      EXPECT_EQ(v, 5);
    } catch (const heddle::cancelled&) {
      ++cancelled;
    }
  });
  EXPECT_EQ(computed, 2);
  EXPECT_EQ(cancelled, 1);
  EXPECT_EQ(c.get(1), 5);
}

TEST(cache_load, a_wait_ends_at_its_deadline_and_the_others_wait_on) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  std::thread others[2];
  const int v = c.get_or_compute(1, [&] {
    const auto wait = [&] { EXPECT_EQ(c.get_or_compute(1, [] { return 9; }), 5); };
    others[0] = std::thread(wait);
    await_waiters(c, 1);
    std::thread([&] {
      EXPECT_EQ(c.get_or_compute_for(1, [] { return 9; }, 1ms), std::nullopt);
      EXPECT_EQ(c.get_or_compute_until(
                    1, [] { return 9; }, std::chrono::steady_clock::now() + 1ms),
                std::nullopt);
      EXPECT_EQ(c.get_or_compute_for(
                    1, [] { return 9; }, -1ms),
                std::nullopt)
          << "no time for a wait at all";
    }).join();
    others[1] = std::thread(wait);
    await_waiters(c, 4);
    return 5;
  });
  for (std::thread& t : others) t.join();
  EXPECT_EQ(v, 5);
  EXPECT_EQ(c.get_or_compute_for(1, [] { return 9; }, -1ms), 5) << "what is there needs no wait";
}

TEST(cache_load, a_wait_ends_when_a_stop_is_requested) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  std::stop_source stop;
  c.get_or_compute(1, [&] {
    std::thread waiter(
        [&] { EXPECT_EQ(c.get_or_compute(1, [] { return 9; }, stop.get_token()), std::nullopt); });
    await_waiters(c, 1);
    stop.request_stop();
    waiter.join();
    EXPECT_EQ(c.get_or_compute_for(
                  2, [] { return 7; }, 0s, stop.get_token()),
              7)
        << "the limits are those of a wait";
    return 5;
  });
  EXPECT_EQ(c.get_or_compute(1, [] { return 9; }, stop.get_token()), 5);
}

TEST(cache_load, who_gave_up_does_not_take_over) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  std::stop_source stop;
  std::thread waiter;
  EXPECT_THROW(
      c.get_or_compute(
          1,
          [&]() -> int {
            std::thread first([&] {
              EXPECT_EQ(c.get_or_compute(1, [] { return 9; }, stop.get_token()), std::nullopt);
            });
            await_waiters(c, 1);
            waiter = std::thread([&] { EXPECT_EQ(c.get_or_compute(1, [] { return 3; }), 3); });
            await_waiters(c, 2);
            stop.request_stop();
            first.join();
            throw heddle::cancelled();
          }),
      heddle::cancelled);
  waiter.join();
  EXPECT_EQ(c.get(1), 3);
}

TEST(cache_load, a_wait_that_was_given_up_closes_no_circle) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  const int v = c.get_or_compute(1, [&] {
    heddle::manual_reset_event gave_up;
    std::thread other([&] {
      c.get_or_compute(2, [&] {
        EXPECT_EQ(c.get_or_compute_for(1, [] { return 9; }, 1ms), std::nullopt);
        gave_up.set();
        await_waiters(c, 2);
        return 20;
      });
    });
    gave_up.wait();
    const int two = c.get_or_compute(2, [] { return 9; });
    other.join();
    return two + 1;
  });
  EXPECT_EQ(v, 21);
}

// The limit and the value come at about the same time.
TEST(cache_load, giving_up_races_with_the_value) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  std::atomic<int> given_up{0};
  for (int round = 0; round < 200; ++round) {
    std::stop_source stop;
    heddle_test::run_together(4, [&](unsigned i) {
      if (i == 3) {
        stop.request_stop();
        return;
      }
      const auto f = [&] {
        if (i == 0) std::this_thread::yield();
        return round;
      };
      const std::optional<int> v = i == 1 ? c.get_or_compute_for(round, f, 1us)
                                          : c.get_or_compute(round, f, stop.get_token());
      if (v) {
        EXPECT_EQ(*v, round);
      } else {
        ++given_up;
      }
    });
  }
  const heddle::cache_statistics s = c.statistics();
  EXPECT_EQ(s.loads, 200U);
  EXPECT_LE(given_up, 400);
}

TEST(cache_load, a_value_that_was_put_meanwhile_stays) {
  cache<int, int> c(100);
  EXPECT_EQ(c.get_or_compute(1,
                             [&] {
                               c.put(1, 2);
                               return 1;
                             }),
            1);
  EXPECT_EQ(c.get(1), 2);
}

TEST(cache_load, what_was_erased_meanwhile_is_not_kept) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  c.get_or_compute(1, [&] {
    EXPECT_FALSE(c.erase(1));
    return 1;
  });
  EXPECT_FALSE(c.contains(1));
  c.get_or_compute(1, [&] {
    c.clear();
    return 1;
  });
  EXPECT_FALSE(c.contains(1));

  // Who has waited before the erase gets what was computed; who comes later computes anew.
  heddle::manual_reset_event go;
  std::thread leader([&] {
    EXPECT_EQ(c.get_or_compute(1,
                               [&] {
                                 go.wait();
                                 return 1;
                               }),
              1);
  });
  while (c.statistics().misses < 3) std::this_thread::sleep_for(100us);
  std::thread waiter([&] { EXPECT_EQ(c.get_or_compute(1, [] { return 9; }), 1); });
  await_waiters(c, 1);
  c.erase(1);
  EXPECT_EQ(c.get_or_compute(1, [] { return 2; }), 2);
  go.set();
  leader.join();
  waiter.join();
  EXPECT_EQ(c.get(1), 2);
}

TEST(cache_load, who_waits_for_a_cancelled_one_that_was_erased_looks_again) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  std::thread waiter;
  EXPECT_THROW(c.get_or_compute(1,
                                [&]() -> int {
                                  waiter = std::thread(
                                      [&] { EXPECT_EQ(c.get_or_compute(1, [] { return 3; }), 3); });
                                  await_waiters(c, 1);
                                  c.erase(1);
                                  throw heddle::cancelled();
                                }),
               heddle::cancelled);
  waiter.join();
  EXPECT_EQ(c.get(1), 3);
}

TEST(cache_load, a_computation_that_needs_itself_is_told) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  EXPECT_THAT([&] { c.get_or_compute(1, [&] { return c.get_or_compute(1, [] { return 1; }); }); },
              ThrowsMessage<recursive_computation>(HasSubstr("that very value")));
  EXPECT_EQ(c.get_or_compute(1, [] { return 2; }), 2) << "it was not remembered";

  // By way of others; and it may be caught.
  const std::function<int(int)> circle = [&](int n) -> int {
    return c.get_or_compute(n, [&] { return circle((n + 1) % 3 + 10) + 1; });
  };
  EXPECT_THROW(circle(10), recursive_computation);
  EXPECT_EQ(c.get_or_compute(10,
                             [&] {
                               try {
                                 return circle(11);
                               } catch (const recursive_computation&) {
                                 return -1;
                               }
                             }),
            -1);
  EXPECT_EQ(c.size(), 2U);
}

TEST(cache_load, a_computation_may_need_other_values) {
  cache<int, long> c(1000);
  const std::function<long(int)> sum = [&](int n) -> long {
    return c.get_or_compute(n, [&] { return n == 0 ? 0L : sum(n - 1) + n; });
  };
  EXPECT_EQ(sum(200), 200 * 201 / 2);
  EXPECT_EQ(c.statistics().loads, 201U);
}

TEST(cache_load, two_computations_that_need_each_other_are_told) {
  const heddle_test::watchdog dog;
  cache<int, int> one({.shards = 1});
  cache<int, int> other({.shards = 1});
  std::atomic<int> begun{0};
  std::atomic<int> told{0};
  const auto meet = [&] {
    ++begun;
    while (begun < 2) std::this_thread::yield();
  };
  const auto compute = [&](cache<int, int>& first, cache<int, int>& second) {
    try {
      first.get_or_compute(1, [&] {
        meet();
        return second.get_or_compute(1, [] { return 1; });
      });
    } catch (const recursive_computation& e) {
      EXPECT_THAT(e.what(), HasSubstr("another thread"));
      ++told;
    }
  };
  std::thread a([&] { compute(one, other); });
  std::thread b([&] { compute(other, one); });
  a.join();
  b.join();
  EXPECT_EQ(told, 2) << "one finds the circle; its computation fails, for which the other waits";
}

TEST(cache_load, the_wait_passes_the_door_and_shows_its_owner) {
  const heddle_test::watchdog dog;
  cache<int, int> c({.name = "thumbnails"});
  std::vector<std::string> log;
  std::thread waiter;
  c.get_or_compute(1, [&] {
    waiter = std::thread([&] {
      heddle_test::recording_delegate delegate;
      EXPECT_EQ(c.get_or_compute(1, [] { return 9; }), 1);
      log = delegate.log;
    });
    await_waiters(c, 1);
    const heddle::wait_graph graph;
    EXPECT_THAT(graph.to_text(), HasSubstr("thumbnails"));
    bool owned = false;
    for (const auto& w : graph.waits) owned = owned || !w.awaits.empty();
    EXPECT_TRUE(owned) << graph.to_text();
    return 1;
  });
  waiter.join();
  EXPECT_THAT(
      log, testing::ElementsAre("enter a lazy value thumbnails", "leave a lazy value thumbnails"));
}

TEST(cache_load, who_may_not_wait_does_not) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  c.get_or_compute(1, [&] {
    std::thread([&] {
      heddle_test::recording_delegate delegate;
      delegate.refuse = true;
      EXPECT_THROW(c.get_or_compute(1, [] { return 9; }), heddle::would_starve);
    }).join();
    return 1;
  });
  EXPECT_EQ(c.get(1), 1);
}

TEST(cache_load, a_pool_goes_on_while_its_workers_wait) {
  const heddle_test::watchdog dog;
  cache<int, int> c(100);
  heddle::manual_reset_event go;
  heddle::thread_pool_options one_worker;
  one_worker.workers = 1;
  heddle::thread_pool pool(std::move(one_worker));
  auto leader = pool.submit([&] {
    return c.get_or_compute(1, [&] {
      go.wait();
      return 1;
    });
  });
  std::vector<heddle::future<int>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(pool.submit([&] { return c.get_or_compute(1, [] { return 9; }); }));
  }
  await_waiters(c, 3);
  pool.submit([&] { go.set(); }).get();
  EXPECT_EQ(leader.get(), 1);
  for (auto& w : waiting) EXPECT_EQ(w.get(), 1);
}

// Who waits gets a copy; when that fails it is the waiter's affair alone.
struct breaks_once {
  explicit breaks_once(int n) : value(n) {}
  breaks_once(const breaks_once& other) : value(other.value) {
    if (--copies == 0) throw std::domain_error("copy");
  }
  breaks_once(breaks_once&&) noexcept = default;
  int value;
  static inline std::atomic<int> copies{0};
};

TEST(cache_load, a_copy_that_fails_fails_for_its_waiter) {
  const heddle_test::watchdog dog;
  cache<int, breaks_once> c(100);
  std::thread waiter;
  breaks_once::copies = 2;  // the first is the cache's own
  EXPECT_EQ(c.get_or_compute(1,
                             [&] {
                               waiter = std::thread([&] {
                                 EXPECT_THROW(c.get_or_compute(1, [] { return breaks_once(9); }),
                                              std::domain_error);
                               });
                               await_waiters(c, 1);
                               return breaks_once(5);
                             })
                .value,
            5);
  waiter.join();
  EXPECT_EQ(c.get(1)->value, 5);
}

// The child goes on in the middle of a computation, beside which nobody waits any more.
bool ends_in_child(bool is_cancelled, bool another_waits) {
  cache<int, int> c(100);
  std::vector<std::thread> waiters;
  std::thread waiter_in_child;
  pid_t child = -1;
  int v = 0;
  try {
    v = c.get_or_compute(1, [&] {
      for (int i = 0; i < 2; ++i) {
        waiters.emplace_back([&] { EXPECT_EQ(c.get_or_compute(1, [] { return 6; }), 5); });
      }
      await_waiters(c, 2);
      child = ::fork();
      if (child != 0) return 5;
      ::alarm(100);
      if (another_waits) {
        waiter_in_child = std::thread([&] {
          if (c.get_or_compute(1, [] { return 7; }) != 7) ::_exit(2);
        });
        await_waiters(c, 3);
      }
      if (is_cancelled) throw heddle::cancelled();
      return 7;
    });
  } catch (const heddle::cancelled&) {
  }
  if (child == 0) {
    if (another_waits) waiter_in_child.join();
    const bool kept = !is_cancelled || another_waits;
    const bool well = v == (is_cancelled ? 0 : 7) &&
                      c.get(1) == (kept ? std::optional(7) : std::nullopt) &&
                      c.get_or_compute(2, [&] { return c.get_or_compute(1, [] { return 8; }); }) ==
                          (kept ? 7 : 8);
    ::_exit(well ? 0 : 1);
  }
  for (std::thread& t : waiters) t.join();
  int status = 0;
  return v == 5 && c.get(1) == 5 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

TEST(cache_load, a_computation_that_forks_ends_in_the_child_as_well) {
  const heddle_test::watchdog dog;
  EXPECT_TRUE(ends_in_child(false, false));
  EXPECT_TRUE(ends_in_child(true, false));
#if !HEDDLE_TSAN  // which does not let a forked child start threads
  EXPECT_TRUE(ends_in_child(false, true));
  EXPECT_TRUE(ends_in_child(true, true));
#endif
}

}  // namespace
