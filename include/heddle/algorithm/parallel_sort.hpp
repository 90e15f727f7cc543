// Sorting on several threads.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <new>
#include <ranges>

#include <heddle/algorithm/loop.hpp>
#include <heddle/algorithm/merge_sort.hpp>
#include <heddle/algorithm/merge_sort_rounds.hpp>
#include <heddle/algorithm/quick_sort.hpp>
#include <heddle/algorithm/quick_sort_rounds.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// Memory for elements, not for long; null when there is none.
template <class T>
class scratch_memory {
 public:
  explicit scratch_memory(std::size_t count) noexcept
      : data_(static_cast<T*>(::operator new(count * sizeof(T), alignment, std::nothrow))) {}
  ~scratch_memory() { ::operator delete(data_, alignment); }
  scratch_memory(const scratch_memory&) = delete;
  scratch_memory& operator=(const scratch_memory&) = delete;

  T* get() const noexcept { return data_; }

 private:
  static constexpr std::align_val_t alignment{std::max(alignof(T), std::size_t{64})};

  T* data_;
};

// Ranges that are sorted, or sorted backwards without equals, need no more than a look.
template <class It, class Compare>
bool sorted_at_a_look(It first, It last, Compare& comp) {
  if (last - first < 2) return true;
  It i = first + 1;
  if (comp(*i, *first)) {
    while (++i != last && comp(*i, *(i - 1))) {
    }
    if (i == last) std::reverse(first, last);
  } else {
    while (++i != last && !comp(*i, *(i - 1))) {
    }
  }
  return i == last;
}

template <class It>
bool worth_sorting_together(std::size_t size, const loop_place& where) {
  return size >= (is_at(where) ? 2 : 8) * worth_sorting_apart<It>;
}

template <class It, class Compare>
void sort_at(const loop_place& where, It first, std::size_t size, Compare& comp) {
  const It last = first + static_cast<std::iter_difference_t<It>>(size);
  if (sorted_at_a_look(first, last, comp)) return;
  if (!worth_sorting_together<It>(size, where)) {
    return quick_sort(first, last, false, bad_divisions_allowed(size), comp);
  }
  call_at(where, [&] { quick_sort_rounds<It, Compare>(where, first, size, comp).run(); });
}

template <class It, class Compare>
void stable_sort_at(const loop_place& where, It first, std::size_t size, Compare& comp) {
  using T = std::iter_value_t<It>;
  const It last = first + static_cast<std::iter_difference_t<It>>(size);
  if (sorted_at_a_look(first, last, comp)) return;
  if constexpr (lifts_safely<It>) {
    const bool together = worth_sorting_together<It>(size, where);
    const scratch_memory<T> scratch(together ? size : size / 2);
    if (together && scratch.get() != nullptr) {
      return call_at(where, [&] {
        merge_sort_rounds<It, Compare>(where, first, size, scratch.get(), comp).run();
      });
    }
    merge_sort(first, last, scratch.get(), comp);
  } else {
    merge_sort(first, last, static_cast<T*>(nullptr), comp);
  }
}

// Iterators into arrays are sorted as pointers: one instance of the code for all of them.
template <class R>
auto plain_begin(R& range) {
  using iterator = std::ranges::iterator_t<R>;
  if constexpr (std::contiguous_iterator<iterator>) {
    return std::to_address(std::ranges::begin(range));
  } else {
    return std::ranges::begin(range);
  }
}

// Equal elements are the same, whatever their order.
template <class T, class Compare>
concept cannot_tell_stable =
    std::integral<T> &&
    (std::same_as<Compare, std::less<>> || std::same_as<Compare, std::less<T>> ||
     std::same_as<Compare, std::ranges::less> || std::same_as<Compare, std::greater<>> ||
     std::same_as<Compare, std::greater<T>> || std::same_as<Compare, std::ranges::greater>);

template <class R, class Compare>
void sort_range(const loop_place& where, R& range, Compare& comp, const char* operation) {
  require_callable(comp, operation);
  sort_at(where, plain_begin(range), size_of_range(range, operation), comp);
}

template <class R, class Compare>
void stable_sort_range(const loop_place& where, R& range, Compare& comp) {
  const char* const operation = "parallel_stable_sort";
  if constexpr (cannot_tell_stable<std::ranges::range_value_t<R>, Compare>) {
    sort_range(where, range, comp, operation);
  } else {
    require_callable(comp, operation);
    stable_sort_at(where, plain_begin(range), size_of_range(range, operation), comp);
  }
}

}  // namespace detail

// Ranges that parallel_sort can sort with the comparator.
template <class R, class Compare>
concept parallel_sortable = loop_range<R> && std::sortable<std::ranges::iterator_t<R>, Compare>;

// Sorts the range; equal elements end in any order. Where it runs, and how it blocks: see
// parallel_for. What is too short to be divided is sorted by the caller.
//
// Requires: comp is a strict weak order, and may be called concurrently. One that is not leaves the
// elements in some order, and one that throws also: each is still in the range, as long as moving
// and swapping elements does not throw.
// Allocates little, whatever the size. Throws std::invalid_argument for a range that ends before it
// begins, the first exception of comp or of a move (further ones go to the unhandled handler),
// would_starve, std::bad_alloc.
// Complexity: n log n comparisons at most, times a constant; n for a range that is sorted, or
// sorted backwards without equals.
// Source: quicksort, with heapsort as the way out (Musser 1997); for numbers without branches that
// depend on them: see quick_sort.hpp.
template <class R, class Compare = std::less<>>
  requires parallel_sortable<R, Compare>
void parallel_sort(R&& range, Compare comp = {}) {
  detail::sort_range({}, range, comp, "parallel_sort");
}
template <runs_loops E, class R, class Compare = std::less<>>
  requires parallel_sortable<R, Compare>
void parallel_sort(E&& where, R&& range, Compare comp = {}) {
  detail::sort_range(detail::loop_place(where), range, comp, "parallel_sort");
}

// The same, and equal elements keep their order.
// Allocates room for as many elements. Without that, and for elements whose moves may throw, it
// takes n log² n steps, on the calling thread alone.
// Source: merge sort; a merge is cut after Deo and Sarkar, "Parallel algorithms for merging and
// sorting", 1991.
template <class R, class Compare = std::less<>>
  requires parallel_sortable<R, Compare>
void parallel_stable_sort(R&& range, Compare comp = {}) {
  detail::stable_sort_range({}, range, comp);
}
template <runs_loops E, class R, class Compare = std::less<>>
  requires parallel_sortable<R, Compare>
void parallel_stable_sort(E&& where, R&& range, Compare comp = {}) {
  detail::stable_sort_range(detail::loop_place(where), range, comp);
}

}  // namespace heddle::inline HEDDLE_ABI
