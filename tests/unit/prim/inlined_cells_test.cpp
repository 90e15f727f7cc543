#include <heddle/prim/inlined_cells.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/cells.hpp>

#define SKIP_UNLESS_CELLS_ARE_RECYCLED() \
  if (HEDDLE_ASAN) GTEST_SKIP() << "under AddressSanitizer cells are not recycled"

namespace {

using heddle::prim::allocate_cell;
using heddle::prim::allocate_cell_inline;
using heddle::prim::deallocate_cell;
using heddle::prim::deallocate_cell_inline;
using heddle::prim::flush_cells;
using heddle::prim::detail::most_listed;
using heddle::prim::detail::read_cell_statistics;

constexpr std::size_t alignment = 8;
constexpr std::size_t bytes_of_a_cell = 192;
constexpr std::size_t cells_of_ten_slabs = 10 * (std::size_t{1} << 21) / bytes_of_a_cell;

std::vector<void*> taken(std::size_t n) {
  std::vector<void*> cells(n);
  for (void*& c : cells) c = allocate_cell_inline(bytes_of_a_cell, alignment);
  return cells;
}

void give_back(const std::vector<void*>& cells) {
  for (void* const c : cells) deallocate_cell_inline(c, bytes_of_a_cell, alignment);
}

std::vector<void*> shuffled(std::vector<void*> cells) {
  std::shuffle(cells.begin(), cells.end(), std::mt19937(11));
  return cells;
}

void let_free_slabs_go() {
  deallocate_cell(allocate_cell(64, 8), 64, 8);
  for (int i = 0; i < 5'000; ++i) flush_cells();
}

TEST(inlined_cells, are_the_next_ones_to_ask_for) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  let_free_slabs_go();
  for (const std::size_t bytes : {64U, 128U, 512U, 576U, 1024U}) {
    void* const first = allocate_cell_inline(bytes, alignment);
    void* const second = allocate_cell_inline(bytes, alignment);
    deallocate_cell_inline(second, bytes, alignment);
    deallocate_cell_inline(first, bytes, alignment);
    EXPECT_EQ(allocate_cell_inline(bytes - 63, 64), first);
    EXPECT_EQ(allocate_cell_inline(bytes, alignment), second);
    deallocate_cell_inline(first, bytes, alignment);
    deallocate_cell_inline(second, bytes, alignment);
  }
}

// One and the same cell may come and go by both ways. Nobody gets one that another has.
TEST(inlined_cells, are_handed_out_once) {
  struct owned {
    std::size_t bytes;
    unsigned char* at;
    unsigned char mark;
  };
  const auto play = [](unsigned seed) {
    std::mt19937 dice(seed);
    std::vector<owned> cells;
    for (int i = 0; i < 100'000; ++i) {
      if (cells.empty() || dice() % 16 < (i % 20'000 < 10'000 ? 9U : 7U)) {
        const std::size_t bytes = 1 + dice() % 1200;
        void* const cell = dice() % 2 == 0 ? allocate_cell_inline(bytes, alignment)
                                           : allocate_cell(bytes, alignment);
        const auto mark = static_cast<unsigned char>(dice());
        std::memset(cell, mark, bytes);
        cells.push_back({bytes, static_cast<unsigned char*>(cell), mark});
      } else {
        std::swap(cells[dice() % cells.size()], cells.back());
        const owned last = cells.back();
        cells.pop_back();
        EXPECT_EQ(last.at[0], last.mark);
        EXPECT_EQ(last.at[last.bytes - 1], last.mark);
        if (dice() % 2 == 0) {
          deallocate_cell_inline(last.at, last.bytes, alignment);
        } else {
          deallocate_cell(last.at, last.bytes, alignment);
        }
      }
    }
    for (const owned& o : cells) deallocate_cell_inline(o.at, o.bytes, alignment);
  };
  std::thread other(play, 1);
  play(2);
  other.join();
}

TEST(inlined_cells, of_an_idle_thread_are_let_go_when_it_says_so) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  let_free_slabs_go();
  const std::size_t before = read_cell_statistics().slabs;
  give_back(shuffled(taken(cells_of_ten_slabs)));
  EXPECT_GE(read_cell_statistics().slabs, before + 9);
  let_free_slabs_go();
  EXPECT_LE(read_cell_statistics().slabs, before + 1);
}

// Those that are still listed there lie in as many slabs as may be.
TEST(inlined_cells, freed_elsewhere_come_back_when_that_thread_says_so) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  let_free_slabs_go();
  const std::size_t before = read_cell_statistics().slabs;
  const auto cells = shuffled(taken(cells_of_ten_slabs));
  std::atomic<bool> freed{false};
  std::atomic<bool> end{false};
  std::thread other([&] {
    give_back(cells);
    flush_cells();
    freed = true;
    freed.notify_one();
    end.wait(false);
  });
  freed.wait(false);
  let_free_slabs_go();
  EXPECT_LE(read_cell_statistics().slabs, before + 2);  // the other thread has one, too
  end = true;
  end.notify_one();
  other.join();
}

TEST(inlined_cells, freed_by_a_thread_that_ends_come_back) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  let_free_slabs_go();
  const std::size_t before = read_cell_statistics().slabs;
  const auto cells = shuffled(taken(cells_of_ten_slabs));
  std::thread([&] { give_back(cells); }).join();
  let_free_slabs_go();
  EXPECT_LE(read_cell_statistics().slabs, before + 1);
}

// Beyond the room in the list they are kept as all cells are.
TEST(inlined_cells, of_a_burst_are_used_again) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  let_free_slabs_go();
  give_back(taken(4 * most_listed));
  const std::size_t before = read_cell_statistics().slabs;
  for (int i = 0; i < 1'000; ++i) give_back(taken(4 * most_listed));
  EXPECT_EQ(read_cell_statistics().slabs, before);
}

}  // namespace
