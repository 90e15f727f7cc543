// Which tasks go first, who inherits that, and that nobody waits for ever.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/future/wait.hpp>

#include "support/pools.hpp"

namespace {

using heddle::future;
using heddle::priority;
using heddle::scheduling;
using heddle::task_options;
using heddle::thread_pool;
using heddle_test::counted;
using heddle_test::eventually;
using heddle_test::gate;
using heddle_test::occupied_pool;
using heddle_test::pool_watchdog;

using namespace std::chrono_literals;

constexpr priority level(unsigned number) { return static_cast<priority>(number); }
constexpr std::size_t index_of(priority p) { return static_cast<std::size_t>(p); }

// Nobody gets a turn for its age, however slow the machine.
heddle::thread_pool_options strict(unsigned workers,
                                   scheduling schedule = scheduling::work_stealing) {
  heddle::thread_pool_options o;
  o.workers = workers;
  o.schedule = schedule;
  o.aging = std::chrono::hours(24);
  return o;
}

// Occupies all workers; one of them can be let go alone, so that what the pool does has an order.
class one_worker {
 public:
  explicit one_worker(thread_pool& pool) {
    const unsigned others = pool.size() - 1;
    for (unsigned i = 0; i < others; ++i) {
      pool.post([g = others_] { g->pass(); });
    }
    others_->await_arrivals(others);
    pool.post([g = first_] { g->pass(); });
    first_->await_arrivals(1);
  }
  ~one_worker() {
    go();
    others_->open();
  }
  one_worker(const one_worker&) = delete;
  one_worker& operator=(const one_worker&) = delete;

  void go() { first_->open(); }

 private:
  std::shared_ptr<gate> first_ = std::make_shared<gate>();
  std::shared_ptr<gate> others_ = std::make_shared<gate>();
};

// The order in which tasks began.
template <class Note>
class notes {
 public:
  void add(Note n) {
    const std::lock_guard lock(mutex_);
    taken_.push_back(std::move(n));
  }
  auto adds(Note n) {
    return [this, n] { add(n); };
  }
  std::vector<Note> await(std::size_t n) {
    EXPECT_TRUE(eventually([&] { return size() >= n; }));
    const std::lock_guard lock(mutex_);
    return taken_;
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return taken_.size();
  }

 private:
  std::mutex mutex_;
  std::vector<Note> taken_;
};

// Submitted at each level, when the pool is quiet.
std::array<std::uint64_t, heddle::priority_levels> submitted_of(thread_pool& pool) {
  EXPECT_TRUE(pool.wait_idle());
  const auto s = pool.statistics();
  std::array<std::uint64_t, heddle::priority_levels> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = s.levels[i].submitted;
    EXPECT_EQ(s.levels[i].completed, s.levels[i].submitted) << "at level " << i;
    EXPECT_EQ(s.levels[i].queued, 0U) << "at level " << i;
  }
  EXPECT_EQ(std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0}), s.submitted);
  return numbers;
}

class priorities : public testing::TestWithParam<unsigned> {
 protected:
  static unsigned workers() { return GetParam(); }
};

TEST_P(priorities, more_urgent_tasks_go_first_and_equals_in_their_order) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  using note = std::pair<unsigned, int>;  // level, number
  notes<note> order;
  std::vector<note> expected;
  std::vector<future<void>> futures;
  one_worker held(pool);
  constexpr std::array levels{7U, 0U, 3U, 6U, 5U, 2U, 1U};
  int number = 0;
  for (int round = 0; round < 30; ++round) {
    for (const unsigned l : levels) {
      expected.emplace_back(l, number);
      auto task = order.adds({l, number});
      switch ((number / 3) % 4) {
        case 0:
          pool.post(level(l), task);
          break;
        case 1:
          pool.post(task_options{.level = level(l)}, task);
          break;
        case 2:
          futures.push_back(pool.submit(level(l), task));
          break;
        default:
          futures.push_back(pool.submit(task_options{.level = level(l)}, task));
      }
      ++number;
    }
  }
  held.go();
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(order.await(expected.size()), expected);
  for (auto& f : futures) f.get();
}

