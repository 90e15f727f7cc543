#include <heddle/prim/config.hpp>

#if !HEDDLE_MODEL && !HEDDLE_ASAN

#include "prim/cells_heap.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <utility>

#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>

namespace heddle::inline HEDDLE_ABI::prim::detail {
namespace {

// All heaps, newest first; none ever leaves.
constinit atomic<cell_heap*> all_heaps{nullptr};

constinit atomic<std::size_t> heaps_held{0};
constinit atomic<std::size_t> slabs_held{0};
constinit atomic<std::size_t> slabs_free{0};

// Bundles that wait so many turns to be looked at are more than the thread uses up.
constexpr unsigned turns_until_absorbed = 64;
constexpr unsigned absorbed_a_turn = 4;
constexpr unsigned absorbed_an_epoch = 1024;

// An epoch is over when cells enough to fill all slabs have come and gone twice: what is needed
// again and again is needed within it.
constexpr unsigned epoch_events_per_slab = 2048;
constexpr unsigned flushes_per_epoch = 64;

constexpr unsigned kept_without_thread = 1;  // of free slabs

constexpr unsigned everything = ~0U;

}  // namespace

cell_heap::cell_heap(thread_exit_hook::function at_end) noexcept : thread_exit_hook(at_end) {
  for (shelf& s : shelves_) std::fill_n(s.ready.begin(), pads, this);
}

cell_heap& cell_heap::claim(thread_exit_hook::function at_end) {
  for (cell_heap* h = all_heaps.load(acquire); h != nullptr; h = h->next_) {
    if (h->claimed_.try_take()) return *h;
  }
  auto* const h = ::new (allocate(sizeof(cell_heap), alignof(cell_heap))) cell_heap(at_end);
  h->next_ = all_heaps.load(relaxed);
  while (!all_heaps.compare_exchange_weak(h->next_, h, release, relaxed)) {
  }
  heaps_held.fetch_add(1, relaxed);
  return *h;
}

void cell_heap::take_lists(cell_list* lists) noexcept {
  lists_ = lists;
  for (std::size_t size = 0; size < listed_sizes; ++size) lists_[size].room = most_listed;
}

void cell_heap::retire() noexcept {
  spill_all();
  for (std::size_t size = 0; size < listed_sizes; ++size) lists_[size].room = 0;
  lists_ = nullptr;
  tidy_up();
  give_up();
}

void cell_heap::tidy_up() noexcept {
  for (shelf& s : shelves_) {
    absorb(s, everything);
    if (s.carving != nullptr && s.carving->carved == 0) {
      s.empty.remove(*s.carving);
      set_free(*std::exchange(s.carving, nullptr));
    }
  }
  let_go(free_count_ - std::min(free_count_, kept_without_thread));
  least_free_ = events_ = 0;
}

// Handing out.

void* cell_heap::refill(std::size_t size) {
  shelf& s = shelves_[size];
  tick(1);
  do {
    cell_bundle* b = next_returned(s);
    if (b == nullptr) b = next_put_away(s);
    if (b == nullptr) break;
    open(s, b);
  } while (s.count < enough_ready);
  if (s.count == 0) carve(s, size);
  return s.pop_ready();
}

// One of the bundles that other threads have left, the newest first: its lines are the warmest.
cell_bundle* cell_heap::next_returned(shelf& s) noexcept {
  if (s.taken == nullptr) {
    if (s.returned.empty()) return nullptr;
    s.taken = s.returned.take();
    s.turns = 0;
  } else if (++s.turns > turns_until_absorbed) {
    absorb(s, absorbed_a_turn);
    if (s.taken == nullptr) return nullptr;
  }
  cell_bundle* const b = std::exchange(s.taken, s.taken->next.get());
  __builtin_prefetch(s.taken);
  return b;
}

cell_bundle* cell_heap::next_put_away(shelf& s) noexcept {
  cell_slab* const from = s.partial.front();
  if (from == nullptr) return nullptr;
  cell_bundle* const b = std::exchange(from->bundles, from->bundles->next.get());
  from->free_cells -= b->cells();
  if (from->bundles == nullptr) {
    s.partial.remove(*from);
    s.empty.push_front(*from);
  }
  return b;
}

// Cells leave in the order in which they came, as a rule along the addresses.
void cell_heap::open(shelf& s, cell_bundle* b) noexcept {
  cell_slab& from = cell_slab::of(b);
  const unsigned cells = b->cells();
  s.count += cells;
  void** slot = &s.ready[pads + s.count];
  *--slot = b;
  for (unsigned i = 0; i + 1 < cells; ++i) *--slot = from.at_place(b->places[i]);
}

void cell_heap::carve(shelf& s, std::size_t size) {
  if (s.carving == nullptr || s.carving->carved == cells_in_slab(size)) {
    s.carving = &fresh_slab(size);
  }
  // Some may be ready by now: a new_handler frees what it can.
  const unsigned cells =
      std::min({spilled, most_ready - s.count, cells_in_slab(size) - s.carving->carved});
  const std::size_t bytes = (size + 1) * cell_unit;
  auto* cell = reinterpret_cast<std::byte*>(s.carving) + slab_header + s.carving->carved * bytes;
  s.carving->carved += cells;
  s.count += cells;
  void** slot = &s.ready[pads + s.count];
  for (unsigned i = 0; i < cells; ++i, cell += bytes) *--slot = cell;
}

cell_slab& cell_heap::fresh_slab(std::size_t size) {
  shelf& for_shelf = shelves_[size];
  cell_slab* s = free_.front();
  if (s != nullptr) {
    free_.remove(*s);
    least_free_ = std::min(least_free_, --free_count_);
    slabs_free.fetch_sub(1, relaxed);
  } else {
    void* const memory = allocate(slab_bytes, slab_bytes);
    // The first one stays on small pages, of which a thread that needs little touches few.
    if (for_shelf.carving != nullptr) madvise(memory, slab_bytes, MADV_HUGEPAGE);
    s = ::new (memory) cell_slab(*this);
    ++slabs_;
    slabs_held.fetch_add(1, relaxed);
  }
  s->size = static_cast<unsigned>(size);
  for_shelf.empty.push_front(*s);
  return *s;
}

// Taking back.

void cell_heap::push_full(std::size_t size, void* cell) noexcept {
  shelf& s = shelves_[size];
  spill(s, spilled);
  tick(1);
  s.push_ready(cell);
}

// Gives the n oldest of the ready cells back to where they belong, in bundles of one slab each.
void cell_heap::spill(shelf& s, unsigned n) noexcept {
  void** rest = &s.ready[pads];
  void** const end = rest + n;
  cell_heap* receiver = nullptr;  // of the bundles from first to last
  cell_bundle* first = nullptr;
  cell_bundle* last = nullptr;
  const auto size = static_cast<std::size_t>(&s - shelves_.data());
  while (rest != end) {
    cell_slab& from = cell_slab::of(*rest);
    auto* const b = ::new (*rest++) cell_bundle;
    void** kept = rest;
    void** p = rest;
    for (; p != end && b->fellows != cell_bundle::most_fellows; ++p) {
      if (&cell_slab::of(*p) == &from) {
        b->places[b->fellows++] = cell_slab::place(*p);
      } else {
        *kept++ = *p;
      }
    }
    // What was kept moves up to what was not looked at.
    rest = std::move_backward(rest, kept, p);
    if (from.owner == this) {
      put_away(b);
      continue;
    }
    if (receiver != from.owner) {
      if (receiver != nullptr) receiver->receive(size, first, last);
      receiver = from.owner;
      last = b;
      first = nullptr;
    }
    b->next.set(first);
    first = b;
  }
  if (receiver != nullptr) receiver->receive(size, first, last);
  s.count -= n;
  std::copy_n(end, s.count, &s.ready[pads]);
}

void cell_heap::return_one(std::size_t size, void* cell) noexcept {
  auto* const b = ::new (cell) cell_bundle;
  cell_slab::of(cell).owner->receive(size, b, b);
}

void cell_heap::receive(std::size_t size, cell_bundle* first, cell_bundle* last) noexcept {
  hand_back(first, last, shelves_[size].returned, claimed_, [this] { tidy_up(); });
}

// Into its slab, which is free when no cell is missing.
void cell_heap::put_away(cell_bundle* b) noexcept {
  cell_slab& to = cell_slab::of(b);
  shelf& s = shelves_[to.size];
  if (to.bundles == nullptr) {
    s.empty.remove(to);
    s.partial.push_front(to);
  }
  b->next.set(to.bundles);
  to.bundles = b;
  to.free_cells += b->cells();
  if (to.free_cells != to.carved) return;

  s.partial.remove(to);
  to.bundles = nullptr;
  to.free_cells = to.carved = 0;
  if (&to == s.carving) {
    s.empty.push_front(to);
  } else {
    set_free(to);
  }
}

void cell_heap::set_free(cell_slab& s) noexcept {
  free_.push_front(s);
  ++free_count_;
  slabs_free.fetch_add(1, relaxed);
}

void cell_heap::absorb(shelf& s, unsigned bundles) noexcept {
  for (; bundles > 0; --bundles) {
    if (s.taken == nullptr) {
      s.taken = s.returned.take();
      s.turns = 0;
      if (s.taken == nullptr) return;
    }
    put_away(std::exchange(s.taken, s.taken->next.get()));
  }
}

// Puts what is listed on its shelf: all of it, or the cells of other heaps.
void cell_heap::shelve_list(std::size_t size, bool own_too) noexcept {
  if (lists_ == nullptr || size >= listed_sizes) return;
  cell_list& list = lists_[size];
  shelf& s = shelves_[size];
  void** link = &list.first;
  while (void* const cell = *link) {
    if (!own_too && cell_slab::of(cell).owner == this) {
      link = static_cast<void**>(cell);
      continue;
    }
    *link = *static_cast<void**>(cell);
    ++list.room;
    if (s.count == most_ready) spill(s, spilled);
    s.push_ready(cell);
  }
}

void cell_heap::spill_all() noexcept {
  for (std::size_t size = 0; size < cell_sizes; ++size) {
    shelve_list(size, true);
    spill(shelves_[size], shelves_[size].count);
  }
}

void cell_heap::flush() noexcept {
  for (std::size_t size = 0; size < cell_sizes; ++size) {
    shelf& s = shelves_[size];
    shelve_list(size, false);
    // The cells of others first, which is where spill() begins.
    std::array<void*, most_ready> own;
    unsigned foreign = 0;
    unsigned kept = 0;
    for (unsigned i = 0; i < s.count; ++i) {
      void* const cell = s.ready[pads + i];
      (cell_slab::of(cell).owner == this ? own[kept++] : s.ready[pads + foreign++]) = cell;
    }
    std::copy_n(own.begin(), kept, &s.ready[pads + foreign]);
    if (foreign != 0) spill(s, foreign);
  }
  tick(epoch_events() / flushes_per_epoch);
}

// Letting go.

unsigned cell_heap::epoch_events() const noexcept {
  return epoch_events_per_slab * std::max(slabs_, 1U);
}

void cell_heap::tick(unsigned events) noexcept {
  events_ += events;
  if (events_ >= epoch_events()) end_epoch();
}

// Slabs that were free all the time are not needed: half of them go.
void cell_heap::end_epoch() noexcept {
  let_go((least_free_ + 1) / 2);
  spill_all();
  for (shelf& s : shelves_) absorb(s, absorbed_an_epoch);
  least_free_ = free_count_;
  events_ = 0;
}

void cell_heap::let_go(unsigned slabs) noexcept {
  for (; slabs > 0; --slabs) {
    cell_slab* const s = free_.front();
    free_.remove(*s);
    --free_count_;
    --slabs_;
    slabs_free.fetch_sub(1, relaxed);
    slabs_held.fetch_sub(1, relaxed);
    // An allocator may keep what it is given back, and does from some size on.
    madvise(s, slab_bytes, MADV_DONTNEED);
    deallocate(s, slab_bytes, slab_bytes);
  }
}

cell_statistics cell_heap::statistics() noexcept {
  cell_statistics sum;
  sum.heaps = heaps_held.load(relaxed);
  sum.slabs = slabs_held.load(relaxed);
  sum.free_slabs = slabs_free.load(relaxed);
  sum.bytes = sum.slabs * slab_bytes + sum.heaps * sizeof(cell_heap);
  return sum;
}

}  // namespace heddle::inline HEDDLE_ABI::prim::detail

#endif
