#include <heddle/prim/cells.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <heddle/prim/thread_local.hpp>

#include "support/failing_new.hpp"
#include "support/threads.hpp"

// Where each cell is an allocation of its own there is nothing that could be kept or let go.
#define SKIP_UNLESS_CELLS_ARE_RECYCLED() \
  if (HEDDLE_ASAN) GTEST_SKIP() << "under AddressSanitizer cells are not recycled"

namespace {

using heddle::prim::allocate_cell;
using heddle::prim::deallocate_cell;
using heddle::prim::flush_cells;
using heddle::prim::largest_cell;
using heddle::prim::detail::read_cell_statistics;

constexpr std::size_t slab_bytes = std::size_t{1} << 21;
constexpr std::size_t cells_in_slab = slab_bytes / 64 - 2;

// A cell full of a number of its own, so that a cell handed out twice shows.
class owned_cell {
 public:
  explicit owned_cell(std::size_t bytes, std::size_t alignment = 8)
      : bytes_(bytes), alignment_(alignment), memory_(allocate_cell(bytes, alignment)) {
    std::memset(memory_, mark(), bytes_);
  }
  owned_cell(owned_cell&& other) noexcept
      : bytes_(other.bytes_),
        alignment_(other.alignment_),
        memory_(std::exchange(other.memory_, nullptr)) {}
  owned_cell& operator=(owned_cell&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(alignment_, other.alignment_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~owned_cell() {
    if (memory_ == nullptr) return;
    EXPECT_TRUE(intact());
    deallocate_cell(memory_, bytes_, alignment_);
  }
  bool intact() const {
    const auto* const all = static_cast<const unsigned char*>(memory_);
    return std::all_of(all, all + bytes_, [this](unsigned char c) { return c == mark(); });
  }
  void* address() const { return memory_; }

 private:
  unsigned char mark() const {
    return static_cast<unsigned char>(reinterpret_cast<std::uintptr_t>(memory_) / 64 * 37);
  }

  std::size_t bytes_;
  std::size_t alignment_;
  void* memory_;
};

std::vector<owned_cell> many(std::size_t n, std::size_t bytes = 64) {
  std::vector<owned_cell> cells;
  cells.reserve(n);
  for (std::size_t i = 0; i < n; ++i) cells.emplace_back(bytes);
  return cells;
}

// As many cells as fill `slabs` slabs come and go, a few at a time.
void pass_time(std::size_t slabs) {
  constexpr std::size_t at_once = 1000;
  std::vector<void*> cells(at_once);
  for (std::size_t n = 0; n < slabs * cells_in_slab; n += at_once) {
    for (void*& c : cells) c = allocate_cell(64, 8);
    for (void* c : cells) deallocate_cell(c, 64, 8);
  }
}

// Gives the calling thread a heap and lets its free slabs go, so that those of a test can be
// counted.
void settle_down() {
  many(1);
  for (int i = 0; i < 5'000; ++i) flush_cells();
}

TEST(cells, of_every_size_are_aligned_and_apart) {
  std::vector<owned_cell> cells;
  std::set<void*> addresses;
  for (int round = 0; round < 100; ++round) {
    for (std::size_t bytes = 1; bytes <= largest_cell + 64; bytes += 7) {
      const owned_cell& c = cells.emplace_back(bytes);
      if (bytes <= largest_cell && !HEDDLE_ASAN) {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(c.address()) % 64, 0U) << bytes;
      }
      EXPECT_TRUE(addresses.insert(c.address()).second);
    }
  }
  for (const owned_cell& c : cells) ASSERT_TRUE(c.intact());
}

TEST(cells, are_aligned_as_asked) {
  for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
    for (const std::size_t bytes : {1U, 64U, 100U, 256U, 300U}) {
      const owned_cell c(bytes, alignment);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(c.address()) % alignment, 0U)
          << bytes << " bytes aligned to " << alignment;
    }
  }
}

TEST(cells, of_no_bytes_are_apart_too) {
  void* const a = allocate_cell(0, 1);
  void* const b = allocate_cell(0, 1);
  EXPECT_NE(a, b);
  deallocate_cell(a, 0, 1);
  deallocate_cell(b, 0, 1);
}

TEST(cells, are_the_next_ones_to_ask_for) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  for (const std::size_t bytes : {64U, 128U, 192U, 256U}) {
    void* const first = allocate_cell(bytes, 8);
    deallocate_cell(first, bytes, 8);
    void* const second = allocate_cell(bytes - 63, 64);
    EXPECT_EQ(first, second);
    deallocate_cell(second, bytes - 63, 64);
  }
}

