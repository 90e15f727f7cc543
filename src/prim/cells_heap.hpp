// One thread's supply of recycled cells. How it works, and why nothing is lost or handed out twice:
// docs/protocols/cells.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <heddle/prim/cell.hpp>
#include <heddle/prim/cells.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/hand_back.hpp>
#include <heddle/prim/inlined_cells.hpp>
#include <heddle/prim/thread_local.hpp>

namespace heddle::inline HEDDLE_ABI::prim::detail {

inline constexpr std::size_t slab_bytes = std::size_t{1} << 21;
inline constexpr std::size_t cell_sizes = largest_cell / cell_unit;

class cell_heap;

// The line of a cell may lie with the thread that freed it; whoever gets the cell will write it.
inline void prefetch_for_write(void* line) noexcept {
#if defined(__x86_64__)
  // Any 64-bit processor knows the instruction, or skips it; compilers for all of them do not use
  // it.
  asm volatile("prefetchw (%0)" : : "r"(line));
#else
  __builtin_prefetch(line, 1);
#endif
}

// Free cells of one slab, noted down in the first of them: the others are not touched, so that
// their lines need not travel to be freed, nor be read to be handed out.
struct cell_bundle {
  static constexpr unsigned most_fellows = 27;

  unsigned cells() const noexcept { return 1U + fellows; }

  cell<cell_bundle*> next;
  std::uint16_t fellows = 0;
  std::uint16_t places[most_fellows];  // in units, counted from the slab's beginning
};
static_assert(sizeof(cell_bundle) == cell_unit);

// A piece of memory cut into cells of one size, aligned to its own length: a cell's address leads
// to its slab.
struct cell_slab {
  explicit cell_slab(cell_heap& heap) noexcept : owner(&heap) {}

  static cell_slab& of(void* cell) noexcept {
    auto* const inside = static_cast<std::byte*>(cell);
    return *reinterpret_cast<cell_slab*>(inside -
                                         reinterpret_cast<std::uintptr_t>(cell) % slab_bytes);
  }
  static std::uint16_t place(void* cell) noexcept {
    return static_cast<std::uint16_t>(reinterpret_cast<std::uintptr_t>(cell) % slab_bytes /
                                      cell_unit);
  }
  void* at_place(std::uint16_t place) noexcept {
    return reinterpret_cast<std::byte*>(this) + place * cell_unit;
  }

  cell_heap* const owner;  // read by whoever frees a cell, on a line that nobody writes

  // The rest is the owner's alone.
  alignas(cell_unit) cell_slab* previous = nullptr;
  cell_slab* next = nullptr;
  cell_bundle* bundles = nullptr;
  unsigned free_cells = 0;  // in the bundles
  unsigned carved = 0;      // have been handed out at least once
  unsigned size = 0;        // of a cell, in units, less one
};

inline constexpr std::size_t slab_header = sizeof(cell_slab);
static_assert(slab_header % cell_unit == 0);

constexpr unsigned cells_in_slab(std::size_t size) noexcept {
  return static_cast<unsigned>((slab_bytes - slab_header) / ((size + 1) * cell_unit));
}

class slab_list {
 public:
  cell_slab* front() const noexcept { return front_; }
  inline void push_front(cell_slab& s) noexcept;
  inline void remove(cell_slab& s) noexcept;

 private:
  cell_slab* front_ = nullptr;
};

// A thread's cells of one size.
struct alignas(cell_unit) cell_shelf {
  static constexpr unsigned pads = 8;  // how far ahead lines are asked for
  static constexpr unsigned most_ready = 84;

  void* pop_ready() noexcept {
    void** const top = &ready[pads + --count];
    prefetch_for_write(*(top - pads));
    return *top;
  }
  void push_ready(void* cell) noexcept { ready[pads + count++] = cell; }

  unsigned count = 0;
  unsigned turns = 0;            // of refilling since `taken` came
  cell_bundle* taken = nullptr;  // came back, and not yet looked at
  cell_slab* carving = nullptr;  // where cells are handed out for the first time
  slab_list empty;               // slabs without bundles
  slab_list partial;             // slabs with bundles
  std::array<void*, pads + most_ready> ready{};

