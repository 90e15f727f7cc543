// Loops whose elements may run at the same time.
#pragma once

#include <concepts>
#include <iterator>
#include <ranges>
#include <type_traits>

#include <heddle/algorithm/dealt_loop.hpp>
#include <heddle/algorithm/loop.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// The bodies are not inlined: one loop for each f, however many ways lead to it.

template <class I, class F>
class index_loop final : public loop_work {
 public:
  index_loop(const index_row<I>& row, F& f) noexcept : row_(row), f_(f) {}

  [[gnu::noinline]] void run(loop_part*, std::size_t first, std::size_t last) override {
    const I end = row_[last];
    for (I i = row_[first]; i != end; ++i) static_cast<void>(detail::invoke(f_, I(i)));
  }

 private:
  const index_row<I> row_;
  F& f_;
};

template <class I, class F>
class block_loop final : public loop_work {
 public:
  block_loop(const index_row<I>& row, F& f) noexcept : row_(row), f_(f) {}

  [[gnu::noinline]] void run(loop_part*, std::size_t first, std::size_t last) override {
    static_cast<void>(detail::invoke(f_, row_[first], row_[last]));
  }

 private:
  const index_row<I> row_;
  F& f_;
};

template <class I, class F>
class element_loop final : public loop_work {
 public:
  element_loop(const index_row<I>& row, F& f) noexcept : row_(row), f_(f) {}

  [[gnu::noinline]] void run(loop_part*, std::size_t first, std::size_t last) override {
    const I end = row_[last];
    for (I i = row_[first]; i != end; ++i) static_cast<void>(detail::invoke(f_, *i));
  }

 private:
  const index_row<I> row_;
  F& f_;
};

template <template <class, class> class Loop, class I, class F>
void run_over(const loop_place& where, const index_row<I>& row, F& f, loop_options options,
              const char* operation) {
  require_callable(f, operation);
  Loop<I, F> work(row, f);
  if (options.grain == 0 && is_alone_at(where)) {
    if (row.count != 0) work.run(nullptr, 0, row.count);
  } else if (options.grain == 0 || where.executor()) {
    run_loop(work, row.count, nullptr, options, where);
  } else if (row.count > options.grain) {
    dealt_loop<Loop<I, F>>(work, options.grain).run_at(where, row.count);
  } else if (row.count != 0) {
    work.run(nullptr, 0, row.count);
  }
}

// Calls f(0) to f(count - 1), each of which is worth a thread of its own.
template <class F>
void for_each_piece(const loop_place& where, std::size_t count, F f) {
  const index_row<std::size_t> row{0, count};
  index_loop<std::size_t, F> work(row, f);
  run_loop(work, count, nullptr, {.grain = 1}, where);
}

template <class I, class J>
using common_index = decltype(make_index_row(std::declval<I>(), std::declval<J>(), ""));

template <class I, class J>
using index_of = decltype(std::declval<common_index<I, J>>().first);

}  // namespace detail

// Calls f(i) for each i from `first` to `last` - 1: integers, or random-access iterators (f gets
// the iterator). In no order, and several at the same time, so f is called concurrently; it is not
// copied. Returns when all calls have. May be nested, and called from any thread.
//
// Where: on a worker of a pool, on that pool; else the caller begins, and the default pool goes on
// if the loop is long enough (options.grain). Given a thread_pool, that one. Given another
// executor, the caller takes part, and the executor's threads help as far as it runs jobs, at most
// std::thread::hardware_concurrency() - 1 of them, and one where that is less: whether it runs them
// at once, late, one by one, never, or refuses them, the loop ends. Jobs that begin when it has
// ended do nothing, and touch nothing of the caller's. Where a pool takes no more work the caller
// does it.
//
// Requires: first <= last; so with the ends of a range, where that is what is given. Throws
// std::invalid_argument otherwise; the first exception of f, when no call runs any more (those that
// had not begun are left out, further exceptions go to the unhandled handler); would_starve as
// parallel_invoke.
// Memory ordering: what happened before the call happened before each f(i); what these do happens
// before the return.
// Blocks? Until calls that others have taken have ended; meanwhile a worker runs what these
// have forked, and else nothing. Each call of f has the caller's context where a pool runs it.
// Allocates? On pools as parallel_invoke. On other executors a cell for each job, and one.
// Complexity: a loop that is not worth dividing costs a plain one and some 100 ns; on the only
// worker of a pool that never has others, some 10, and it is not divided unless a grain is told.
// Dividing costs nothing that counts until a thread comes that has nothing to do; it gets half of
// what is left. With a grain a piece costs a few nanoseconds. Source: Tzannes, Caragea, Barua and
// Vishkin, "Lazy binary-splitting", PPoPP 2010.
template <loop_index I, loop_index J, class F>
  requires std::invocable<F&, detail::index_of<I, J>>
void parallel_for(I first, J last, F&& f, loop_options options = {}) {
  detail::run_over<detail::index_loop>({}, detail::make_index_row(first, last, "parallel_for"), f,
                                       options, "parallel_for");
}
template <runs_loops E, loop_index I, loop_index J, class F>
  requires std::invocable<F&, detail::index_of<I, J>>
void parallel_for(E&& where, I first, J last, F&& f, loop_options options = {}) {
  detail::run_over<detail::index_loop>(detail::loop_place(where),
                                       detail::make_index_row(first, last, "parallel_for"), f,
                                       options, "parallel_for");
}

// The same, but f(begin, end) does the elements of a block, one or more, in whatever way it likes.
template <loop_index I, loop_index J, class F>
  requires std::invocable<F&, detail::index_of<I, J>, detail::index_of<I, J>>
void parallel_for_blocks(I first, J last, F&& f, loop_options options = {}) {
  detail::run_over<detail::block_loop>({},
                                       detail::make_index_row(first, last, "parallel_for_blocks"),
                                       f, options, "parallel_for_blocks");
}
template <runs_loops E, loop_index I, loop_index J, class F>
  requires std::invocable<F&, detail::index_of<I, J>, detail::index_of<I, J>>
void parallel_for_blocks(E&& where, I first, J last, F&& f, loop_options options = {}) {
  detail::run_over<detail::block_loop>(detail::loop_place(where),
                                       detail::make_index_row(first, last, "parallel_for_blocks"),
                                       f, options, "parallel_for_blocks");
}

// The same for the elements of a range: f(element).
template <loop_range R, class F>
  requires std::invocable<F&, std::ranges::range_reference_t<R>>
void parallel_for_each(R&& range, F&& f, loop_options options = {}) {
  detail::run_over<detail::element_loop>({}, detail::make_index_row(range, "parallel_for_each"), f,
                                         options, "parallel_for_each");
}
template <runs_loops E, loop_range R, class F>
  requires std::invocable<F&, std::ranges::range_reference_t<R>>
void parallel_for_each(E&& where, R&& range, F&& f, loop_options options = {}) {
  detail::run_over<detail::element_loop>(detail::loop_place(where),
                                         detail::make_index_row(range, "parallel_for_each"), f,
                                         options, "parallel_for_each");
}

}  // namespace heddle::inline HEDDLE_ABI
