// All sums from the first element on, of elements that may be looked at at the same time.
#pragma once

#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <utility>
#include <vector>

#include <heddle/algorithm/loop.hpp>
#include <heddle/algorithm/parallel_reduce.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// The thread that has the leftmost part knows what came before, and writes. Another one that takes
// elements adds them up, and they are written in a second loop, when what comes before is known. So
// nothing is done twice unless somebody had time for it.
template <class T, class I, class Out, class Op, bool with_own>
class scan_pass final : public loop_work {
 public:
  // Elements that were added up; in the leftmost part `sum` is that of all before them.
  struct stretch {
    std::size_t first, last;
    std::optional<T> sum;
  };
  struct part final : loop_part {
    bool leftmost = false;
    std::optional<T> sum;  // of the leftmost
    std::vector<stretch> unwritten;
  };

  scan_pass(const index_row<I>& row, const index_row<Out>& out, Op& op) noexcept
      : row_(row), out_(out), op_(op) {}

  void run(loop_part* into, std::size_t first, std::size_t last) override {
    part& p = *static_cast<part*>(into);
    if (p.leftmost) return write(p.sum, first, last);
    unchanged same;
    p.unwritten.push_back({first, last, detail::fold<T>(row_[first], row_[last], op_, same)});
  }
  std::unique_ptr<loop_part> new_part() override { return std::make_unique<part>(); }
  void append(loop_part& left, loop_part& right) override {
    part& l = static_cast<part&>(left);
    for (stretch& s : static_cast<part&>(right).unwritten) {
      if (l.leftmost) {
        std::optional<T> before = l.sum;
        add(l.sum, std::move(*s.sum));
        s.sum = std::move(before);
      }
      l.unwritten.push_back(std::move(s));
    }
  }

  // `sum` is that of what is before, and then also of these.
  void write(std::optional<T>& sum, std::size_t first, std::size_t last) const {
    const I end = row_[last];
    I i = row_[first];
    Out out = out_[first];
    if constexpr (with_own) {
      if (!sum) {
        sum.emplace(*i);
        *out = *sum;
        ++i, ++out;
      }
    }
    T before = std::move(*sum);
    for (; i != end; ++i, ++out) {
      if constexpr (with_own) {
        before = static_cast<T>(detail::invoke(op_, std::move(before), *i));
        *out = before;
      } else {
        T with = static_cast<T>(detail::invoke(op_, before, *i));  // before it may be overwritten
        *out = std::move(before);
        before = std::move(with);
      }
    }
    *sum = std::move(before);
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
  const index_row<Out>& out_;
  Op& op_;
};

template <class Pass>
class write_pass final : public loop_work {
 public:
  using stretch = typename Pass::stretch;

  write_pass(const Pass& pass, std::vector<stretch>& stretches) noexcept
      : pass_(pass), stretches_(stretches) {}

  void run(loop_part*, std::size_t first, std::size_t last) override {
    for (std::size_t n = first; n != last; ++n) {
      stretch& s = stretches_[n];
      pass_.write(s.sum, s.first, s.last);
    }
  }

 private:
  const Pass& pass_;
  std::vector<stretch>& stretches_;
};

template <bool with_own, class T, class I, class Out, class Op>
Out scan_over(const loop_place& where, const index_row<I>& row, Out out, std::optional<T> init,
              Op& op, loop_options options, const char* operation) {
  require_callable(op, operation);
  using pass = scan_pass<T, I, Out, Op, with_own>;
  const index_row<Out> outs{std::move(out), row.count};
  pass first(row, outs, op);
  typename pass::part all;
  all.leftmost = true;
  all.sum = std::move(init);
  run_loop(first, row.count, &all, options, where);
  write_pass<pass> second(first, all.unwritten);
  run_loop(second, all.unwritten.size(), nullptr, {}, where);
  return outs[row.count];
}

}  // namespace detail

// What scans need of a T: that of a reduction, and a copy for each element.
template <class Op, class T, class Value, class Out>
concept scans_to = reduces_to<Op, T, Value> && std::copyable<T> &&
                   std::indirectly_writable<Out, const T&> && std::indirectly_writable<Out, T>;

