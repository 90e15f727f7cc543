#include <heddle/sync/completion.hpp>

#include <atomic>
#include <memory>
#include <stop_token>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>
#include <heddle/prim/thread.hpp>
#include <heddle/sync/blocking_region.hpp>

#include "support/threads.hpp"

namespace {

namespace prim = heddle::prim;
using heddle::completion;
using heddle::wait_for_completion;
using heddle::wait_kind;

class completion_stress : public testing::TestWithParam<unsigned> {};

struct counting final : heddle::waiter {
  counting() noexcept
      : waiter([](heddle::waiter* w) noexcept {
          static_cast<counting*>(w)->wakes.fetch_add(1, std::memory_order_release);
        }) {}
  std::atomic<int> wakes{0};
};

// Waiters come and go while it happens. Each is either refused, taken out by its detach, or woken
// exactly once; whoever detaches in vain is sure of its wake-up.
TEST_P(completion_stress, each_waiter_leaves_exactly_once) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 60;
  for (int round = 0; round < rounds; ++round) {
    completion c;
    int written = 0;
    heddle_test::run_together(GetParam() + 1, [&](unsigned i) {
      prim::random dice(prim::next_seed());
      if (i == 0) {
        for (auto n = dice.below(200); n > 0; --n) prim::pause();
        written = 1;
        c.complete();
        return;
      }
      for (;;) {
        counting nodes[3];
        int attached = 0;
        while (attached < 3 && c.attach(nodes[attached])) ++attached;
        int detached[3] = {0, 0, 0};
        for (auto n = dice.below(100); n > 0; --n) prim::pause();
        for (int k = attached - 1; k >= 0; --k) {
          const int which = (k + 1) % attached;  // now the newest, now the oldest, now the middle
          detached[which] = c.detach(nodes[which]) ? 1 : 0;
          if (detached[which] == 1) continue;
          while (nodes[which].wakes.load(std::memory_order_acquire) == 0) prim::yield();
          EXPECT_EQ(written, 1);
        }
        for (int k = 0; k < attached; ++k) {
          EXPECT_EQ(nodes[k].wakes.load(std::memory_order_acquire), 1 - detached[k]);
        }
        if (attached < 3) {
          EXPECT_EQ(written, 1);
          EXPECT_TRUE(c.done());
          break;
        }
      }
    });
  }
}

// Marks are set while nodes come and go and while it happens; of all who bring a part about, one is
// the last, and sees what the others did.
TEST_P(completion_stress, the_last_of_several_is_alone) {
  const heddle_test::watchdog dog;
  using marks = completion::marks;
  constexpr marks of_thread[] = {marks::first, marks::second, marks::third};
  constexpr marks all = marks::first | marks::second | marks::third;
  for (int round = 0; round < 200; ++round) {
    completion c;
    int written[4] = {};
    std::atomic<int> alone = 0;
    heddle_test::run_together(4 + GetParam(), [&](unsigned i) {
      const auto clear_up = [&] {
        for (const int w : written) EXPECT_EQ(w, 1);
        ++alone;
      };
      if (i < 3) {
        written[i] = 1;
        const auto before = c.set(of_thread[i], prim::acq_rel);
        EXPECT_FALSE(before.has(of_thread[i]));
        // It is alone if all was there but its own.
        bool rest = before.done();
        for (const marks m : of_thread) rest = rest && (m == of_thread[i] || before.has(m));
        if (rest) clear_up();
      } else if (i == 3) {
        written[3] = 1;
        if (c.complete().has(all)) clear_up();
      } else {
        counting node;
        if (c.attach(node) && !c.detach(node)) {
          while (node.wakes.load(std::memory_order_acquire) == 0) prim::yield();
        }
      }
    });
    ASSERT_EQ(alone, 1);
    ASSERT_TRUE(c.look(prim::acquire).done() && c.look(prim::acquire).has(all));
  }
}

// Threads wait in every way there is, some give up at about the moment at which it happens; the
// nodes are on their stacks.
TEST_P(completion_stress, every_kind_of_wait_ends) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 100;
  for (int round = 0; round < rounds; ++round) {
    completion c;
    std::stop_source source;
    int written = 0;
    heddle_test::run_together(GetParam() + 2, [&](unsigned i) {
      prim::random dice(prim::next_seed());
      if (i == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(dice.below(60)));
        written = 1;
        c.complete();
        return;
      }
      if (i == 1) {
        std::this_thread::sleep_for(std::chrono::microseconds(dice.below(60)));
        source.request_stop();
        return;
      }
      switch (dice.below(3)) {
        case 0:
          EXPECT_TRUE(wait_for_completion(c, wait_kind::future));
          break;
        case 1:
          while (!wait_for_completion(
              c, wait_kind::future,
              prim::clock::now() + std::chrono::microseconds(dice.below(30)))) {
          }
          break;
        default:
          if (!wait_for_completion(c, wait_kind::future, source.get_token())) {
            EXPECT_TRUE(source.stop_requested());
            return;
          }
      }
      EXPECT_EQ(written, 1);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(threads, completion_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
