// One producer's part of an unbounded queue.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/slot.hpp>
#include <heddle/lockfree/spsc_ring.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// An unbounded queue of one producer and any number of consumers, in blocks of slots. A table tells
// where the block of a position is. A consumer first claims positions and then goes to their block,
// which nobody reclaims before each of its slots has been claimed and emptied: so no consumer ever
// holds a block that may go, and blocks need neither hazard pointers nor epochs.
//
// Thread-safety: push and push_n by one thread at a time; the others by any.
// docs/protocols/mpmc_queue.md has the steps and why they hold.
template <class T>
class queue_lane {
 public:
  queue_lane() : table_(table::make(prim::limits::queue_table, nullptr)) {}
  ~queue_lane();
  queue_lane(const queue_lane&) = delete;
  queue_lane& operator=(const queue_lane&) = delete;

  // Throws std::bad_alloc and what T's constructor throws; then nothing has changed.
  template <class... Args>
  void push(Args&&... args) {
    const position tail = tail_.load(prim::relaxed);
    place_for(tail).construct(std::forward<Args>(args)...);
    tail_.store(tail + 1, prim::release);
  }

  // When something is thrown, those before it have been put.
  template <class Iterator>
  void push_n(Iterator first, std::size_t count);

  // Calls f(T&&) for the oldest elements, `most` at most, and returns how many there were.
  // Requires: f does not throw.
  template <class F>
  std::size_t take(std::size_t most, F&& f) noexcept;

  std::size_t size() const noexcept {
    const position head = head_.load(prim::acquire);
    return static_cast<std::size_t>(tail_.load(prim::acquire) - head);
  }

 private:
  using position = std::uint64_t;
  static constexpr std::size_t block_size = prim::limits::queue_block;
  static_assert(prim::limits::first_position % block_size == 0);

  // The marks are beside the elements, not between them: a small element takes little more memory
  // than its own, which is what a long queue costs.
  struct block {
    element_slot<T> elements[block_size];
    prim::atomic<bool> emptied[block_size]{};

    element_slot<T>& at(position p) noexcept { return elements[p % block_size]; }
    void set_emptied(position p) noexcept { emptied[p % block_size].store(true, prim::release); }

    void refill() noexcept {
      for (auto& e : emptied) e.store(false, prim::relaxed);
    }
    bool is_emptied() const noexcept {
      return std::all_of(std::begin(emptied), std::end(emptied),
                         [](const auto& e) { return e.load(prim::acquire); });
    }
  };

  // A power of two of addresses of blocks, behind a header, in one allocation.
  struct table {
    std::size_t size;
    table* older;

    using entry_type = prim::atomic<block*>;

    static std::size_t bytes(std::size_t size) { return sizeof(table) + size * sizeof(entry_type); }
    static table* make(std::size_t size, table* older) {
      void* const memory = prim::allocate(bytes(size), alignof(table));
      auto* const t = ::new (memory) table{size, older};
      std::uninitialized_default_construct_n(t->entries(), size);
      return t;
    }
    static void destroy(table* t) noexcept {
      std::destroy_n(t->entries(), t->size);
      prim::deallocate(t, bytes(t->size), alignof(table));
    }

    entry_type* entries() noexcept { return reinterpret_cast<entry_type*>(this + 1); }
    entry_type& entry(position p) noexcept { return entries()[p / block_size & (size - 1)]; }
  };

  element_slot<T>& place_for(position tail) {
    if (tail == end_.get()) add_block(tail);
    return current_.get()->at(tail);
  }

  void add_block(position tail);
  table* table_with_room(position tail);
  void reclaim() noexcept;

  // How many of `wanted` elements there are from `head` on.
  std::size_t stock(position head, std::size_t wanted) noexcept;

  // Moves the tail on as far as the batch came, also when T throws.
  struct progress {
    prim::atomic<position>& published;
    position at;
    ~progress() { published.store(at, prim::release); }
  };

  // The producer's line.
  alignas(destructive_interference) prim::atomic<position> tail_{prim::limits::first_position};
  prim::cell<position> end_{position{prim::limits::first_position}};  // of the blocks so far
  prim::cell<block*> current_;                                        // the block before end_

  // The consumers'. What they know of the tail spares the producer's line from being read each
  // time.
  alignas(destructive_interference) prim::atomic<position> head_{prim::limits::first_position};
  prim::atomic<position> tail_seen_{prim::limits::first_position};

  // Changed once a block at most. The blocks are those from reclaimed_ to end_. Who has set
  // reclaiming_ moves reclaimed_ on, and is the one who pushes to spares_; the producer pops.
  alignas(destructive_interference) prim::atomic<table*> table_;
  prim::atomic<position> reclaimed_{prim::limits::first_position};
  prim::atomic<bool> reclaiming_{false};
  spsc_ring<block*> spares_{prim::limits::queue_spares};
};