TEST_P(priorities, a_task_without_one_is_normal) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  notes<int> order;
  {
    one_worker held(pool);
    pool.post(priority::low, order.adds(90));
    pool.post(level(5), order.adds(80));
    for (int i = 0; i < 40; i += 4) {
      pool.post(order.adds(10 + i));
      pool.post(priority::normal, order.adds(11 + i));
      const auto dropped = pool.submit(order.adds(12 + i));
      pool.post(task_options{}, order.adds(13 + i));
    }
    pool.post(level(3), order.adds(2));
    pool.post(priority::high, order.adds(1));
    held.go();
    std::vector<int> expected{1, 2};
    for (int i = 0; i < 40; ++i) expected.push_back(10 + i);
    expected.push_back(80);
    expected.push_back(90);
    auto got = order.await(expected.size());
    ASSERT_EQ(got.size(), expected.size());
    // A worker that steals may take tasks of normal priority from several queues in turn.
    std::sort(got.begin() + 2, got.end() - 2);
    EXPECT_EQ(got, expected);
  }
  const auto s = submitted_of(pool);
  EXPECT_EQ(s[index_of(priority::normal)], 40U + workers());
}

TEST_P(priorities, what_comes_later_but_is_more_urgent_goes_before_what_waits) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  notes<int> order;
  one_worker held(pool);
  for (int i = 0; i < 100; ++i) {
    pool.post([&, i] {
      order.add(i);
      // Behind this task, before all others that wait.
      if (i < 5) pool.post(priority::high, order.adds(1000 + i));
    });
  }
  held.go();
  const auto got = order.await(105);
  ASSERT_EQ(got.size(), 105U);
  for (int i = 0; i < 5; ++i) {
    const auto parent = std::find(got.begin(), got.end(), i);
    ASSERT_LT(parent - got.begin(), 104);
    EXPECT_EQ(parent[1], 1000 + i);
  }
}

TEST_P(priorities, children_go_when_their_parents_would) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  notes<std::string> order;
  one_worker held(pool);
  pool.post(priority::low, [&] {
    order.add("low");
    pool.post(order.adds("child of low"));
    pool.post(priority::normal, order.adds("normal child of low"));
    {
      const auto dropped = pool.submit(order.adds("second child of low"));
    }
    pool.post(priority::high, order.adds("high child of low"));
  });
  pool.post(order.adds("normal"));
  pool.post(priority::high, [&] {
    order.add("high");
    pool.post(order.adds("child of high"));
    pool.post(task_options{}, order.adds("second child of high"));
    pool.post(priority::low, order.adds("low child of high"));
  });
  held.go();
  EXPECT_EQ(order.await(10),
            (std::vector<std::string>{"high", "child of high", "second child of high", "normal",
                                      "low", "high child of low", "normal child of low",
                                      "low child of high", "child of low", "second child of low"}));
}

// Each begets the next without a level, until one of them names its own.
struct generation {
  thread_pool& pool;
  unsigned left;
  unsigned change_at;
  void operator()() const {
    if (left == 0) return;
    const generation next{pool, left - 1, change_at};
    if (left == change_at) {
      pool.post(priority::lowest, next);
    } else if (left % 2 == 0) {
      pool.post(next);
    } else {
      const auto dropped = pool.submit(next);
    }
  }
};

TEST_P(priorities, are_inherited_through_generations_until_one_names_its_own) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  pool.post(priority::high, generation{pool, 20, 0});
  EXPECT_EQ(submitted_of(pool)[index_of(priority::high)], 21U);
  pool.post(level(1), generation{pool, 20, 15});
  const auto s = submitted_of(pool);
  EXPECT_EQ(s[1], 6U);
  EXPECT_EQ(s[index_of(priority::lowest)], 15U);
  EXPECT_EQ(s[index_of(priority::high)], 21U);
  EXPECT_EQ(s[index_of(priority::normal)], 0U);
}

