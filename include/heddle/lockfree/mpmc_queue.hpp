// An unbounded queue between any number of producers and consumers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

#include <heddle/base/cache_line.hpp>
#include <heddle/lockfree/queue_lane.hpp>
#include <heddle/lockfree/slot.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/limits.hpp>
#include <heddle/prim/seed.hpp>
#include <heddle/probe/per_thread.hpp>

namespace heddle::inline HEDDLE_ABI {

// First in, first out for the elements of each producer; those of different producers come in any
// order, and each producer has its turn: a consumer takes some 500 elements in a row from one at
// most, when others have some. (linearizable_queue keeps one order for all.)
//
// A producer is a thread, or an mpmc_queue::producer, which is faster, as an mpmc_queue::consumer
// is; either kind works with either.
//
// T may be move-only and over-aligned. Moving and destroying it must not throw, since what a
// consumer has claimed cannot be given back; keep other types by std::unique_ptr. Its other
// constructors may throw.
//
// Thread-safety: everything by any thread, except destruction; a producer or consumer object by one
// thread at a time.
// Memory ordering: what happened before a push happened before the pop that returns its element.
// Blocks? Never, but for a short lock at a thread's first push, and what the allocator does. A
// push is wait-free, a pop repeats a step only when another consumer has taken something. A
// thread that stops in the middle keeps others from nothing but the element that it has claimed,
// and memory from being freed.
// Allocates: a push, when a block of 128 elements is full and no emptied one is at hand; a
// thread's first push, and a producer, when nobody has left a lane of blocks for it. An emptied
// block is used again or freed, as a rule when its last element has been moved out, at the latest
// when another block of its lane is full or emptied. The tables of their addresses stay: at most
// a fiftieth of the peak.
// Throws std::bad_alloc, what T's constructor throws, and at a thread's first push what
// per_thread throws. Then nothing has changed, except that what preceded in a batch has been put.
// Destruction destroys what is left; no other thread is inside a call, and no producer or
// consumer object exists any more.
// Source: a lane for each producer and consumers that go round them, as in Desrochers, "A fast
// general purpose lock-free queue for C++" (moodycamel), 2014; the lanes are ours.
template <class T>
class mpmc_queue {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "what is claimed cannot be given back: keep such a type by std::unique_ptr");
  struct lane;
  struct cursor;

 public:
  using value_type = T;

  mpmc_queue() noexcept {
    for (unsigned i = 0; i < cursors_.size(); ++i) cursors_[i].number = i;
  }
  ~mpmc_queue();
  mpmc_queue(const mpmc_queue&) = delete;
  mpmc_queue& operator=(const mpmc_queue&) = delete;

  void push(const T& value) { own_lane().push(value); }
  void push(T&& value) { own_lane().push(std::move(value)); }
  template <class... Args>
  void emplace(Args&&... args) {
    own_lane().push(std::forward<Args>(args)...);
  }

  // Puts *first, *++first and so on, `count` of them. (With std::move_iterator they are moved.)
  template <class Iterator>
  void push_n(Iterator first, std::size_t count) {
    own_lane().push_n(std::move(first), count);
  }

  // Moves an element to `value`. False when each producer's lane was empty at some moment during
  // the call; so what happened before the call to be pushed, and was not taken, is found.
  bool try_pop(T& value) noexcept
    requires(std::is_nothrow_move_assignable_v<T>)
  {
    return pop_to(own_cursor(), value);
  }
  std::optional<T> try_pop() noexcept { return pop(own_cursor()); }

  // Assigns elements, `most` at most, to *out, *++out and so on, and returns how many there were.
  // Requires: the iterator itself does not throw, nor does assigning to *out.
  template <class Output>
  std::size_t pop_n(Output out, std::size_t most) noexcept {
    return pop_n_to(own_cursor(), std::move(out), most);
  }

  // A moment's guess while others push and pop.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

  // Its elements keep their order. Destroying it leaves them in the queue.
  // Throws std::bad_alloc. Requires: the queue outlives it.
  class producer {
   public:
    explicit producer(mpmc_queue& queue) : lane_(queue.claim_lane()) {}
    ~producer() { lane_.is_owned.store(false, prim::release); }
    producer(const producer&) = delete;
    producer& operator=(const producer&) = delete;

    // As those of the queue.
    void push(const T& value) { lane_.push(value); }
    void push(T&& value) { lane_.push(std::move(value)); }
    template <class... Args>
    void emplace(Args&&... args) {
      lane_.push(std::forward<Args>(args)...);
    }
    template <class Iterator>
    void push_n(Iterator first, std::size_t count) {
      lane_.push_n(std::move(first), count);
    }

   private:
    lane& lane_;
  };

  // Remembers from which producer to take next. Requires: the queue outlives it.
  class consumer {
   public:
    explicit consumer(mpmc_queue& queue) noexcept : queue_(queue) {
      cursor_.number = queue.consumers_.fetch_add(1, prim::relaxed);
    }
    consumer(const consumer&) = delete;
    consumer& operator=(const consumer&) = delete;

    // As those of the queue.
    bool try_pop(T& value) noexcept
      requires(std::is_nothrow_move_assignable_v<T>)
    {
      return queue_.pop_to(cursor_, value);
    }
    std::optional<T> try_pop() noexcept { return queue_.pop(cursor_); }
    template <class Output>
    std::size_t pop_n(Output out, std::size_t most) noexcept {
      return queue_.pop_n_to(cursor_, std::move(out), most);
    }

   private:
    mpmc_queue& queue_;
    cursor cursor_;
  };

