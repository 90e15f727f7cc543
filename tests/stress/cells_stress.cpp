#include <heddle/prim/cells.hpp>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/seed.hpp>

#include "support/threads.hpp"

namespace {

using heddle::prim::allocate_cell;
using heddle::prim::deallocate_cell;
using heddle::prim::flush_cells;

// A cell that knows its size and is full of numbers made from its name. Of the smallest size, three
// words: all of the cell but for the part behind them.
struct message {
  static message* make(std::uint64_t name, std::size_t bytes) {
    auto* const m = ::new (allocate_cell(bytes, alignof(message))) message{name, bytes};
    for (std::size_t i = 0; i < m->words(); ++i) m->word(i) = m->name * (i + 3);
    return m;
  }
  // Its name; 0 when anybody else wrote to the cell.
  std::uint64_t consume() {
    std::uint64_t good = name;
    for (std::size_t i = 0; i < words(); ++i) {
      if (word(i) != name * (i + 3)) good = 0;
    }
    for (std::size_t i = 0; i < words(); ++i) word(i) = 0;
    deallocate_cell(this, bytes, alignof(message));
    return good;
  }
  std::size_t words() const { return (bytes - sizeof(message)) / sizeof(std::uint64_t); }
  std::uint64_t& word(std::size_t i) { return reinterpret_cast<std::uint64_t*>(this + 1)[i]; }

  std::uint64_t name;
  std::size_t bytes;
};

std::size_t any_size(heddle::prim::random& dice) {
  return sizeof(message) + sizeof(std::uint64_t) * (1 + dice.below(29));
}

// Each thread of a test that ended has left its heap in order; others may have brought cells back
// in that very moment. A thread that takes the heap over and ends puts those in order, too.
void tidy_all_heaps() {
  const auto heaps = static_cast<unsigned>(heddle::prim::detail::read_cell_statistics().heaps);
  heddle_test::run_together(heaps, [&](unsigned) { deallocate_cell(allocate_cell(64, 8), 64, 8); });
  for (int i = 0; i < 5'000; ++i) flush_cells();
}

void expect_everything_came_home() {
  tidy_all_heaps();
  const auto s = heddle::prim::detail::read_cell_statistics();
  // One free slab a heap, and of this thread one more for each size.
  EXPECT_LE(s.slabs, s.heaps + 4);
}

class cells_stress : public testing::TestWithParam<unsigned> {};

// Messages wander from thread to thread through slots; whoever finds one reads, frees or passes it
// on. The names that were freed add up to those that were made.
TEST_P(cells_stress, messages_between_all_threads_arrive_unharmed) {
  const heddle_test::watchdog dog(std::chrono::seconds(250));
  const unsigned threads = GetParam();
  const int turns = (HEDDLE_TSAN ? 300'000 : 2'000'000) / static_cast<int>(threads);
  std::array<std::atomic<message*>, 1024> slots{};
  std::atomic<std::uint64_t> made{0};
  std::atomic<std::uint64_t> freed{0};
  std::atomic<std::uint64_t> damaged{0};
  const auto end = [&](message* m) {
    const std::uint64_t name = m->consume();
    if (name == 0) ++damaged;
    return name;
  };
  heddle_test::run_together(threads, [&](unsigned me) {
    heddle::prim::random dice(heddle::prim::next_seed());
    std::uint64_t made_here = 0;
    std::uint64_t freed_here = 0;
    for (int i = 0; i < turns; ++i) {
      const std::uint64_t name = (std::uint64_t{me} << 40) + static_cast<std::uint64_t>(i) + 1;
      made_here += name;
      auto& slot = slots[dice.below(1024)];
      if (message* const found = slot.exchange(message::make(name, any_size(dice)))) {
        freed_here += end(found);
      }
      if (dice.below(1'000) == 0) flush_cells();
    }
    made += made_here;
    freed += freed_here;
  });
  for (auto& slot : slots) {
    if (message* const left = slot.exchange(nullptr)) freed += end(left);
  }
  EXPECT_EQ(damaged, 0U);
  EXPECT_EQ(freed, made);
  expect_everything_came_home();
}

// Threads that end at once, with cells of theirs in the hands of others, whose cells they keep.
TEST_P(cells_stress, threads_come_and_go_with_cells_outstanding) {
  const heddle_test::watchdog dog(std::chrono::seconds(250));
  const int generations = HEDDLE_TSAN ? 30 : 200;
  std::array<std::atomic<message*>, 4096> slots{};
  std::atomic<std::uint64_t> made{0};
  std::atomic<std::uint64_t> freed{0};
  std::atomic<std::uint64_t> damaged{0};
  heddle_test::run_together(GetParam(), [&](unsigned) {
    for (int g = 0; g < generations; ++g) {
      std::thread([&] {
        heddle::prim::random dice(heddle::prim::next_seed());
        const std::uint32_t turns = dice.below(3'000);
        for (std::uint32_t i = 0; i < turns; ++i) {
          const std::uint64_t name = 1 + (std::uint64_t{dice.next()} << 8);
          made += name;
          // A run of neighbours from one thread, so that bundles are full as well as nearly empty.
          auto& slot = slots[(i + (turns << 4)) % 4096];
          message* const found = slot.exchange(message::make(name, 24 + 64 * (turns % 4)));
          if (found == nullptr) continue;
          const std::uint64_t was = found->consume();
          freed += was;
          if (was == 0) ++damaged;
        }
      }).join();
    }
  });
  for (auto& slot : slots) {
    if (message* const left = slot.exchange(nullptr)) freed += left->consume();
  }
  EXPECT_EQ(damaged, 0U);
  EXPECT_EQ(freed, made);
  expect_everything_came_home();
}

// Producers and consumers in pairs, in bursts: slabs fill up, become free and are let go while
// cells of others come back.
TEST_P(cells_stress, bursts_are_let_go_while_others_return) {
  const heddle_test::watchdog dog(std::chrono::seconds(250));
  const std::size_t burst = HEDDLE_TSAN ? 20'000 : 100'000;
  const int bursts = 10;
  std::atomic<std::uint64_t> damaged{0};
  const unsigned pairs = (GetParam() + 1) / 2;
  std::vector<std::atomic<std::vector<message*>*>> mail(pairs);
  heddle_test::run_together(2 * pairs, [&](unsigned me) {
    std::atomic<std::vector<message*>*>& box = mail[me / 2];
    heddle::prim::random dice(heddle::prim::next_seed());
    for (int b = 0; b < bursts; ++b) {
      if (me % 2 == 0) {
        auto* const sent = new std::vector<message*>;
        for (std::size_t i = 0; i < burst; ++i) {
          sent->push_back(message::make(i + 1, 64 * (1 + dice.below(2))));
        }
        while (box.load() != nullptr) std::this_thread::yield();
        box = sent;
      } else {
        std::vector<message*>* received = nullptr;
        while ((received = box.exchange(nullptr)) == nullptr) std::this_thread::yield();
        for (std::size_t left = received->size(); left > 0; --left) {
          // From all over the slabs.
          std::swap((*received)[dice.below(static_cast<std::uint32_t>(left))],
                    (*received)[left - 1]);
          if ((*received)[left - 1]->consume() == 0) ++damaged;
        }
        delete received;
        flush_cells();
      }
    }
  });
  EXPECT_EQ(damaged, 0U);
  expect_everything_came_home();
}

INSTANTIATE_TEST_SUITE_P(threads, cells_stress, testing::ValuesIn(heddle_test::thread_counts()));

}  // namespace