TEST_P(priorities, continuations_inside_a_task_have_its_level) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  pool.submit(priority::high,
              [&pool] {
                auto chain = pool.submit([] { return 1; }).then([](int i) { return i + 1; });
                auto last = chain.then([&pool](int i) {
                  pool.post([] {});
                  return i + 1;
                });
                EXPECT_EQ(last.get(), 3);
              })
      .get();
  EXPECT_EQ(submitted_of(pool)[index_of(priority::high)], 5U);
}

// The level belongs to the task, not to the thread that happens to run it.
TEST_P(priorities, a_task_run_by_its_waiter_has_its_own_level_and_the_waiter_keeps_its) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  pool.submit(priority::low,
              [&pool] {
                pool.submit(priority::high, [&pool] { pool.post([] {}); }).get();
                pool.post([] {});
                auto other = pool.submit(level(3), [&pool] { pool.post([] {}); });
                EXPECT_TRUE(other.wait_for(1h));  // a spare stands in
                pool.post([] {});
              })
      .get();
  const auto s = submitted_of(pool);
  EXPECT_EQ(s[index_of(priority::high)], 2U);
  EXPECT_EQ(s[3], 2U);
  EXPECT_EQ(s[index_of(priority::low)], 3U);
  EXPECT_EQ(s[index_of(priority::normal)], 0U);
}

TEST_P(priorities, of_a_task_end_with_it) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  for (int i = 0; i < 20; ++i) {
    pool.submit(priority::high, [] {}).get();
    pool.submit([&pool] { pool.post([] {}); }).get();
  }
  const auto s = submitted_of(pool);
  EXPECT_EQ(s[index_of(priority::high)], 20U);
  EXPECT_EQ(s[index_of(priority::normal)], 40U);
}

TEST_P(priorities, tasks_of_all_levels_block_together) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  const unsigned n = workers();
  for (unsigned round = 0; round < 60; ++round) {
    std::barrier<> meeting(static_cast<std::ptrdiff_t>(n) + 1);
    const auto meet = [&meeting] { meeting.arrive_and_wait(); };
    if (round % 2 == 0) {
      for (unsigned i = 0; i < n; ++i) pool.post(level((i * 3 + round) % 8), meet);
    } else {
      pool.post(level(round % 8), [&] {
        for (unsigned i = 1; i < n; ++i) pool.post(level((i * 5 + round) % 8), meet);
        meet();
      });
    }
    meeting.arrive_and_wait();
    EXPECT_TRUE(pool.wait_idle());
  }
}

TEST_P(priorities, statistics_count_each_level) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  {
    const occupied_pool busy(pool);
    std::vector<future<void>> futures;
    for (unsigned l = 0; l < 8; ++l) {
      for (unsigned i = 0; i <= l; ++i) {
        pool.post(level(l), [] {});
        futures.push_back(pool.submit(level(l), [] {}));
      }
    }
    const auto s = pool.statistics();
    for (unsigned l = 0; l < 8; ++l) {
      const unsigned held = l == index_of(priority::normal) ? workers() : 0;
      EXPECT_EQ(s.levels[l].queued, 2 * (l + 1)) << "at level " << l;
      EXPECT_EQ(s.levels[l].submitted, 2 * (l + 1) + held) << "at level " << l;
      EXPECT_EQ(s.levels[l].completed, 0U) << "at level " << l;
    }
    EXPECT_TRUE(futures[0].cancel());
    EXPECT_TRUE(futures.back().cancel());
  }
  const auto submitted = submitted_of(pool);
  for (unsigned l = 0; l < 8; ++l) {
    const unsigned held = l == index_of(priority::normal) ? workers() : 0;
    EXPECT_EQ(submitted[l], 2 * (l + 1) + held) << "at level " << l;
  }
}