  alignas(cell_unit) returned_stack<cell_bundle> returned;
};

inline void slab_list::push_front(cell_slab& s) noexcept {
  s.previous = nullptr;
  s.next = front_;
  if (front_ != nullptr) front_->previous = &s;
  front_ = &s;
}

inline void slab_list::remove(cell_slab& s) noexcept {
  (s.previous != nullptr ? s.previous->next : front_) = s.next;
  if (s.next != nullptr) s.next->previous = s.previous;
}

// Belongs to one thread at a time, which alone calls its functions; others leave bundles of its
// cells with it. Never destroyed: when the thread has ended, another one takes the heap over.
class cell_heap final : public thread_exit_hook {
 public:
  // A heap that nobody has, or a new one, as the calling thread's. Throws std::bad_alloc.
  static cell_heap& claim(thread_exit_hook::function at_end);
  // For the next one to claim. What is ready stays ready.
  void give_up() noexcept { claimed_.give_up(); }
  // The same, for a thread that ends: as much as possible is put in order.
  void retire() noexcept;

  void* pop(std::size_t size) {
    shelf& s = shelves_[size];
    if (s.count == 0) [[unlikely]]
      return refill(size);
    return s.pop_ready();
  }

  void push(std::size_t size, void* cell) noexcept {
    shelf& s = shelves_[size];
    if (s.count == most_ready) [[unlikely]]
      return push_full(size, cell);
    s.push_ready(cell);
  }

  // Of the thread that has claimed the heap to keep it: what its inlined ways put there is the
  // heap's to give back, too.
  void take_lists(cell_list* lists) noexcept;

  // Frees a cell for a thread that has no heap.
  static void return_one(std::size_t size, void* cell) noexcept;
  // Gives other heaps their cells back.
  void flush() noexcept;

  static cell_statistics statistics() noexcept;

 private:
  static constexpr unsigned pads = cell_shelf::pads;
  static constexpr unsigned bundle_cells = 1 + cell_bundle::most_fellows;
  static constexpr unsigned most_ready = cell_shelf::most_ready;
  static_assert(most_ready == 3 * bundle_cells);
  static constexpr unsigned spilled = 2 * bundle_cells;
  static constexpr unsigned enough_ready = bundle_cells / 2;

  using shelf = cell_shelf;

  explicit cell_heap(thread_exit_hook::function at_end) noexcept;
  void tidy_up() noexcept;

  void* refill(std::size_t size);
  void push_full(std::size_t size, void* cell) noexcept;

  cell_bundle* next_returned(shelf& s) noexcept;
  cell_bundle* next_put_away(shelf& s) noexcept;
  void open(shelf& s, cell_bundle* b) noexcept;
  void carve(shelf& s, std::size_t size);
  cell_slab& fresh_slab(std::size_t size);

  void shelve_list(std::size_t size, bool own_too) noexcept;
  void spill_all() noexcept;
  void spill(shelf& s, unsigned n) noexcept;
  void put_away(cell_bundle* b) noexcept;
  void set_free(cell_slab& s) noexcept;
  void absorb(shelf& s, unsigned bundles) noexcept;
  void receive(std::size_t size, cell_bundle* first, cell_bundle* last) noexcept;  // any thread

  unsigned epoch_events() const noexcept;
  void tick(unsigned events) noexcept;
  void end_epoch() noexcept;
  void let_go(unsigned slabs) noexcept;

  std::array<shelf, cell_sizes> shelves_;
  cell_list* lists_ = nullptr;  // of the first sizes

  slab_list free_;  // slabs of no size
  unsigned free_count_ = 0;
  unsigned least_free_ = 0;  // in this epoch
  unsigned slabs_ = 0;
  unsigned events_ = 0;  // in this epoch

  cell_heap* next_ = nullptr;  // of all heaps
  ownership claimed_{true};
};

}  // namespace heddle::inline HEDDLE_ABI::prim::detail
