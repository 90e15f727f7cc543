// Waiting for several futures.
#pragma once

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <ranges>
#include <span>
#include <vector>

#include <heddle/future/future.hpp>
#include <heddle/prim/clock.hpp>

namespace heddle::inline HEDDLE_ABI {

enum class wait_condition {
  first_completed,  // one is ready
  first_exception,  // one is ready without a value, or all are ready
  all_completed,    // all are ready
};

// Positions in the range that was waited for, ascending.
struct wait_result {
  std::vector<std::size_t> done;
  std::vector<std::size_t> not_done;
};

// A range whose elements are futures, by reference: it stays the caller's.
template <class R>
concept future_range = std::ranges::forward_range<R> &&
                       std::is_lvalue_reference_v<std::ranges::range_reference_t<R>> &&
                       requires(std::ranges::range_reference_t<R> f) {
                         typename std::remove_cvref_t<decltype(f)>::value_type;
                         { f.ready() } -> std::same_as<bool>;
                       };

namespace detail {

template <future_range R>
std::vector<future_state*> states_of(R& futures, const char* operation) {
  std::vector<future_state*> states;
  for (auto& f : futures) {
    future_state* const state = access::state(f, operation);
    state->require_own_process();
    states.push_back(state);
  }
  return states;
}

HEDDLE_API wait_result wait_several(std::span<future_state* const> states, wait_condition until,
                                    prim::time_point deadline);

// The futures of one as_completed, in the order in which they became ready.
class HEDDLE_API completion_order {
 public:
  explicit completion_order(std::span<future_state* const> states);
  ~completion_order();
  completion_order(const completion_order&) = delete;
  completion_order& operator=(const completion_order&) = delete;

  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  // The position of the next one; `none` when all were given out, or at the deadline.
  std::size_t next(prim::time_point deadline = prim::never);
  std::size_t remaining() const noexcept;

 private:
  struct shared;
  std::unique_ptr<shared> shared_;
};

}  // namespace detail

// Blocks until the condition holds or the limit has passed, and tells which futures are ready then.
// An empty range satisfies every condition. The futures stay valid and unread; none may be moved or
// used by another thread meanwhile.
// On a worker, waiting for all without a limit does unstarted work of its own pool among the
// futures itself, in their order; every other form runs nothing. Throws no_state and forked
// (nothing was waited for), would_starve, std::bad_alloc. Complexity: linear in the futures.
template <future_range R>
wait_result wait(R& futures, wait_condition until = wait_condition::all_completed,
                 prim::time_point deadline = prim::never) {
  return detail::wait_several(detail::states_of(futures, "wait"), until, deadline);
}
template <future_range R, class Rep, class Period>
wait_result wait_for(R& futures, std::chrono::duration<Rep, Period> timeout,
                     wait_condition until = wait_condition::all_completed) {
  return wait(futures, until, prim::deadline_after(timeout));
}

// The futures of a range, each as soon as it is ready:
//
//   for (auto& f : as_completed(futures)) use(f.get());
//
// A single-pass view; the range stays the caller's and must stay in place. Leaving the loop early
// is fine. Advancing blocks; on a worker it runs nothing. Used by one thread at a time. Throws
// no_state, forked and std::bad_alloc when made, would_starve when advanced. Complexity: linear in
// the futures when made, constant amortized per future.
template <class Future>
class completed_view {
 public:
  template <future_range R>
  explicit completed_view(R& futures) : order_(detail::states_of(futures, "as_completed")) {
    for (auto& f : futures) futures_.push_back(std::addressof(f));
  }

  class iterator {
   public:
    using value_type = Future;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    iterator() = default;
    explicit iterator(completed_view& view) : view_(&view) { ++*this; }

    Future& operator*() const { return *view_->futures_[position_]; }
    // Where the future stands in the range.
    std::size_t position() const noexcept { return position_; }
    iterator& operator++() {
      position_ = view_->order_.next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
      return it.position_ == detail::completion_order::none;
    }

   private:
    completed_view* view_ = nullptr;
    std::size_t position_ = detail::completion_order::none;
  };

  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

  // The next future, or null when all were given out or the time is over.
  Future* next_until(prim::time_point deadline) {
    const std::size_t position = order_.next(deadline);
    return position == detail::completion_order::none ? nullptr : futures_[position];
  }
  std::size_t remaining() const noexcept { return order_.remaining(); }

 private:
  std::vector<Future*> futures_;
  detail::completion_order order_;
};

template <future_range R>
auto as_completed(R& futures) {
  return completed_view<std::remove_reference_t<std::ranges::range_reference_t<R>>>(futures);
}

}  // namespace heddle::inline HEDDLE_ABI