// Writes e0, e0 op e1, e0 op e1 op e2, ... to `out`, with brackets put anywhere, several at the
// same time. Returns the end of what was written. For all else see parallel_for.
//
// Requires: op is associative (not commutative), and may be called concurrently; there is room
// behind `out`, which may be the range itself, and else must not overlap it.
// Throws the first exception of op or of an assignment: then some elements have been written.
// Allocates some memory for each block that another thread, or a job of an executor, has taken, and
// on an executor for those behind it.
// Complexity: one call of op for each element up to the first one that somebody else has taken, and
// up to two for those behind it: on two workers two thirds of the time of a plain loop, at best.
// Source: two passes after Blelloch, "Prefix sums and their applications", 1990; the first of which
// writes where it can after Traoré et al., "Deque-free work-optimal parallel STL algorithms", 2008.
template <loop_range R, std::random_access_iterator Out, class Op>
  requires scans_to<Op, std::ranges::range_value_t<R>, std::ranges::range_reference_t<R>, Out>
Out parallel_inclusive_scan(R&& range, Out out, Op op, loop_options options = {}) {
  return detail::scan_over<true, std::ranges::range_value_t<R>>(
      {}, detail::make_index_row(range, "parallel_inclusive_scan"), std::move(out), std::nullopt,
      op, options, "parallel_inclusive_scan");
}
template <runs_loops E, loop_range R, std::random_access_iterator Out, class Op>
  requires scans_to<Op, std::ranges::range_value_t<R>, std::ranges::range_reference_t<R>, Out>
Out parallel_inclusive_scan(E&& where, R&& range, Out out, Op op, loop_options options = {}) {
  return detail::scan_over<true, std::ranges::range_value_t<R>>(
      detail::loop_place(where), detail::make_index_row(range, "parallel_inclusive_scan"),
      std::move(out), std::nullopt, op, options, "parallel_inclusive_scan");
}

// The same behind an init: init op e0, init op e0 op e1, ...
template <loop_range R, std::random_access_iterator Out, class Op, class T>
  requires(!std::same_as<T, loop_options>) &&
          scans_to<Op, T, std::ranges::range_reference_t<R>, Out>
Out parallel_inclusive_scan(R&& range, Out out, Op op, T init, loop_options options = {}) {
  return detail::scan_over<true, T>({}, detail::make_index_row(range, "parallel_inclusive_scan"),
                                    std::move(out), std::optional<T>(std::move(init)), op, options,
                                    "parallel_inclusive_scan");
}
template <runs_loops E, loop_range R, std::random_access_iterator Out, class Op, class T>
  requires(!std::same_as<T, loop_options>) &&
          scans_to<Op, T, std::ranges::range_reference_t<R>, Out>
Out parallel_inclusive_scan(E&& where, R&& range, Out out, Op op, T init,
                            loop_options options = {}) {
  return detail::scan_over<true, T>(
      detail::loop_place(where), detail::make_index_row(range, "parallel_inclusive_scan"),
      std::move(out), std::optional<T>(std::move(init)), op, options, "parallel_inclusive_scan");
}

// Writes init, init op e0, init op e0 op e1, ...: for each element the sum of those before it.
// Otherwise as parallel_inclusive_scan.
template <loop_range R, std::random_access_iterator Out, class T, class Op>
  requires scans_to<Op, T, std::ranges::range_reference_t<R>, Out>
Out parallel_exclusive_scan(R&& range, Out out, T init, Op op, loop_options options = {}) {
  return detail::scan_over<false, T>({}, detail::make_index_row(range, "parallel_exclusive_scan"),
                                     std::move(out), std::optional<T>(std::move(init)), op, options,
                                     "parallel_exclusive_scan");
}
template <runs_loops E, loop_range R, std::random_access_iterator Out, class T, class Op>
  requires scans_to<Op, T, std::ranges::range_reference_t<R>, Out>
Out parallel_exclusive_scan(E&& where, R&& range, Out out, T init, Op op,
                            loop_options options = {}) {
  return detail::scan_over<false, T>(
      detail::loop_place(where), detail::make_index_row(range, "parallel_exclusive_scan"),
      std::move(out), std::optional<T>(std::move(init)), op, options, "parallel_exclusive_scan");
}

}  // namespace heddle::inline HEDDLE_ABI