TEST_P(priorities, statistics_of_levels_count_placed_tasks_and_continuations) {
  thread_pool pool(strict(workers()));
  const pool_watchdog dog(pool);
  pool.submit_to(0, [] {}).get();
  pool.submit_keyed(3, [] {}).then([] {}).get();
  auto f = pool.submit(priority::low, [] {}).then(pool.executor(), [] {});
  f.get();
  const auto s = submitted_of(pool);  // compares the sum with the total
  EXPECT_EQ(std::accumulate(s.begin(), s.end(), std::uint64_t{0}), 5U);
}

TEST_P(priorities, drain_and_cancel_reach_every_level) {
  for (const auto mode : {heddle::shutdown_mode::drain, heddle::shutdown_mode::cancel}) {
    thread_pool pool(strict(workers()));
    const pool_watchdog dog(pool);
    std::atomic<unsigned> ran = 0;
    std::vector<future<void>> futures;
    {
      const occupied_pool busy(pool);
      for (unsigned l = 0; l < 8; ++l) {
        for (int i = 0; i < 5; ++i) {
          futures.push_back(pool.submit(level(l), [&ran, c = counted()] { ++ran; }));
          pool.post(level(l), [&ran, c = counted()] { ++ran; });
        }
      }
      const auto report = pool.shutdown(mode, 0ms);
      EXPECT_FALSE(report.completed);
      if (mode == heddle::shutdown_mode::drain) {
        EXPECT_EQ(report.queued, 80U);
      }
    }
    EXPECT_TRUE(pool.shutdown(mode).completed);
    EXPECT_EQ(counted::alive, 0);
    for (auto& f : futures) {
      ASSERT_TRUE(f.ready());
      EXPECT_EQ(f.failed(), mode == heddle::shutdown_mode::cancel);
    }
    EXPECT_EQ(ran, mode == heddle::shutdown_mode::drain ? 80U : 0U);
    const auto s = pool.statistics();
    for (unsigned l = 0; l < 8; ++l) EXPECT_EQ(s.levels[l].completed, s.levels[l].submitted);
    EXPECT_EQ(s.discarded, 80U - ran);
  }
}

TEST_P(priorities, beyond_the_least_urgent_are_refused) {
  thread_pool pool(strict(workers()));
  for (const unsigned bad : {8U, 9U, 100U, 255U}) {
    EXPECT_THROW(pool.post(level(bad), [c = counted()] {}), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(pool.submit(level(bad), [c = counted()] {})),
                 std::invalid_argument);
    const task_options options{.level = level(bad)};
    EXPECT_THROW(pool.post(options, [c = counted()] {}), std::invalid_argument);
    EXPECT_THROW(static_cast<void>(pool.submit(options, [c = counted()] {})),
                 std::invalid_argument);
    EXPECT_THROW(static_cast<void>(pool.run_all(std::vector(3, [c = counted()] {}),
                                                heddle::prim::never, options)),
                 std::invalid_argument);
    try {
      pool.post(level(bad), [] {});
    } catch (const std::invalid_argument& e) {
      EXPECT_NE(std::string(e.what()).find(std::to_string(bad)), std::string::npos) << e.what();
    }
  }
  EXPECT_EQ(counted::alive, 0);
  EXPECT_EQ(pool.statistics().submitted, 0U);
}

INSTANTIATE_TEST_SUITE_P(workers, priorities, testing::ValuesIn(heddle_test::thread_counts()),
                         testing::PrintToStringParamName());

TEST(priorities_in_fifo_mode, change_nothing) {
  thread_pool pool(strict(1, scheduling::fifo));
  const pool_watchdog dog(pool);
  notes<int> order;
  std::vector<int> expected;
  one_worker held(pool);
  for (int i = 0; i < 80; ++i) {
    expected.push_back(i);
    pool.post(level(static_cast<unsigned>(7 * i) % 8), order.adds(i));
  }
  held.go();
  EXPECT_EQ(order.await(80), expected);
}

