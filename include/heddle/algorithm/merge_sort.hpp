// The sequential parts of parallel_stable_sort. Users need algorithm/parallel_sort.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>

#include <heddle/algorithm/quick_sort.hpp>
#include <heddle/prim/config.hpp>

// As in quick_sort.hpp, nothing here trusts the comparator.
namespace heddle::inline HEDDLE_ABI::detail {

inline constexpr std::ptrdiff_t most_in_insertion_sort = 16;

// Merges [first, middle) and [middle, last) by rotations, without memory: Dudziński and Dydek, "On
// a stable minimum storage merging algorithm", 1981.
template <class It, class Compare>
void merge_in_place(It first, It middle, It last, Compare& comp) {
  while (first != middle && middle != last) {
    const auto left = middle - first;
    const auto right = last - middle;
    if (left + right == 2) {
      if (comp(*middle, *first)) std::ranges::iter_swap(first, middle);
      return;
    }
    It left_cut = first + left / 2;
    It right_cut = middle + right / 2;
    if (left > right) {
      right_cut = std::partition_point(middle, last, [&](auto&& e) { return comp(e, *left_cut); });
    } else {
      left_cut =
          std::partition_point(first, middle, [&](auto&& e) { return !comp(*right_cut, e); });
    }
    const It cut = std::rotate(left_cut, middle, right_cut);
    merge_in_place(first, left_cut, cut, comp);
    first = cut;
    middle = right_cut;
  }
}

// The same with memory for the left half. Moves must not throw.
template <class It, class T, class Compare>
void merge_with(T* scratch, It first, It middle, It last, Compare& comp) {
  if (!comp(*middle, *(middle - 1))) return;
  // The gap has always room for what is outside, which goes there whatever happens.
  struct outside {
    T* begin;
    T* end;
    It gap;

    outside(T* memory, It from, It to) noexcept : begin(memory), end(memory), gap(from) {
      for (; from != to; ++from, ++end) std::construct_at(end, std::ranges::iter_move(from));
    }
    outside(const outside&) = delete;
    outside& operator=(const outside&) = delete;
    ~outside() {
      for (; begin != end; ++begin, ++gap) {
        *gap = std::move(*begin);
        std::destroy_at(begin);
      }
    }
  } left(scratch, first, middle);
  while (left.begin != left.end && middle != last) {
    const bool take_right = comp(*middle, *left.begin);
    if constexpr (cheap_to_copy<It>) {
      *left.gap = take_right ? *middle : *left.begin;
      middle += take_right;
      left.begin += !take_right;
    } else if (take_right) {
      *left.gap = std::ranges::iter_move(middle);
      ++middle;
    } else {
      *left.gap = std::move(*left.begin);
      std::destroy_at(left.begin);
      ++left.begin;
    }
    ++left.gap;
  }
}

// `scratch`: room for half of the elements, or null.
template <class It, class T, class Compare>
void merge_sort(It first, It last, T* scratch, Compare& comp) {
  if (last - first <= most_in_insertion_sort) return insertion_sort(first, last, comp);
  const It middle = first + (last - first) / 2;
  merge_sort(first, middle, scratch, comp);
  merge_sort(middle, last, scratch, comp);
  if constexpr (lifts_safely<It>) {
    if (scratch != nullptr) return merge_with(scratch, first, middle, last, comp);
  }
  merge_in_place(first, middle, last, comp);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