template <class T>
queue_lane<T>::~queue_lane() {
  table* t = table_.load(prim::relaxed);
  const position tail = tail_.load(prim::relaxed);
  for (position p = head_.load(prim::relaxed); p != tail; ++p) {
    t->entry(p).load(prim::relaxed)->at(p).destroy();
  }
  for (position p = reclaimed_.load(prim::relaxed); p != end_.get(); p += block_size) {
    destroy_object(t->entry(p).load(prim::relaxed));
  }
  for (block* spare = nullptr; spares_.try_pop(spare);) destroy_object(spare);
  while (t != nullptr) table::destroy(std::exchange(t, t->older));
}

template <class T>
template <class Iterator>
void queue_lane<T>::push_n(Iterator first, std::size_t count) {
  progress done{tail_, tail_.load(prim::relaxed)};
  for (const position end = done.at + count; done.at != end; ++done.at, ++first) {
    place_for(done.at).construct(*first);
  }
}

template <class T>
void queue_lane<T>::add_block(position tail) {
  table* const t = table_with_room(tail);
  block* b = nullptr;
  if (spares_.try_pop(b)) {
    b->refill();
  } else {
    b = make_object<block>();
  }
  t->entry(tail).store(b, prim::relaxed);
  current_.set(b);
  end_.set(tail + block_size);
}

// One in which the entry for a new block is not in use.
template <class T>
auto queue_lane<T>::table_with_room(position tail) -> table* {
  table* const t = table_.load(prim::relaxed);
  const auto is_full = [&] {
    return tail - reclaimed_.load(prim::acquire) == t->size * block_size;
  };
  if (!is_full()) return t;
  reclaim();
  if (!is_full()) return t;
  // The old one stays, since a consumer may be about to read it; all old ones are together smaller
  // than the new one.
  table* const wider = table::make(2 * t->size, t);
  for (position p = tail - t->size * block_size; p != tail; p += block_size) {
    wider->entry(p).store(t->entry(p).load(prim::relaxed), prim::relaxed);
  }
  table_.store(wider, prim::release);
  return wider;
}

template <class T>
std::size_t queue_lane<T>::stock(position head, std::size_t wanted) noexcept {
  const auto from_head_to = [&](position tail) {
    const auto distance = static_cast<std::int64_t>(tail - head);
    return distance > 0 ? static_cast<std::size_t>(distance) : 0;
  };
  const position seen = tail_seen_.load(prim::acquire);
  std::size_t there = from_head_to(seen);
  if (there < wanted) {
    const position tail = tail_.load(prim::acquire);
    if (tail != seen) tail_seen_.store(tail, prim::release);
    there = from_head_to(tail);
  }
  return std::min(there, wanted);
}

template <class T>
template <class F>
std::size_t queue_lane<T>::take(std::size_t most, F&& f) noexcept {
  position p = head_.load(prim::relaxed);
  std::size_t count = 0;
  do {
    count = stock(p, most);
    if (count == 0) return 0;
  } while (!head_.compare_exchange_weak(p, p + count, prim::release, prim::relaxed));

  const position end = p + count;
  while (p != end) {
    block* const b = table_.load(prim::acquire)->entry(p).load(prim::relaxed);
    const position end_of_block = p - p % block_size + block_size;
    const position stop = p + std::min<position>(end - p, end_of_block - p);
    for (; p != stop; ++p) {
      b->at(p).take(f);
      b->set_emptied(p);
    }
    // Whoever is late in a block whose slots have all been claimed sees to it that it goes.
    const auto claimed_beyond = static_cast<std::int64_t>(head_.load(prim::relaxed) - end_of_block);
    if (claimed_beyond >= 0) reclaim();
  }
  return count;
}

// Takes back the oldest blocks whose elements have all been moved out. One thread does it, the
// others go on.
template <class T>
void queue_lane<T>::reclaim() noexcept {
  if (reclaiming_.load(prim::relaxed) || reclaiming_.exchange(true, prim::acquire)) return;
  position oldest = reclaimed_.load(prim::relaxed);
  while (head_.load(prim::acquire) - oldest >= block_size) {
    block* const b = table_.load(prim::acquire)->entry(oldest).load(prim::relaxed);
    if (!b->is_emptied()) break;
    oldest += block_size;
    reclaimed_.store(oldest, prim::release);
    if (!spares_.try_push(b)) destroy_object(b);
  }
  reclaiming_.store(false, prim::release);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
