// The armed timers of one event loop, earliest first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <heddle/process/event_loop.hpp>

namespace heddle::inline HEDDLE_ABI::process {

// A binary heap; each timer knows its position, so that it can be moved or removed in place.
class timer_heap {
 public:
  timer_heap() = default;
  timer_heap(const timer_heap&) = delete;
  timer_heap& operator=(const timer_heap&) = delete;

  bool empty() const noexcept { return heap_.empty(); }
  timer& earliest() const noexcept { return *heap_.front(); }

  // The number given to the timer armed last; a timer with a greater one was armed later.
  std::uint64_t last_order() const noexcept { return last_order_; }
  static std::uint64_t order_of(const timer& t) noexcept { return t.order_; }

  // Inserts the timer, or moves it when it is armed already.
  void arm(timer& t, std::chrono::steady_clock::time_point when) {
    if (!t.armed()) {
      heap_.push_back(&t);
      t.position_ = heap_.size() - 1;
    }
    t.when_ = when;
    t.order_ = ++last_order_;
    settle(t);
  }

  void remove(timer& t) noexcept {
    timer* const last = heap_.back();
    const std::size_t hole = t.position_;
    heap_.pop_back();
    t.position_ = timer::not_armed;
    if (last == &t) return;
    place(*last, hole);
    settle(*last);
  }

  void clear() noexcept {
    for (timer* t : heap_) t->position_ = timer::not_armed;
    heap_.clear();
  }

 private:
  static bool before(const timer& a, const timer& b) noexcept {
    return a.when_ != b.when_ ? a.when_ < b.when_ : a.order_ < b.order_;
  }

  void place(timer& t, std::size_t position) noexcept {
    heap_[position] = &t;
    t.position_ = position;
  }

  // Moves a timer up or down to where it belongs.
  void settle(timer& t) noexcept {
    std::size_t at = t.position_;
    while (at > 0) {
      const std::size_t parent = (at - 1) / 2;
      if (!before(t, *heap_[parent])) break;
      place(*heap_[parent], at);
      at = parent;
    }
    for (;;) {
      std::size_t next = 2 * at + 1;
      if (next >= heap_.size()) break;
      if (next + 1 < heap_.size() && before(*heap_[next + 1], *heap_[next])) ++next;
      if (!before(*heap_[next], t)) break;
      place(*heap_[next], at);
      at = next;
    }
    place(t, at);
  }

  std::vector<timer*> heap_;
  std::uint64_t last_order_ = 0;
};

}  // namespace heddle::inline HEDDLE_ABI::process
