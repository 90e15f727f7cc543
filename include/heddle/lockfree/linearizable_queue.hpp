// An unbounded queue with one order for all producers and consumers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/hazards.hpp>
#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/thread.hpp>

namespace heddle::inline HEDDLE_ABI {

// First in, first out: of two pushes of which one has returned before the other began, the first
// one's element comes out first, whoever pushed and whoever pops. A push and a pop take three
// read-modify-writes each; mpmc_queue, which keeps the order of each producer alone, takes none
// and one.
//
// T may be move-only and over-aligned. Moving, assigning and destroying it must not throw; keep
// other types by std::unique_ptr. Its other constructors may throw.
//
// Thread-safety: everything by any thread, except destruction.
// Memory ordering: what happened before a push happened before the pop that returns its element.
// Blocks? Never: lock-free. A thread that stops in the middle keeps others from nothing but the
// element that it has claimed. A pop that meets a push in the middle gives it a moment, and then
// invalidates its slot; the push takes another one.
// Allocates a block for every 128 slots; one through which everybody has gone is freed, at the
// latest when the next one is done with.
// Throws std::bad_alloc and what T's constructor throws; then nothing has changed, except that what
// preceded in a batch has been put.
// Destruction destroys what is left; no other thread is inside a call.
// Source: Morrison and Afek, "Fast concurrent queues for x86 processors", PPoPP 2013, in the form
// of Correia and Ramalhete's FAAArrayQueue, 2016; hazard pointers after Michael, "Hazard pointers:
// safe memory reclamation for lock-free objects", TPDS 2004, held by calls instead of threads.
template <class T>
class linearizable_queue {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                    std::is_nothrow_destructible_v<T>,
                "a slot may be lost to a pop: keep such a type by std::unique_ptr");

 public:
  using value_type = T;

  // Throws std::bad_alloc.
  linearizable_queue();
  ~linearizable_queue();
  linearizable_queue(const linearizable_queue&) = delete;
  linearizable_queue& operator=(const linearizable_queue&) = delete;

  void push(const T& value) { emplace(value); }
  void push(T&& value) { put(value); }
  template <class... Args>
  void emplace(Args&&... args) {
    T value(std::forward<Args>(args)...);
    put(value);
  }

  // Puts *first, *++first and so on, `count` of them, one by one.
  template <class Iterator>
  void push_n(Iterator first, std::size_t count) {
    for (; count > 0; --count, ++first) emplace(*first);
  }

  // Moves the oldest element to `value`. False when there is none.
  bool try_pop(T& value) noexcept {
    return take([&](T&& oldest) { value = std::move(oldest); });
  }
  std::optional<T> try_pop() noexcept {
    std::optional<T> value;
    take([&](T&& oldest) { value.emplace(std::move(oldest)); });
    return value;
  }

  // Assigns the oldest elements, `most` at most, to *out, *++out and so on, one by one, and returns
  // how many there were. Requires: the iterator itself does not throw, nor does assigning to *out.
  template <class Output>
  std::size_t pop_n(Output out, std::size_t most) noexcept {
    static_assert(std::is_nothrow_assignable_v<decltype(*out), T>,
                  "what is claimed cannot be given back: give room that is there already");
    std::size_t taken = 0;
    while (taken < most && take([&](T&& oldest) { *out = std::move(oldest); })) {
      ++taken;
      ++out;
    }
    return taken;
  }

  // A moment's guess while others push and pop.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

 private:
  static constexpr std::size_t block_size = prim::limits::queue_block;

  // A slot is vacant until a push has filled it, or a pop that came too early has gone by. A pop
  // that finds it full moves the element out.
  enum class state : std::uint8_t { vacant, full, gone };
  struct place {
    prim::atomic<state> now{state::vacant};
    detail::element_slot<T> element;
  };

  // Pushes and pops draw numbers; those beyond the last slot go to the next block.
  struct block {
    explicit block(std::uint64_t before) noexcept : slots_before(before) {}

    alignas(destructive_interference) prim::atomic<std::uint64_t> pushes{0};
    alignas(destructive_interference) prim::atomic<std::uint64_t> pops{0};
    alignas(destructive_interference) prim::atomic<block*> next{nullptr};
    prim::cell<block*> next_retired;   // by who retired it, and then by who took the list
    const std::uint64_t slots_before;  // in all earlier blocks
    place places[block_size];
  };

  using guard = detail::hazards::guard<block>;

  void put(T& value);
  template <class F>
  bool take(F&& f) noexcept;
  bool append(block& last, T& value);
  void retire(block* b) noexcept;

  alignas(destructive_interference) prim::atomic<block*> head_;
  alignas(destructive_interference) prim::atomic<block*> tail_;
  alignas(destructive_interference) prim::atomic<block*> retired_{nullptr};
  mutable detail::hazards hazards_;
};

