#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <heddle/lockfree/linearizable_queue.hpp>
#include <heddle/lockfree/mpmc_queue.hpp>
#include <heddle/lockfree/mpmc_ring.hpp>
#include <heddle/lockfree/spsc_ring.hpp>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

// An element that owns memory, so that one that is lost, doubled or torn is noticed. Producer in
// the upper half of the number, which of its elements in the lower.
using element = std::unique_ptr<std::uint64_t>;
constexpr std::uint64_t number_of(unsigned producer, unsigned i) {
  return std::uint64_t{producer} << 32 | i;
}

// What came out, and that each producer's elements came out in order as far as one consumer saw
// them.
class ledger {
 public:
  ledger(unsigned producers, unsigned each) : taken_(producers * each), each_(each) {}

  struct reader {
    explicit reader(unsigned producers) : next(producers, 0) {}
    std::vector<std::uint64_t> next;
  };

  void take(reader& by, const element& e) {
    ASSERT_NE(e, nullptr);
    const auto producer = static_cast<unsigned>(*e >> 32);
    const std::uint64_t i = *e & 0xffff'ffff;
    ASSERT_GE(i, by.next[producer]) << "producer " << producer;
    by.next[producer] = i + 1;
    taken_[producer * each_ + i].fetch_add(1, std::memory_order_relaxed);
    left_.fetch_sub(1, std::memory_order_relaxed);
  }
  bool is_complete() const { return left_.load(std::memory_order_relaxed) <= 0; }
  void check() const {
    for (const auto& times : taken_) ASSERT_EQ(times, 1);
  }

 private:
  std::vector<std::atomic<int>> taken_;
  unsigned each_;
  std::atomic<std::int64_t> left_{static_cast<std::int64_t>(taken_.size())};
};

class lockfree_queue_stress : public testing::TestWithParam<unsigned> {};

// `threads` producers and as many consumers, one by one and in batches.
// push(i, first, count) puts some of producer i's elements and returns how many; pop(i, out, most)
// takes some for consumer i.
template <class Push, class Pop>
void all_come_out_once(unsigned threads, Push push, Pop pop) {
  const heddle_test::watchdog dog;
  const unsigned each = 40'000 / threads;
  ledger all(threads, each);
  heddle_test::run_together(2 * threads, [&](unsigned i) {
    heddle::prim::random dice(heddle::prim::next_seed());
    element batch[16];
    if (i < threads) {
      for (unsigned put = 0; put < each;) {
        const std::size_t count = std::min(dice.below(16) + 1, each - put);
        for (unsigned k = 0; k < count; ++k) {
          batch[k] = std::make_unique<std::uint64_t>(number_of(i, put + k));
        }
        for (std::size_t done = 0; done < count;) {
          const std::size_t now = push(i, batch + done, count - done);
          done += now;
          if (now == 0) std::this_thread::yield();
        }
        put += static_cast<unsigned>(count);
      }
      return;
    }
    ledger::reader self(threads);
    while (!all.is_complete()) {
      const std::size_t count = pop(i - threads, batch, dice.below(16) + 1);
      for (std::size_t k = 0; k < count; ++k) all.take(self, batch[k]);
      if (count == 0) std::this_thread::yield();
    }
  });
  all.check();
}

template <class Ring>
void through_a_ring(Ring& ring, unsigned threads) {
  all_come_out_once(
      threads,
      [&](unsigned, element* first, std::size_t count) -> std::size_t {
        if (count > 1) return ring.push_n(std::move_iterator(first), count);
        return ring.try_push(std::move(*first)) ? 1 : 0;
      },
      [&](unsigned, element* out, std::size_t most) -> std::size_t {
        if (most > 1) return ring.pop_n(out, most);
        return ring.try_pop(*out) ? 1 : 0;
      });
  EXPECT_TRUE(ring.empty());
}

TEST(spsc_ring_stress, all_come_out_once) {
  for (const std::size_t capacity : {1U, 3U, 64U}) {
    heddle::spsc_ring<element> ring(capacity);
    through_a_ring(ring, 1);
  }
}

TEST_P(lockfree_queue_stress, mpmc_ring) {
  for (const std::size_t capacity : {1U, 4U, 256U}) {
    heddle::mpmc_ring<element> ring(capacity);
    through_a_ring(ring, GetParam());
  }
}

// Threads without tokens.
template <class Queue>
void through_a_queue(Queue& queue, unsigned threads) {
  all_come_out_once(
      threads,
      [&](unsigned, element* first, std::size_t count) {
        if (count > 1) {
          queue.push_n(std::move_iterator(first), count);
        } else {
          queue.push(std::move(*first));
        }
        return count;
      },
      [&](unsigned, element* out, std::size_t most) -> std::size_t {
        if (most > 1) return queue.pop_n(out, most);
        return queue.try_pop(*out) ? 1 : 0;
      });
  EXPECT_TRUE(queue.empty());
}

TEST_P(lockfree_queue_stress, mpmc_queue_by_threads) {
  heddle::mpmc_queue<element> queue;
  for (int round = 0; round < 2; ++round) through_a_queue(queue, GetParam());
}

TEST_P(lockfree_queue_stress, mpmc_queue_by_producers_and_consumers) {
  using queue_type = heddle::mpmc_queue<element>;
  queue_type queue;
  std::vector<std::unique_ptr<queue_type::producer>> producers;
  std::vector<std::unique_ptr<queue_type::consumer>> consumers;
  for (unsigned i = 0; i < GetParam(); ++i) {
    producers.push_back(std::make_unique<queue_type::producer>(queue));
    consumers.push_back(std::make_unique<queue_type::consumer>(queue));
  }
  all_come_out_once(
      GetParam(),
      [&](unsigned i, element* first, std::size_t count) {
        producers[i]->push_n(std::move_iterator(first), count);
        return count;
      },
      [&](unsigned i, element* out, std::size_t most) { return consumers[i]->pop_n(out, most); });
  EXPECT_TRUE(queue.empty());
}

TEST_P(lockfree_queue_stress, linearizable_queue) {
  heddle::linearizable_queue<element> queue;
  for (int round = 0; round < 2; ++round) through_a_queue(queue, GetParam());
}

// Nearly empty all the time: pops run into pushes, blocks are reclaimed behind the last of them.
TEST_P(lockfree_queue_stress, queues_that_are_nearly_empty) {
  const heddle_test::watchdog dog;
  heddle::mpmc_queue<element> one;
  heddle::linearizable_queue<element> other;
  const unsigned each = 60'000 / GetParam();
  std::atomic<std::uint64_t> out{0};
  heddle_test::run_together(GetParam(), [&](unsigned) {
    std::uint64_t mine = 0;
    for (unsigned i = 0; i < each; ++i) {
      one.push(std::make_unique<std::uint64_t>(1));
      other.push(std::make_unique<std::uint64_t>(1));
      if (const auto e = one.try_pop()) mine += **e;
      if (const auto e = other.try_pop()) mine += **e;
    }
    out += mine;
  });
  while (const auto e = one.try_pop()) out += **e;
  while (const auto e = other.try_pop()) out += **e;
  EXPECT_EQ(out, std::uint64_t{2} * each * GetParam());
}

INSTANTIATE_TEST_SUITE_P(threads, lockfree_queue_stress,
                         testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