 private:
  // Lanes are added, and stay until the queue goes; one whose producer has gone is given to
  // another.
  struct lane : detail::queue_lane<T> {
    lane* next = nullptr;  // fixed once others can see the lane
    prim::atomic<bool> is_owned{true};
  };

  // Where a consumer takes from. Threads without a consumer object share some of them: then it is
  // a hint that all of them change.
  struct cursor {
    prim::atomic<lane*> at{nullptr};
    prim::atomic<unsigned> left{0};  // of its turn there
    unsigned number = 0;             // tells it where to begin
  };

  struct seat {
    lane* own = nullptr;
  };

  lane& claim_lane();
  lane& own_lane();
  cursor& own_cursor() noexcept;
  lane* first_for(unsigned number) const noexcept;

  template <class F>
  std::size_t take(cursor& c, std::size_t most, F&& f) noexcept;

  bool pop_to(cursor& c, T& value) noexcept {
    return take(c, 1, [&](T&& oldest) { value = std::move(oldest); }) != 0;
  }
  std::optional<T> pop(cursor& c) noexcept {
    std::optional<T> value;
    take(c, 1, [&](T&& oldest) { value.emplace(std::move(oldest)); });
    return value;
  }
  template <class Output>
  std::size_t pop_n_to(cursor& c, Output out, std::size_t most) noexcept {
    static_assert(std::is_nothrow_assignable_v<decltype(*out), T>,
                  "what is claimed cannot be given back: give room that is there already");
    return take(c, most, [&](T&& oldest) {
      *out = std::move(oldest);
      ++out;
    });
  }

  struct alignas(destructive_interference) shared_cursor : cursor {};

  alignas(destructive_interference) prim::atomic<lane*> lanes_{nullptr};
  prim::atomic<unsigned> lane_count_{0};
  prim::atomic<unsigned> consumers_{0};
  prim::atomic<per_thread<seat>*> seats_{nullptr};  // made when a thread pushes without a producer
  std::array<shared_cursor, 8> cursors_;
};

template <class T>
mpmc_queue<T>::~mpmc_queue() {
  if (auto* const seats = seats_.load(prim::acquire)) detail::destroy_object(seats);
  for (lane* l = lanes_.load(prim::acquire); l != nullptr;) {
    detail::destroy_object(std::exchange(l, l->next));
  }
}

template <class T>
std::size_t mpmc_queue<T>::size() const noexcept {
  std::size_t sum = 0;
  for (const lane* l = lanes_.load(prim::acquire); l != nullptr; l = l->next) sum += l->size();
  return sum;
}

// One that nobody owns, if there is one.
template <class T>
auto mpmc_queue<T>::claim_lane() -> lane& {
  for (lane* l = lanes_.load(prim::acquire); l != nullptr; l = l->next) {
    if (!l->is_owned.load(prim::relaxed) && !l->is_owned.exchange(true, prim::acquire)) return *l;
  }
  lane* const added = detail::make_object<lane>();
  added->next = lanes_.load(prim::acquire);
  while (!lanes_.compare_exchange_weak(added->next, added, prim::acq_rel, prim::acquire)) {
  }
  lane_count_.fetch_add(1, prim::relaxed);
  return *added;
}

// The calling thread's, which a later thread inherits when it ends.
template <class T>
auto mpmc_queue<T>::own_lane() -> lane& {
  per_thread<seat>* seats = seats_.load(prim::acquire);
  if (seats == nullptr) {
    auto* const made = detail::make_object<per_thread<seat>>();
    if (seats_.compare_exchange_strong(seats, made, prim::acq_rel, prim::acquire)) {
      seats = made;
    } else {
      detail::destroy_object(made);
    }
  }
  seat& mine = seats->local();
  if (mine.own == nullptr) mine.own = &claim_lane();
  return *mine.own;
}

template <class T>
auto mpmc_queue<T>::own_cursor() noexcept -> cursor& {
  return cursors_[prim::thread_number() % cursors_.size()];
}

// Consumers begin at different lanes, so that they do not get in each other's way.
template <class T>
auto mpmc_queue<T>::first_for(unsigned number) const noexcept -> lane* {
  lane* l = lanes_.load(prim::acquire);
  const unsigned count = lane_count_.load(prim::relaxed);
  if (l == nullptr || count == 0) return l;
  for (unsigned steps = number % count; steps > 0 && l->next != nullptr; --steps) l = l->next;
  return l;
}

template <class T>
template <class F>
std::size_t mpmc_queue<T>::take(cursor& c, std::size_t most, F&& f) noexcept {
  lane* at = c.at.load(prim::acquire);
  std::size_t taken = 0;
  if (const unsigned left = c.left.load(prim::relaxed); at != nullptr && left > 0) {
    taken = at->take(std::min<std::size_t>(most, left), f);
    c.left.store(left - static_cast<unsigned>(taken), prim::relaxed);
    if (taken == most) return taken;
  }
  // Its lane is empty, or has had its turn: once round all others, and back to it.
  if (at == nullptr) at = first_for(c.number);
  if (at == nullptr) return 0;
  lane* l = at;
  do {
    l = l->next != nullptr ? l->next : lanes_.load(prim::acquire);
    const std::size_t here = l->take(most - taken, f);
    if (here == 0) continue;
    taken += here;
    c.at.store(l, prim::release);  // a thread that shares it may not know the lane yet
    c.left.store(prim::limits::queue_turn, prim::relaxed);
    if (taken == most) break;
  } while (l != at);
  return taken;
}

}  // namespace heddle::inline HEDDLE_ABI
