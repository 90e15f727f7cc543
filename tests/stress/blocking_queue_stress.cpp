#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/base/errors.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/queue/bounded_queue.hpp>
#include <heddle/queue/priority_queue.hpp>

#include "support/recording_delegate.hpp"
#include "support/threads.hpp"

namespace {

using namespace std::chrono_literals;

namespace prim = heddle::prim;

// Whose item it is and which one, kept under a lock when Moves is false.
template <bool Moves>
struct item {
  item(unsigned p, unsigned n) : producer(p), number(n) {}
  item(item&& other) noexcept(Moves) : producer(other.producer), number(other.number) {}
  item& operator=(item&& other) noexcept(Moves) {
    producer = other.producer;
    number = other.number;
    return *this;
  }
  unsigned producer;
  unsigned number;
};
struct equal {
  bool operator()(const item<true>&, const item<true>&) const noexcept { return false; }
};

template <class Queue>
using item_t = typename Queue::value_type;

template <class Queue>
class blocking_queue_stress : public testing::Test {};
using queues = testing::Types<heddle::bounded_queue<item<true>>, heddle::bounded_queue<item<false>>,
                              heddle::priority_queue<item<true>, equal>>;
TYPED_TEST_SUITE(blocking_queue_stress, queues);

// Now and then long enough that others go to sleep.
void linger_seldom(prim::random& dice) {
  if (dice.below(128) == 0) std::this_thread::yield();
  if (dice.below(1024) == 0) std::this_thread::sleep_for(20us);
}

// All the ways to put and to get, which may give up; the end; and each item once, those of one
// producer in order.
TYPED_TEST(blocking_queue_stress, each_item_arrives_once_and_in_its_producers_order) {
  const heddle_test::watchdog dog;
  constexpr unsigned each = 3'000;
  for (const unsigned pairs : heddle_test::thread_counts()) {
    TypeParam queue(pairs % 2 == 0 ? 2 : 5);
    std::vector<std::vector<item_t<TypeParam>>> got(pairs);
    std::atomic<unsigned> producing{pairs};
    std::atomic<unsigned> accepted{0};
    heddle_test::run_together(2 * pairs, [&](unsigned index) {
      prim::random dice(prim::next_seed());
      heddle_test::recording_delegate d;
      d.inside_enter = [&] {
        d.log.clear();
        d.refuse = dice.below(16) == 0;
      };
      std::stop_source stopped;
      stopped.request_stop();
      if (index < pairs) {
        for (unsigned n = 0; n < each;) {
          item_t<TypeParam> next(index, n);
          bool put = false;
          try {
            switch (dice.below(4)) {
              case 0:
                put = queue.put(std::move(next));
                break;
              case 1:
                put = queue.try_put(std::move(next));
                break;
              case 2:
                put = queue.try_put_for(std::move(next), std::chrono::microseconds(dice.below(60)));
                break;
              default:
                put = queue.put(std::move(next), stopped.get_token());
            }
          } catch (const heddle::would_starve&) {
          }
          if (put) {
            ++n;
            ++accepted;
          }
          linger_seldom(dice);
        }
        if (--producing == 0) queue.close();
        return;
      }
      auto& mine = got[index - pairs];
      while (!queue.closed() || !queue.empty()) {
        try {
          switch (dice.below(4)) {
            case 0:
              if (auto one = queue.get()) mine.push_back(std::move(*one));
              break;
            case 1:
              if (auto one = queue.try_get()) mine.push_back(std::move(*one));
              break;
            case 2:
              if (auto one = queue.try_get_for(std::chrono::microseconds(dice.below(60)))) {
                mine.push_back(std::move(*one));
              }
              break;
            default:
              for (auto& one : queue.get_n(3)) mine.push_back(std::move(one));
          }
        } catch (const heddle::would_starve&) {
        }
        linger_seldom(dice);
      }
    });
    EXPECT_EQ(accepted, pairs * each);
    std::vector<std::vector<bool>> seen(pairs, std::vector<bool>(each));
    std::size_t count = 0;
    for (const auto& mine : got) {
      std::vector<std::int64_t> last(pairs, -1);
      for (const auto& one : mine) {
        ASSERT_GT(std::int64_t{one.number}, last[one.producer]);
        last[one.producer] = one.number;
        ASSERT_FALSE(seen[one.producer][one.number]);
        seen[one.producer][one.number] = true;
        ++count;
      }
    }
    EXPECT_EQ(count, pairs * each);
    EXPECT_LE(queue.peak(), queue.capacity());
  }
}

// Puts that only wait, gets that only wait: a lost wake-up stops somebody for ever. Joins on the
// way.
TYPED_TEST(blocking_queue_stress, nobody_is_forgotten) {
  const heddle_test::watchdog dog;
  constexpr unsigned each = 5'000;
  for (const unsigned pairs : heddle_test::thread_counts()) {
    for (const std::size_t capacity : {1U, 3U}) {
      TypeParam queue(capacity);
      std::atomic<unsigned> done{0};
      heddle_test::run_together(2 * pairs + 1, [&](unsigned index) {
        if (index == 2 * pairs) {
          while (done < pairs * each) {
            queue.join();
            std::this_thread::sleep_for(50us);
          }
        } else if (index < pairs) {
          for (unsigned n = 0; n < each; ++n) queue.put({index, n});
        } else {
          for (unsigned n = 0; n < each; ++n) {
            ASSERT_TRUE(queue.get());
            ++done;
            queue.task_done();
          }
        }
      });
      queue.join();
      EXPECT_TRUE(queue.empty());
    }
  }
}

// Close hits puts and gets: what was accepted is what comes out.
TYPED_TEST(blocking_queue_stress, close_loses_nothing) {
  const heddle_test::watchdog dog;
  for (const unsigned pairs : heddle_test::thread_counts()) {
    for (int round = 0; round < 150; ++round) {
      TypeParam queue(2);
      std::atomic<unsigned> in{0};
      std::atomic<unsigned> out{0};
      heddle_test::run_together(2 * pairs + 1, [&](unsigned index) {
        if (index == 2 * pairs) {
          while (out < static_cast<unsigned>(round % 7)) std::this_thread::yield();
          queue.close();
        } else if (index < pairs) {
          for (unsigned n = 0; queue.put({index, n}); ++n) ++in;
        } else {
          while (queue.get()) ++out;
        }
      });
      ASSERT_EQ(in, out);
      ASSERT_EQ(queue.total_put(), in);
    }
  }
}

}  // namespace
