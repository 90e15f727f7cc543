// Sums in a wide sense, of elements that may be looked at at the same time.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <heddle/algorithm/loop.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// What parallel_reduce needs: op(T, T) and op(T, what the transform makes of an element) give a T,
// and a T can be made of what the transform makes.
template <class Op, class T, class Value>
concept reduces_to = std::movable<T> && std::constructible_from<T, Value> &&
                     std::is_invocable_r_v<T, Op&, T, Value> && std::is_invocable_r_v<T, Op&, T, T>;

namespace detail {

struct unchanged {
  template <class T>
  constexpr T&& operator()(T&& value) const noexcept {
    return static_cast<T&&>(value);
  }
};

// The elements from `first` to `last` - 1 behind `sum`.
template <class T, class It, class Op, class Transform>
T fold(T sum, It first, It last, Op& op, Transform& transform) {
  for (; first != last; ++first) {
    sum = static_cast<T>(detail::invoke(op, std::move(sum), detail::invoke(transform, *first)));
  }
  return sum;
}

// The same for at least one element. Numbers are added up in four rows at a time, one behind the
// other in the end: an addition need not wait for the one before it.
template <class T, class It, class Op, class Transform>
T fold(It first, It last, Op& op, Transform& transform) {
  using difference = std::iter_difference_t<It>;
  if constexpr (std::is_arithmetic_v<T>) {
    const difference row = (last - first) / 4;
    if (row >= 8) {
      It i = first;
      T a = static_cast<T>(detail::invoke(transform, i[0]));
      T b = static_cast<T>(detail::invoke(transform, i[row]));
      T c = static_cast<T>(detail::invoke(transform, i[2 * row]));
      T d = static_cast<T>(detail::invoke(transform, i[3 * row]));
      const It end = first + row;
      for (++i; i != end; ++i) {
        a = static_cast<T>(detail::invoke(op, a, detail::invoke(transform, i[0])));
        b = static_cast<T>(detail::invoke(op, b, detail::invoke(transform, i[row])));
        c = static_cast<T>(detail::invoke(op, c, detail::invoke(transform, i[2 * row])));
        d = static_cast<T>(detail::invoke(op, d, detail::invoke(transform, i[3 * row])));
      }
      a = static_cast<T>(detail::invoke(op, a, b));
      c = static_cast<T>(detail::invoke(op, c, d));
      return detail::fold<T>(static_cast<T>(detail::invoke(op, a, c)), first + 4 * row, last, op,
                             transform);
    }
  }
  T sum = static_cast<T>(detail::invoke(transform, *first));
  return detail::fold<T>(std::move(sum), ++first, last, op, transform);
}

template <class T, class I, class Op, class Transform>
class reduction final : public loop_work {
 public:
  struct part final : loop_part {
    std::optional<T> sum;
  };

  reduction(const index_row<I>& row, Op& op, Transform& transform) noexcept
      : row_(row), op_(op), transform_(transform) {}

  void run(loop_part* into, std::size_t first, std::size_t last) override {
    std::optional<T>& sum = static_cast<part*>(into)->sum;
    add(sum, detail::fold<T>(row_[first], row_[last], op_, transform_));
  }
  std::unique_ptr<loop_part> new_part() override { return std::make_unique<part>(); }
  void append(loop_part& left, loop_part& right) override {
    std::optional<T>& more = static_cast<part&>(right).sum;
    if (more) add(static_cast<part&>(left).sum, std::move(*more));
  }

 private:
  void add(std::optional<T>& sum, T&& more) {
    if (sum) {
      *sum = static_cast<T>(detail::invoke(op_, std::move(*sum), std::move(more)));
    } else {
      sum.emplace(std::move(more));
    }
  }

  const index_row<I>& row_;
  Op& op_;
  Transform& transform_;
};

template <class T, class I, class Op, class Transform>
T reduce_over(const loop_place& where, const index_row<I>& row, T init, Op& op,
              Transform& transform, loop_options options, const char* operation) {
  require_callable(op, operation);
  require_callable(transform, operation);
  using work = reduction<T, I, Op, Transform>;
  typename work::part all;
  all.sum.emplace(std::move(init));
  work sum(row, op, transform);
  run_loop(sum, row.count, &all, options, where);
  return std::move(*all.sum);
}

// The sums of blocks whose size follows from the number of elements.
template <class T, class I, class Op, class Transform>
class block_sums final : public loop_work {
 public:
  block_sums(const index_row<I>& row, Op& op, Transform& transform)
      : row_(row),
        op_(op),
        transform_(transform),
        block_((row.count + most_blocks - 1) / most_blocks),
        sums_(row.count == 0 ? 0 : (row.count - 1) / block_ + 1) {}