TEST(cells, keep_what_is_in_them_while_others_come_and_go) {
  std::mt19937 dice(7);
  std::vector<owned_cell> cells;
  for (int i = 0; i < 200'000; ++i) {
    if (cells.empty() || dice() % 16 < (i % 40'000 < 20'000 ? 9U : 7U)) {
      cells.emplace_back(1 + dice() % largest_cell);
    } else {
      const std::size_t at = dice() % cells.size();
      std::swap(cells[at], cells.back());
      cells.pop_back();
    }
  }
}

TEST(cells, can_be_freed_by_another_thread) {
  auto cells = many(100'000);
  std::thread([&] {
    cells.clear();
    flush_cells();
  }).join();
  cells = many(100'000);
  std::thread([&] { cells = many(100'000); }).join();
  cells.clear();
}

TEST(cells, freed_elsewhere_come_back_to_their_thread) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  many(100'000);
  const std::size_t before = read_cell_statistics().slabs;
  for (int round = 0; round < 20; ++round) {
    auto cells = many(100'000);
    std::thread([&] { cells.clear(); }).join();
  }
  EXPECT_LE(read_cell_statistics().slabs, before + 1);
}

TEST(cells, play_ping_pong) {
  const heddle_test::watchdog dog;
  constexpr int rounds = 2'000;
  std::atomic<int> turn{0};
  std::vector<owned_cell> table;
  heddle_test::run_together(2, [&](unsigned me) {
    for (int r = 0; r < rounds; ++r) {
      while (turn.load() != 2 * r + static_cast<int>(me)) std::this_thread::yield();
      table.clear();
      for (int i = 0; i < r % 150; ++i)
        table.emplace_back(64U + 64U * (static_cast<unsigned>(i) % 3));
      ++turn;
    }
  });
}

TEST(cells, outlive_their_thread) {
  std::vector<owned_cell> cells;
  std::thread([&] { cells = many(50'000); }).join();
  for (const owned_cell& c : cells) ASSERT_TRUE(c.intact());
  std::thread([&] { cells.clear(); }).join();
}

TEST(cells, of_ended_threads_are_used_by_later_ones) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  many(1);  // for this thread's own heap
  std::size_t slabs = 0;
  std::size_t heaps = 0;
  std::vector<owned_cell> cells;
  for (int round = 0; round < 50; ++round) {
    std::thread([&] { cells = many(50'000); }).join();
    cells.clear();
    flush_cells();
    if (round == 0) {
      slabs = read_cell_statistics().slabs;
      heaps = read_cell_statistics().heaps;
    }
  }
  EXPECT_EQ(read_cell_statistics().heaps, heaps);
  EXPECT_LE(read_cell_statistics().slabs, slabs + 1);
}

// The destructor of a thread_local, and a hook that runs when the thread's heap is gone.
TEST(cells, serve_a_thread_to_its_very_end) {
  struct late_hook : heddle::prim::thread_exit_hook {
    explicit late_hook(std::vector<owned_cell>& left) : thread_exit_hook(&run_late), cells(left) {}
    static void run_late(thread_exit_hook* hook) noexcept {
      auto* const self = static_cast<late_hook*>(hook);
      self->cells.clear();  // those of the thread
      for (int i = 0; i < 300; ++i) self->cells.emplace_back(64U);
      self->ran = true;
    }
    std::vector<owned_cell>& cells;
    bool ran = false;
  };
  std::vector<owned_cell> cells;
  for (int round = 0; round < 20; ++round) {
    late_hook hook(cells);
    std::thread([&] {
      at_thread_exit(hook);  // before the first cell, so that it runs after the heap's own
      cells.clear();         // those of the hook before
      cells = many(300);
      struct farewell {
        std::vector<owned_cell> kept;
      };
      thread_local farewell f;
      f.kept = many(10);
    }).join();
    EXPECT_TRUE(hook.ran);
    for (const owned_cell& c : cells) ASSERT_TRUE(c.intact());
  }
}

TEST(cells, throw_when_memory_is_short_and_change_nothing) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  constexpr std::size_t bytes = 200;
  constexpr std::size_t in_slab = slab_bytes / 256 - 1;
  const long enough = HEDDLE_ASAN ? 10 : 3;
  for (long successes = 0; successes < enough; ++successes) {
    settle_down();
    std::vector<owned_cell> cells;
    cells.reserve(static_cast<std::size_t>(enough) * in_slab);
    const auto before = read_cell_statistics();
    {
      const heddle_test::failing_allocations limited(successes);
      EXPECT_THROW(for (;;) cells.emplace_back(bytes), std::bad_alloc);
      EXPECT_THROW(allocate_cell(bytes, 8), std::bad_alloc);
    }
    for (const owned_cell& c : cells) ASSERT_TRUE(c.intact());
    const auto made = static_cast<std::size_t>(successes);
    if (HEDDLE_ASAN) {
      EXPECT_EQ(cells.size(), made);
    } else {
      EXPECT_EQ(read_cell_statistics().slabs, before.slabs + made);
      EXPECT_GE(cells.size(), made * in_slab);
    }
    cells.emplace_back(bytes);
  }
}

TEST(cells, can_be_freed_by_a_thread_that_cannot_have_a_heap) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  auto cells = many(1'000);
  const auto heaps = static_cast<unsigned>(read_cell_statistics().heaps);
  // Each thread keeps its heap from the others, and this one has one: there are not enough.
  std::atomic<unsigned> done{0};
  heddle_test::run_together(heaps, [&](unsigned i) {
    {
      const heddle_test::failing_allocations none(0);
      const owned_cell freed(std::move(cells[i]));
    }
    ++done;
    while (done < heaps) std::this_thread::yield();
  });
  EXPECT_EQ(read_cell_statistics().heaps, heaps);
}

TEST(cells, take_no_memory_where_the_rate_is_steady) {
  SKIP_UNLESS_ALLOCATIONS_FAIL();
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  const heddle_test::watchdog dog;
  constexpr std::size_t in_flight = 1'000;
  constexpr long warm_up = 200'000;
  constexpr long cells = 1'000'000;
  std::vector<std::atomic<void*>> ring(in_flight);
  std::thread consumer([&] {
    for (long i = 0; i < warm_up + cells; ++i) {
      std::atomic<void*>& slot = ring[static_cast<std::size_t>(i) % in_flight];
      void* c = nullptr;
      while ((c = slot.exchange(nullptr)) == nullptr) std::this_thread::yield();
      deallocate_cell(c, 64, 8);
    }
  });
  const auto produce = [&](long n, long offset) {
    for (long i = 0; i < n; ++i) {
      std::atomic<void*>& slot = ring[static_cast<std::size_t>(i + offset) % in_flight];
      while (slot.load() != nullptr) std::this_thread::yield();
      slot = allocate_cell(64, 8);
    }
  };
  produce(warm_up, 0);
  const std::size_t slabs = read_cell_statistics().slabs;
  {
    const heddle_test::failing_allocations none(0);
    produce(cells, warm_up);
  }
  consumer.join();
  EXPECT_LE(read_cell_statistics().slabs, slabs);
}

TEST(cells, of_a_burst_are_let_go_step_by_step) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  settle_down();
  const std::size_t before = read_cell_statistics().slabs;
  many(20 * cells_in_slab);
  const std::size_t peak = read_cell_statistics().slabs;
  EXPECT_GE(peak, before + 19);
  // Kept, for the burst may come again.
  pass_time(2);
  EXPECT_EQ(read_cell_statistics().slabs, peak);
  std::size_t last = peak;
  int steps = 0;
  for (int i = 0; i < 1000 && read_cell_statistics().slabs > before + 1; ++i) {
    pass_time(1);
    const std::size_t now = read_cell_statistics().slabs;
    EXPECT_LE(now, last);
    if (now < last) ++steps;
    last = now;
  }
  EXPECT_LE(last, before + 1);
  EXPECT_GE(steps, 3);
}

TEST(cells, of_a_burst_that_comes_again_and_again_are_kept) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  settle_down();
  many(10 * cells_in_slab);
  const std::size_t peak = read_cell_statistics().slabs;
  for (int i = 0; i < 10; ++i) many(10 * cells_in_slab);
  EXPECT_EQ(read_cell_statistics().slabs, peak);
}

TEST(cells, of_a_burst_freed_elsewhere_in_any_order_are_let_go) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  const heddle_test::watchdog dog;
  settle_down();
  const std::size_t before = read_cell_statistics().slabs;
  auto cells = many(10 * cells_in_slab, 50);
  EXPECT_GE(read_cell_statistics().slabs, before + 9);
  std::atomic<bool> all_freed{false};
  std::atomic<bool> over{false};
  std::thread other([&] {
    std::shuffle(cells.begin(), cells.end(), std::mt19937(5));
    cells.clear();
    flush_cells();  // the last few are of all slabs
    all_freed = true;
    while (!over) std::this_thread::yield();
  });
  while (!all_freed) std::this_thread::yield();
  for (int i = 0; i < 1000 && read_cell_statistics().slabs > before + 2; ++i) pass_time(1);
  EXPECT_LE(read_cell_statistics().slabs, before + 2);
  over = true;
  other.join();
}

TEST(cells, that_come_back_when_their_thread_has_ended_are_let_go) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  settle_down();
  const std::size_t before = read_cell_statistics().slabs;
  std::vector<owned_cell> cells;
  std::thread([&] { cells = many(10 * cells_in_slab); }).join();
  EXPECT_GE(read_cell_statistics().slabs, before + 9);
  cells.clear();
  flush_cells();
  EXPECT_LE(read_cell_statistics().slabs, before + 1);
}

TEST(cells, of_an_idle_thread_are_let_go_when_it_says_so) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  settle_down();
  const std::size_t before = read_cell_statistics().slabs;
  many(10 * cells_in_slab);
  EXPECT_GE(read_cell_statistics().slabs, before + 9);
  settle_down();
  EXPECT_LE(read_cell_statistics().slabs, before + 1);
}

TEST(cells, cost_one_percent_of_memory_at_most) {
  SKIP_UNLESS_CELLS_ARE_RECYCLED();
  const auto before = read_cell_statistics();
  constexpr std::size_t n = 1'000'000;
  std::vector<void*> cells;
  for (std::size_t i = 0; i < n; ++i) cells.push_back(allocate_cell(64, 8));
  const auto now = read_cell_statistics();
  const std::size_t fresh = now.slabs - before.slabs + before.free_slabs - now.free_slabs;
  EXPECT_LE((fresh - 1) * slab_bytes, n * 64 + n * 64 / 100);
  for (void* c : cells) deallocate_cell(c, 64, 8);
}

TEST(cells, go_on_in_a_forked_child) {
  auto mine = many(1'000);
  std::vector<owned_cell> others;
  std::atomic<bool> over{false};
  std::atomic<bool> made{false};
  std::thread other([&] {
    others = many(1'000);
    made = true;
    while (!over) many(100);  // in the middle of something when the fork comes
  });
  while (!made) std::this_thread::yield();
  for (int i = 0; i < 10; ++i) {
    const pid_t child = fork();
    ASSERT_NE(child, -1);
    if (child == 0) {
      mine.clear();
      others.clear();
      auto more = many(100'000);
      flush_cells();
      if (!HEDDLE_TSAN) {  // which allows no new thread here
        std::thread([&] { more.clear(); }).join();
        std::thread([&] { more = many(1'000); }).join();
      }
      more.clear();
      _exit(testing::Test::HasFailure() ? 1 : 0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  over = true;
  other.join();
}

}  // namespace
