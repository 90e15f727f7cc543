// A function of each element of a range, written to another one.
#pragma once

#include <concepts>
#include <cstddef>
#include <iterator>
#include <ranges>

#include <heddle/algorithm/loop.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

template <class I, class Out, class F>
class transformation final : public loop_work {
 public:
  transformation(const index_row<I>& row, const index_row<Out>& out, F& f) noexcept
      : row_(row), out_(out), f_(f) {}

  void run(loop_part*, std::size_t first, std::size_t last) override {
    const I end = row_[last];
    Out out = out_[first];
    for (I i = row_[first]; i != end; ++i, ++out) *out = detail::invoke(f_, *i);
  }

 private:
  const index_row<I>& row_;
  const index_row<Out>& out_;
  F& f_;
};

template <class I, class Out, class F>
Out transform_over(const loop_place& where, const index_row<I>& row, Out out, F& f,
                   loop_options options) {
  require_callable(f, "parallel_transform");
  const index_row<Out> outs{std::move(out), row.count};
  transformation<I, Out, F> work(row, outs, f);
  run_loop(work, row.count, nullptr, options, where);
  return outs[row.count];
}

}  // namespace detail

// *out++ = f(element) for each element of the range; several at the same time, so f is called
// concurrently, and each result is written to its place. Returns the end of what was written. For
// all else see parallel_for.
//
// Requires: there is room behind `out`. It may be the range itself, and else must not overlap it.
// Throws the first exception of f, or of an assignment: then some elements have been written.
template <loop_range R, std::random_access_iterator Out, class F>
  requires std::invocable<F&, std::ranges::range_reference_t<R>> &&
           std::indirectly_writable<Out,
                                    std::invoke_result_t<F&, std::ranges::range_reference_t<R>>>
Out parallel_transform(R&& range, Out out, F&& f, loop_options options = {}) {
  return detail::transform_over({}, detail::make_index_row(range, "parallel_transform"),
                                std::move(out), f, options);
}
template <runs_loops E, loop_range R, std::random_access_iterator Out, class F>
  requires std::invocable<F&, std::ranges::range_reference_t<R>> &&
           std::indirectly_writable<Out,
                                    std::invoke_result_t<F&, std::ranges::range_reference_t<R>>>
Out parallel_transform(E&& where, R&& range, Out out, F&& f, loop_options options = {}) {
  return detail::transform_over(detail::loop_place(where),
                                detail::make_index_row(range, "parallel_transform"), std::move(out),
                                f, options);
}

}  // namespace heddle::inline HEDDLE_ABI
