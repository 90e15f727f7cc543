// Cells against the allocator of the C library: on one thread, between two, and when memory is
// touched for the first time. To see ratios, run all rows at once, interleaved:
//   cells_bench --benchmark_enable_random_interleaving --benchmark_repetitions=15
//               --benchmark_report_aggregates_only
#include <heddle/prim/cells.hpp>

#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

namespace {

constexpr std::size_t bytes = 64;

struct cells {
  static void* allocate() { return heddle::prim::allocate_cell(bytes, 8); }
  static void free(void* p) { heddle::prim::deallocate_cell(p, bytes, 8); }
};

struct c_library {
  static void* allocate() { return std::malloc(bytes); }
  static void free(void* p) { std::free(p); }
};

struct operator_new {
  static void* allocate() { return ::operator new(bytes); }
  static void free(void* p) { ::operator delete(p, bytes); }
};

// What the hand-over itself costs: always the same few lines of memory.
struct nothing {
  static void* allocate() { return memory[++last % 64]; }
  static void free(void*) {}
  static inline unsigned last = 0;
  alignas(64) static inline unsigned char memory[64][bytes];
};

// What a task does to its cell: its maker writes it, its runner reads it.
void write(void* cell) {
  auto* const words = static_cast<unsigned long*>(cell);
  for (int i = 0; i < 4; ++i) benchmark::DoNotOptimize(words[i] = 1);
}
void read(void* cell) {
  auto* const words = static_cast<unsigned long*>(cell);
  for (int i = 0; i < 4; ++i) benchmark::DoNotOptimize(words[i]);
}

void keep_the_c_library_honest() {
  // With a single thread it leaves its atomics out.
  static std::thread other([] {
    while (true) std::this_thread::sleep_for(std::chrono::hours(1));
  });
  if (other.joinable()) other.detach();
}

// So many cells are taken, then given back in the same order.
template <class Allocator>
void same_thread(benchmark::State& state) {
  keep_the_c_library_honest();
  std::vector<void*> taken(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    for (void*& p : taken) write(p = Allocator::allocate());
    for (void* p : taken) Allocator::free(p);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// One thread allocates, the other frees; at most so many cells are on the way.
template <class Allocator>
void producer_and_consumer(benchmark::State& state) {
  struct alignas(128) position {
    std::atomic<std::size_t> value{0};
  };
  const auto capacity = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t told_each = 16;
  std::vector<void*> ring(capacity);
  position made;
  position freed;
  std::atomic<bool> over{false};
  std::thread consumer([&] {
    std::size_t at = 0;
    for (;;) {
      const std::size_t end = made.value.load(std::memory_order_acquire);
      if (at == end) {
        if (over) break;
        std::this_thread::yield();
        continue;
      }
      while (at != end) {
        void* const p = ring[at++ % capacity];
        read(p);
        Allocator::free(p);
        if (at % told_each == 0) freed.value.store(at, std::memory_order_release);
      }
      freed.value.store(at, std::memory_order_release);
    }
  });
  std::size_t at = 0;
  std::size_t known_free = 0;
  for (auto _ : state) {
    while (at - known_free >= capacity) {
      made.value.store(at, std::memory_order_release);
      known_free = freed.value.load(std::memory_order_acquire);
      if (at - known_free >= capacity) std::this_thread::yield();
    }
    void* const p = Allocator::allocate();
    write(p);
    ring[at++ % capacity] = p;
    if (at % told_each == 0) made.value.store(at, std::memory_order_release);
  }
  made.value.store(at, std::memory_order_release);
  over = true;
  consumer.join();
  state.SetItemsProcessed(state.iterations());
}

// Memory that nobody has touched: cells taken and not given back until the end.
template <class Allocator>
void first_touch(benchmark::State& state) {
  std::vector<void*> taken(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    for (void*& p : taken) write(p = Allocator::allocate());
  }
  for (void* p : taken) Allocator::free(p);
  // All free memory goes, so that the next run touches new pages.
  for (int i = 0; i < 5'000; ++i) heddle::prim::flush_cells();
  malloc_trim(0);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(same_thread<cells>)->Arg(1)->Arg(50)->Arg(1'000)->Arg(100'000);
BENCHMARK(same_thread<c_library>)->Arg(1)->Arg(50)->Arg(1'000)->Arg(100'000);
BENCHMARK(same_thread<operator_new>)->Arg(1)->Arg(50)->Arg(1'000)->Arg(100'000);

BENCHMARK(producer_and_consumer<nothing>)->Arg(256)->Arg(4'096)->Arg(65'536)->UseRealTime();
BENCHMARK(producer_and_consumer<cells>)->Arg(256)->Arg(4'096)->Arg(65'536)->UseRealTime();
BENCHMARK(producer_and_consumer<c_library>)->Arg(256)->Arg(4'096)->Arg(65'536)->UseRealTime();
BENCHMARK(producer_and_consumer<operator_new>)->Arg(256)->Arg(4'096)->Arg(65'536)->UseRealTime();

BENCHMARK(first_touch<cells>)->Arg(10'000)->Arg(1'000'000)->Arg(10'000'000)->Iterations(1);
BENCHMARK(first_touch<c_library>)->Arg(10'000)->Arg(1'000'000)->Arg(10'000'000)->Iterations(1);

}  // namespace