template <class T>
linearizable_queue<T>::linearizable_queue() : head_(detail::make_object<block>(std::uint64_t{0})) {
  tail_.store(head_.load(prim::relaxed), prim::relaxed);
}

template <class T>
linearizable_queue<T>::~linearizable_queue() {
  for (block* b = head_.load(prim::acquire); b != nullptr;) {
    for (place& p : b->places) {
      if (p.now.load(prim::relaxed) == state::full) p.element.destroy();
    }
    detail::destroy_object(std::exchange(b, b->next.load(prim::acquire)));
  }
  for (block* b = retired_.load(prim::acquire); b != nullptr;) {
    detail::destroy_object(std::exchange(b, b->next_retired.get()));
  }
}

template <class T>
void linearizable_queue<T>::put(T& value) {
  for (guard last(hazards_, tail_);; last.follow()) {
    block& b = *last;
    while (b.pushes.load(prim::relaxed) < block_size) {
      const std::uint64_t number = b.pushes.fetch_add(1, prim::relaxed);
      if (number >= block_size) break;
      place& p = b.places[number];
      p.element.construct(std::move(value));
      state found = state::vacant;
      if (p.now.compare_exchange_strong(found, state::full, prim::release, prim::relaxed)) return;
      p.element.take([&](T&& refused) { value = std::move(refused); });
    }
    if (append(b, value)) return;
  }
}

// Puts the value into a new block behind the last one. False when somebody else has added one.
template <class T>
bool linearizable_queue<T>::append(block& last, T& value) {
  block* next = last.next.load(prim::acquire);
  const bool is_last = next == nullptr;
  bool is_put = false;
  if (is_last) {
    block* const added = detail::make_object<block>(last.slots_before + block_size);
    added->pushes.store(1, prim::relaxed);
    added->places[0].element.construct(std::move(value));
    added->places[0].now.store(state::full, prim::relaxed);
    is_put = last.next.compare_exchange_strong(next, added, prim::acq_rel, prim::acquire);
    if (is_put) {
      next = added;
    } else {
      added->places[0].element.take([&](T&& refused) { value = std::move(refused); });
      detail::destroy_object(added);
    }
  }
  block* expected = &last;
  tail_.compare_exchange_strong(expected, next, prim::seq_cst, prim::relaxed);
  return is_put;
}

template <class T>
template <class F>
bool linearizable_queue<T>::take(F&& f) noexcept {
  guard first(hazards_, head_);
  for (;;) {
    block& b = *first;
    for (;;) {
      // In this order: nobody can have pushed what is not counted here before the pops were
      // counted.
      const std::uint64_t pops = b.pops.load(prim::acquire);
      if (pops >= block_size) break;
      if (pops >= b.pushes.load(prim::acquire)) return false;
      // And whoever finds nothing behind an element knows what its taker knew, of the next block,
      // say.
      const std::uint64_t number = b.pops.fetch_add(1, prim::acq_rel);
      if (number >= block_size) break;
      place& p = b.places[number];
      for (unsigned i = 0; i < prim::limits::spin_turns; ++i) {
        if (p.now.load(prim::relaxed) != state::vacant) break;
        prim::pause();
      }
      if (p.now.exchange(state::gone, prim::acquire) == state::full) {
        p.element.take(f);
        return true;
      }
    }
    block* const next = b.next.load(prim::acquire);
    if (next == nullptr) return false;
    // The tail must not stay at a block that is going to be retired.
    block* expected = &b;
    tail_.compare_exchange_strong(expected, next, prim::seq_cst, prim::acquire);
    expected = &b;
    const bool is_mine =
        head_.compare_exchange_strong(expected, next, prim::seq_cst, prim::relaxed);
    first.follow();
    if (is_mine) retire(&b);
  }
}

// Frees what nobody holds any more, of this block and those retired before.
template <class T>
void linearizable_queue<T>::retire(block* b) noexcept {
  b->next_retired.set(retired_.exchange(nullptr, prim::acquire));
  while (b != nullptr) {
    block* const one = std::exchange(b, b->next_retired.get());
    if (!hazards_.holds(one)) {
      detail::destroy_object(one);
      continue;
    }
    block* rest = retired_.load(prim::relaxed);
    do {
      one->next_retired.set(rest);
    } while (!retired_.compare_exchange_weak(rest, one, prim::release, prim::relaxed));
  }
}

template <class T>
std::size_t linearizable_queue<T>::size() const noexcept {
  const auto position = [this](const prim::atomic<block*>& end,
                               prim::atomic<std::uint64_t> block::* drawn) {
    const guard held(hazards_, end);
    const std::uint64_t number = ((*held).*drawn).load(prim::acquire);
    return (*held).slots_before + std::min<std::uint64_t>(number, block_size);
  };
  const std::uint64_t head = position(head_, &block::pops);
  const std::uint64_t tail = position(tail_, &block::pushes);
  return tail > head ? static_cast<std::size_t>(tail - head) : 0;
}

}  // namespace heddle::inline HEDDLE_ABI