  void run(loop_part*, std::size_t first, std::size_t last) override {
    for (std::size_t n = first; n != last; ++n) {
      const std::size_t begin = n * block_;
      const std::size_t end = std::min(begin + block_, row_.count);
      sums_[n].emplace(detail::fold<T>(row_[begin], row_[end], op_, transform_));
    }
  }

  std::size_t blocks() const noexcept { return sums_.size(); }
  T sum_behind(T init) {
    for (std::optional<T>& s : sums_) {
      init = static_cast<T>(detail::invoke(op_, std::move(init), std::move(*s)));
    }
    return init;
  }

 private:
  static constexpr std::size_t most_blocks = 512;

  const index_row<I>& row_;
  Op& op_;
  Transform& transform_;
  const std::size_t block_;
  std::vector<std::optional<T>> sums_;
};

template <class T, class I, class Op, class Transform>
T reduce_in_blocks(const loop_place& where, const index_row<I>& row, T init, Op& op,
                   Transform& transform, const char* operation) {
  require_callable(op, operation);
  require_callable(transform, operation);
  block_sums<T, I, Op, Transform> sums(row, op, transform);
  run_loop(sums, sums.blocks(), nullptr, {}, where);
  return sums.sum_behind(std::move(init));
}

template <class F, class R>
using transformed = std::invoke_result_t<F&, std::ranges::range_reference_t<R>>;

}  // namespace detail

// init op e0 op e1 op ... for the elements of the range, in their order, but with brackets put
// anywhere; `init` occurs once. Empty range: init. For all else see parallel_for: where it runs,
// when it is divided, how it blocks.
//
// Requires: op is associative (not commutative), and may be called concurrently. The sum of
// floating-point numbers depends on the brackets, and so may differ from call to call; not that of
// parallel_reduce_deterministic.
// Allocates a T for each piece that another thread, or a job of an executor, takes, and for what
// lies between two of these. Throws the first exception of op; further ones go to the unhandled
// handler. Complexity: as many calls of op as there are elements, whoever makes them.
template <loop_range R, class T, class Op>
  requires reduces_to<Op, T, std::ranges::range_reference_t<R>>
T parallel_reduce(R&& range, T init, Op op, loop_options options = {}) {
  detail::unchanged same;
  return detail::reduce_over({}, detail::make_index_row(range, "parallel_reduce"), std::move(init),
                             op, same, options, "parallel_reduce");
}
template <runs_loops E, loop_range R, class T, class Op>
  requires reduces_to<Op, T, std::ranges::range_reference_t<R>>
T parallel_reduce(E&& where, R&& range, T init, Op op, loop_options options = {}) {
  detail::unchanged same;
  return detail::reduce_over(detail::loop_place(where),
                             detail::make_index_row(range, "parallel_reduce"), std::move(init), op,
                             same, options, "parallel_reduce");
}

// The same with transform(e) in the place of each e.
template <loop_range R, class T, class Op, class Transform>
  requires std::invocable<Transform&, std::ranges::range_reference_t<R>> &&
           reduces_to<Op, T, detail::transformed<Transform, R>>
T parallel_transform_reduce(R&& range, T init, Op op, Transform transform,
                            loop_options options = {}) {
  return detail::reduce_over({}, detail::make_index_row(range, "parallel_transform_reduce"),
                             std::move(init), op, transform, options, "parallel_transform_reduce");
}
template <runs_loops E, loop_range R, class T, class Op, class Transform>
  requires std::invocable<Transform&, std::ranges::range_reference_t<R>> &&
           reduces_to<Op, T, detail::transformed<Transform, R>>
T parallel_transform_reduce(E&& where, R&& range, T init, Op op, Transform transform,
                            loop_options options = {}) {
  return detail::reduce_over(detail::loop_place(where),
                             detail::make_index_row(range, "parallel_transform_reduce"),
                             std::move(init), op, transform, options, "parallel_transform_reduce");
}

// The same where the brackets depend on the number of elements and on nothing else: the same bits
// on any pool, any executor, at any time. There is no grain to choose: it would change them.
// Allocates 512 T at most.
template <loop_range R, class T, class Op>
  requires reduces_to<Op, T, std::ranges::range_reference_t<R>>
T parallel_reduce_deterministic(R&& range, T init, Op op) {
  detail::unchanged same;
  return detail::reduce_in_blocks({},
                                  detail::make_index_row(range, "parallel_reduce_deterministic"),
                                  std::move(init), op, same, "parallel_reduce_deterministic");
}
template <runs_loops E, loop_range R, class T, class Op>
  requires reduces_to<Op, T, std::ranges::range_reference_t<R>>
T parallel_reduce_deterministic(E&& where, R&& range, T init, Op op) {
  detail::unchanged same;
  return detail::reduce_in_blocks(detail::loop_place(where),
                                  detail::make_index_row(range, "parallel_reduce_deterministic"),
                                  std::move(init), op, same, "parallel_reduce_deterministic");
}

}  // namespace heddle::inline HEDDLE_ABI