// A stream that never ends, as wide as told, at one level; ends when its object dies.
class endless {
 public:
  endless(thread_pool& pool, priority of, unsigned width) : pool_(pool), links_(width) {
    for (unsigned i = 0; i < width; ++i) pool.post(of, link{this});
    EXPECT_TRUE(eventually([this] { return runs_ > 100; }));
  }
  ~endless() {
    over_ = true;
    EXPECT_TRUE(eventually([this] { return links_ == 0; }));
  }
  endless(const endless&) = delete;
  endless& operator=(const endless&) = delete;

 private:
  struct link {
    endless* stream;
    void operator()() const {
      ++stream->runs_;
      if (stream->over_) {
        --stream->links_;
      } else {
        stream->pool_.post(link{stream});
      }
    }
  };

  thread_pool& pool_;
  std::atomic<unsigned> links_;
  std::atomic<unsigned long> runs_ = 0;
  std::atomic<bool> over_ = false;
};

class aging : public testing::TestWithParam<unsigned> {
 protected:
  static heddle::thread_pool_options options(std::chrono::milliseconds age) {
    heddle::thread_pool_options o;
    o.workers = GetParam();
    o.aging = age;
    return o;
  }
};

TEST_P(aging, lets_less_urgent_tasks_in_between_endless_more_urgent_ones) {
  constexpr std::array<std::pair<priority, priority>, 5> pairs{{
      {priority::high, priority::low},
      {priority::high, priority::normal},
      {priority::normal, priority::lowest},
      {priority::highest, priority::lowest},
      {priority::low, priority::lowest},
  }};
  for (const auto& [urgent, patient] : pairs) {
    thread_pool pool(options(2ms));
    const pool_watchdog dog(pool);
    const endless stream(pool, urgent, 2 * GetParam());
    std::vector<future<int>> futures;
    for (int i = 0; i < 50; ++i) {
      futures.push_back(pool.submit(patient, [i] { return i; }));
    }
    for (int i = 0; i < 50; ++i) EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
  }
}

TEST_P(aging, of_nothing_and_by_default) {
  for (const auto age : {0ms, heddle::thread_pool_options().aging}) {
    thread_pool pool(options(age));
    const pool_watchdog dog(pool);
    const endless stream(pool, priority::high, GetParam() + 1);
    EXPECT_EQ(pool.submit(priority::low, [] { return 4; }).get(), 4);
    EXPECT_EQ(pool.submit([] { return 5; }).get(), 5);
  }
}

TEST_P(aging, reaches_every_level_below_several_streams) {
  thread_pool pool(options(1ms));
  const pool_watchdog dog(pool);
  const endless highest(pool, priority::highest, GetParam());
  const endless high(pool, priority::high, GetParam());
  const endless normal(pool, priority::normal, GetParam());
  std::vector<future<void>> futures;
  for (unsigned l = 0; l < 8; ++l) {
    for (int i = 0; i < 5; ++i) futures.push_back(pool.submit(level(l), [] {}));
  }
  for (auto& f : futures) f.get();
}

TEST_P(aging, helps_what_tasks_submit_and_what_was_placed) {
  thread_pool pool(options(1ms));
  const pool_watchdog dog(pool);
  const endless stream(pool, priority::high, 2 * GetParam());
  // Nobody waits inside a task here, since a waiter would run the task itself.
  auto nested = pool.submit([&pool] {
    return pool.submit(priority::low, [&pool] { return pool.submit([] { return 6; }); });
  });
  EXPECT_EQ(nested.get().get().get(), 6);
  for (unsigned w = 0; w < GetParam(); ++w) pool.submit_to(w, [] {}).get();
  pool.submit([] {}).then([] {}).get();
  pool.submit_bulk(20, [](std::size_t) {}).get();
}

INSTANTIATE_TEST_SUITE_P(workers, aging, testing::ValuesIn(heddle_test::thread_counts()),
                         testing::PrintToStringParamName());

}  // namespace
