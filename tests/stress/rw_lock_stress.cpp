#include <heddle/sync/rw_lock.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <thread>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/data/dictionary.hpp>
#include <heddle/prim/seed.hpp>

#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;

namespace prim = heddle::prim;

class rw_lock_stress : public testing::TestWithParam<unsigned> {};

// What writers keep equal and readers compare.
struct pair {
  heddle::rw_lock lock;
  std::uint64_t one HEDDLE_GUARDED_BY(lock) = 0;
  std::uint64_t other HEDDLE_GUARDED_BY(lock) = 0;

  // Now and then long enough that others go to sleep.
  static void linger(prim::random& dice) {
    if (dice.below(64) == 0) std::this_thread::yield();
    if (dice.below(512) == 0) std::this_thread::sleep_for(20us);
  }
  void write(prim::random& dice) HEDDLE_REQUIRES(lock) {
    ++one;
    linger(dice);
    ++other;
  }
  std::uint64_t read(prim::random& dice) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    const std::uint64_t seen = one;
    linger(dice);
    EXPECT_EQ(seen, other);
    return seen;
  }
};

// From nearly all reads, where the table is open most of the time, to nearly all writes.
TEST_P(rw_lock_stress, readers_see_whole_writes) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 4'000;
  for (const std::uint32_t writes_in_a_thousand : {2U, 30U, 500U, 950U}) {
    pair p;
    std::atomic<std::uint64_t> written{0};
    heddle_test::run_together(GetParam(), [&](unsigned) {
      prim::random dice(prim::next_seed());
      std::uint64_t last = 0;
      for (int i = 0; i < rounds; ++i) {
        if (dice.below(1000) < writes_in_a_thousand) {
          const heddle::write_guard held(p.lock);
          p.write(dice);
          written.fetch_add(1, std::memory_order_relaxed);
        } else {
          const heddle::read_guard held(p.lock);
          const std::uint64_t seen = p.read(dice);
          EXPECT_GE(seen, last);
          last = seen;
        }
      }
    });
    const heddle::read_guard held(p.lock);
    EXPECT_EQ(p.one, written);
  }
}

// All ways to come in and to give up, with refusals by the delegate: a lost wake-up stops somebody
// for ever.
TEST_P(rw_lock_stress, those_who_give_up_take_nothing_along) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 4'000;
  pair p;
  std::atomic<std::uint64_t> written{0};
  heddle_test::run_together(GetParam() + 1, [&](unsigned index) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
    prim::random dice(prim::next_seed());
    heddle_test::recording_delegate d;
    d.inside_enter = [&] {
      d.log.clear();
      d.refuse = index % 2 == 1 && dice.below(4) == 0;
    };
    heddle::rw_lock& lock = p.lock;
    for (int i = 0; i < rounds; ++i) {
      const bool writes = dice.below(8) == 0;
      const auto time = std::chrono::nanoseconds(dice.below(40'000));
      std::stop_source source;
      if (dice.below(2) == 0) source.request_stop();
      bool got = true;
      try {
        switch (dice.below(5)) {
          case 0:
            writes ? lock.lock() : lock.lock_shared();
            break;
          case 1:
            got = writes ? lock.try_lock() : lock.try_lock_shared();
            break;
          case 2:
            got = writes ? lock.try_lock_for(time) : lock.try_lock_shared_for(time);
            break;
          case 3:
            got = writes ? lock.lock(source.get_token()) : lock.lock_shared(source.get_token());
            break;
          default:
            got = writes ? lock.try_lock_for(time, source.get_token())
                         : lock.try_lock_shared_for(time, source.get_token());
        }
      } catch (const heddle::would_starve&) {
        continue;
      }
      if (!got) continue;
      if (writes) {
        p.write(dice);
        written.fetch_add(1, std::memory_order_relaxed);
        lock.unlock();
      } else {
        p.read(dice);
        lock.unlock_shared();
      }
    }
  });
  const heddle::read_guard held(p.lock);
  EXPECT_EQ(p.one, written);
}

// Stops hit sleepers of both kinds while the lock is passed on.
TEST_P(rw_lock_stress, stops_lose_no_wakeup) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 200;
  pair p;
  for (int r = 0; r < rounds; ++r) {
    std::stop_source source;
    heddle_test::run_together(GetParam() + 2, [&](unsigned i) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
      prim::random dice(prim::next_seed());
      if (i == 0) {
        source.request_stop();
      } else if (i % 2 == 0) {
        if (!p.lock.lock(source.get_token())) return;
        p.write(dice);
        p.lock.unlock();
      } else {
        if (!p.lock.lock_shared(source.get_token())) return;
        p.read(dice);
        p.lock.unlock_shared();
      }
    });
    const heddle::write_guard nobody_holds_it(p.lock);
  }
}

// One reads and one writes; whoever comes second destroys, while the first may still be on its way
// out of the unlock.
TEST(rw_lock_lifetime, the_last_one_destroys) {
  const heddle_test::watchdog dog;
  struct shared {
    heddle::rw_lock lock;
    std::atomic<int> left{2};
  };
  for (int r = 0; r < 600; ++r) {
    auto* const s = new shared;
    heddle_test::run_together(2, [&](unsigned i) HEDDLE_NO_THREAD_SAFETY_ANALYSIS {
      if (i == 0 && r % 2 == 0) {
        s->lock.lock_shared();
        const int left = --s->left;
        s->lock.unlock_shared();
        if (left != 0) return;
      } else {
        s->lock.lock();
        const int left = --s->left;
        s->lock.unlock();
        if (left != 0) return;
      }
      s->lock.lock();  // behind the other's unlock
      s->lock.unlock();
      delete s;
    });
  }
}

TEST_P(rw_lock_stress, a_dictionary_moves_money_and_loses_none) {
  const heddle_test::watchdog dog;
  constexpr int accounts = 16;
  constexpr int rounds = 1'500;
  heddle::dictionary<int, long> bank;
  for (int a = 0; a < accounts; ++a) bank.set(a, 100);
  heddle_test::run_together(GetParam() + 1, [&](unsigned) {
    prim::random dice(prim::next_seed());
    for (int i = 0; i < rounds; ++i) {
      const int from = static_cast<int>(dice.below(accounts));
      const int to = (from + 1) % accounts;
      if (dice.below(4) == 0) {
        bank.edit([&](auto& e) {
          e.set(from, *e.get(from) - 1);
          e.set(to, *e.get(to) + 1);
        });
      } else if (dice.below(16) == 0) {
        long sum = 0;
        for (const auto& [account, money] : bank.snapshot()) sum += money;
        EXPECT_EQ(sum, 100 * accounts);
      } else {
        EXPECT_TRUE(bank.get(from).has_value());
      }
    }
  });
  long sum = 0;
  bank.for_each([&](int, long money) { sum += money; });
  EXPECT_EQ(sum, 100 * accounts);
}

INSTANTIATE_TEST_SUITE_P(threads, rw_lock_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
