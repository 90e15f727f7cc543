// Pools that change their size all the time, while everything else happens to them.
#include <heddle/exec/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/sync/blocking_region.hpp>

#include "support/no_more_threads.hpp"
#include "support/pools.hpp"
#include "support/scripted_sizing.hpp"

namespace {

using heddle::blocking_scope;
using heddle::future;
using heddle::thread_pool;
using heddle::thread_pool_options;
using heddle_test::restless;

using namespace std::chrono_literals;

class adaptive_stress : public heddle_test::pool_test {
 protected:
  static thread_pool_options options() {
    thread_pool_options o;
    o.sizing = restless(1, static_cast<int>(workers()));
    o.schedule = GetParam().schedule;
    o.spare_keep_alive = 200us;
    return o;
  }
};

// A task of some kind, and what must have come of it.
class tasks {
 public:
  explicit tasks(thread_pool& pool) : pool_(pool) {}

  void submit() {
    switch (dice_.below(8)) {
      case 0:
        expect(pool_.submit([] { return 1; }));
        break;
      case 1:
        expect(pool_.submit([this] { return pool_.submit([] { return 1; }).get(); }));
        break;
      case 2:
        expect(pool_.submit([] {
          const blocking_scope scope;
          std::this_thread::sleep_for(50us);
          return 1;
        }));
        break;
      case 3:
        failures_.push_back(pool_.submit([] { throw std::runtime_error("on purpose"); }));
        break;
      case 4:
        expect(pool_.submit_keyed(dice_.next(), [] { return 1; }));
        break;
      case 5:
        expect(pool_.submit(heddle::priority::high, [] { return 1; }));
        break;
      case 6:
        bulks_.push_back(pool_.submit_bulk(5, [this](std::size_t) { ++ran_; }));
        break;
      default:
        expect(pool_.submit([this] {
          auto deep = pool_.submit([this] { return pool_.submit([] { return 1; }).get(); });
          std::this_thread::sleep_for(20us);
          return deep.get();
        }));
    }
  }

  void check() {
    for (auto& f : results_) EXPECT_EQ(f.get(), 1);
    for (auto& f : failures_) EXPECT_THROW(f.get(), std::runtime_error);
    for (auto& f : bulks_) f.get();
    EXPECT_EQ(ran_, 5 * bulks_.size());
  }

 private:
  void expect(future<int> f) { results_.push_back(std::move(f)); }

  thread_pool& pool_;
  heddle::prim::random dice_{heddle::prim::next_seed()};
  std::vector<future<int>> results_;
  std::vector<future<void>> failures_;
  std::vector<future<void>> bulks_;
  std::atomic<std::size_t> ran_{0};
};

TEST_P(adaptive_stress, tasks_of_all_kinds_while_it_is_watched_switched_and_refused_threads) {
  const heddle_test::watchdog dog;
  std::atomic<std::uint64_t> told{0};
  auto o = options();
  o.on_resize = [&](const heddle::sizing::logged_choice&) { ++told; };
  thread_pool pool(std::move(o));
  std::atomic<int> submitters{2};
  heddle_test::run_together(4, [&](unsigned i) {
    if (i < 2) {
      tasks mine(pool);
      for (int n = 0; n < 400; ++n) {
        mine.submit();
        if (n % 50 == 0) std::this_thread::sleep_for(1ms);
      }
      mine.check();
      --submitters;
    } else if (i == 2) {
      while (submitters != 0) {
        const auto r = pool.report();
        EXPECT_LE(r.statistics.completed, r.statistics.started);
        EXPECT_LE(r.statistics.started, r.statistics.submitted);
        EXPECT_LE(r.sizing->log.size(), 256u);
        EXPECT_FALSE(r.to_json().empty());
        pool.set_sizing(false);
        const unsigned kept = pool.size();
        EXPECT_LE(kept, workers());
        std::this_thread::yield();
        EXPECT_EQ(pool.size(), kept);
        pool.set_sizing(true);
        std::this_thread::sleep_for(2ms);
      }
    } else {
      while (submitters != 0) {
        {
          const heddle_test::failing_threads none;
          std::this_thread::sleep_for(500us);
        }
        std::this_thread::sleep_for(1ms);
      }
    }
  });
  EXPECT_TRUE(pool.shutdown().completed);
  const auto s = pool.statistics();
  EXPECT_EQ(s.completed, s.submitted);
  EXPECT_EQ(s.threads, 0u);
}

TEST_P(adaptive_stress, the_end_meets_a_change) {
  const heddle_test::watchdog dog;
  heddle::prim::random dice(heddle::prim::next_seed());
  for (int round = 0; round < 60; ++round) {
    std::atomic<int> done{0};
    std::atomic<int> discarded{0};
    {
      thread_pool pool(options());
      std::vector<future<void>> futures;
      for (int i = 0; i < 30; ++i) {
        futures.push_back(pool.submit([&] {
          std::this_thread::sleep_for(50us);
          ++done;
        }));
      }
      std::this_thread::sleep_for(std::chrono::microseconds(dice.below(3000)));
      if (dice.below(2) == 0) {
        pool.shutdown(
            dice.below(2) == 0 ? heddle::shutdown_mode::cancel : heddle::shutdown_mode::drain,
            std::chrono::microseconds(dice.below(500)));
        for (auto& f : futures) {
          try {
            f.get();
          } catch (const heddle::cancelled&) {
            ++discarded;
          }
        }
      }
    }
    EXPECT_EQ(done + discarded, 30);
  }
}

INSTANTIATE_TEST_SUITE_P(shapes, adaptive_stress, testing::ValuesIn(heddle_test::pool_shapes()),
                         testing::PrintToStringParamName());

}  // namespace
