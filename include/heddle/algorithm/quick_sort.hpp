// The sequential part of parallel_sort: a quicksort that stays n log n. Users need
// algorithm/parallel_sort.hpp.
#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <type_traits>
#include <utility>

#include <heddle/prim/config.hpp>

// Nothing here trusts the comparator: whatever it answers, or throws, each element is in the range
// afterwards, no other place is touched, and it ends.
namespace heddle::inline HEDDLE_ABI::detail {

// Values for which a wrong guess of a branch costs more than some copies.
template <class It>
concept cheap_to_copy = std::is_pointer_v<It> && (std::is_arithmetic_v<std::iter_value_t<It>> ||
                                                  std::is_pointer_v<std::iter_value_t<It>> ||
                                                  std::is_enum_v<std::iter_value_t<It>>);

// Fewer elements than so many are not divided.
template <class It>
inline constexpr std::size_t worth_sorting_apart = cheap_to_copy<It> ? 4096 : 512;

// Keeps a value out of the range, and puts it back where the gap has got to.
template <class It>
struct lifted {
  It gap;
  std::iter_value_t<It> value;

  explicit lifted(It at) : gap(at), value(std::ranges::iter_move(at)) {}
  lifted(const lifted&) = delete;
  lifted& operator=(const lifted&) = delete;
  ~lifted() { *gap = std::move(value); }
};

template <class It>
inline constexpr bool lifts_safely = std::is_nothrow_move_constructible_v<std::iter_value_t<It>> &&
                                     std::is_nothrow_move_assignable_v<std::iter_value_t<It>>;

template <class It, class Compare>
void insertion_sort(It first, It last, Compare& comp) {
  if (first == last) return;
  for (It i = first + 1; i != last; ++i) {
    if (!comp(*i, *(i - 1))) continue;
    if constexpr (lifts_safely<It>) {
      lifted<It> l(i);
      do {
        *l.gap = std::ranges::iter_move(l.gap - 1);
        --l.gap;
      } while (l.gap != first && comp(l.value, *(l.gap - 1)));
    } else {
      It at = i;
      do {
        std::ranges::iter_swap(at, at - 1);
        --at;
      } while (at != first && comp(*at, *(at - 1)));
    }
  }
}

template <class It, class Compare>
void heap_sort(It first, It last, Compare& comp) {
  using difference = std::iter_difference_t<It>;
  const difference size = last - first;
  const auto sift = [&](difference at, difference end) {
    for (difference child = 2 * at + 1; child < end; child = 2 * at + 1) {
      if (child + 1 < end && comp(first[child], first[child + 1])) ++child;
      if (!comp(first[at], first[child])) return;
      std::ranges::iter_swap(first + at, first + child);
      at = child;
    }
  };
  for (difference n = size / 2; n-- > 0;) sift(n, size);
  for (difference n = size; n-- > 1;) {
    std::ranges::iter_swap(first, first + n);
    sift(0, n);
  }
}

// Networks of the fewest comparators, for 2 to 8 values: Knuth, "The Art of Computer Programming",
// volume 3, section 5.3.4.
template <class T, class Compare, class... Pairs>
void sort_by_network(T* v, Compare& comp, Pairs... pairs) {
  const auto order = [&](unsigned pair) {
    T& a = v[pair / 10];
    T& b = v[pair % 10];
    const bool wrong = comp(b, a);
    const T low = wrong ? b : a;
    b = wrong ? a : b;
    a = low;
  };
  (order(pairs), ...);
}

// Up to 8 values.
template <class T, class Compare>
void sort_few(T* v, std::ptrdiff_t size, Compare& comp) {
  switch (size) {
    case 2:
      return sort_by_network(v, comp, 1u);
    case 3:
      return sort_by_network(v, comp, 2u, 1u, 12u);
    case 4:
      return sort_by_network(v, comp, 2u, 13u, 1u, 23u, 12u);
    case 5:
      return sort_by_network(v, comp, 3u, 14u, 2u, 13u, 1u, 24u, 12u, 34u, 23u);
    case 6:
      return sort_by_network(v, comp, 5u, 13u, 24u, 12u, 34u, 3u, 25u, 1u, 23u, 45u, 12u, 34u);
    case 7:
      return sort_by_network(v, comp, 6u, 23u, 45u, 2u, 14u, 36u, 1u, 25u, 34u, 12u, 46u, 23u, 45u,
                             12u, 34u, 56u);
    case 8:
      return sort_by_network(v, comp, 2u, 13u, 46u, 57u, 4u, 15u, 26u, 37u, 1u, 23u, 45u, 67u, 24u,
                             35u, 14u, 36u, 12u, 34u, 56u);
    default:
      return;
  }
}

// Merges the sorted halves of `from` to `to`, from both ends at once, for two chains of copies that
// do not wait for each other. The first half is the shorter one, if any is.
template <class T, class Compare>
void merge_halves(const T* from, std::ptrdiff_t size, T* to, Compare& comp) {
  const std::ptrdiff_t half = size / 2;
  std::ptrdiff_t left = 0;
  std::ptrdiff_t right = half;
  std::ptrdiff_t left_end = half;
  std::ptrdiff_t right_end = size;
  for (std::ptrdiff_t n = 0; n != half; ++n) {
    const bool take_right = comp(from[right], from[left]);
    to[n] = from[take_right ? right : left];
    right += take_right;
    left += !take_right;
    const bool take_left = comp(from[right_end - 1], from[left_end - 1]);
    to[size - 1 - n] = from[(take_left ? left_end : right_end) - 1];
    left_end -= take_left;
    right_end -= !take_left;
  }
  if (size % 2 != 0) {
    const bool from_left = left < left_end;
    to[half] = from[from_left ? left : right];
    left += from_left;
    right += !from_left;
  }
  // The ends have met; or the comparator is no order, and some values have been taken twice.
  if (left != left_end || right != right_end) std::copy_n(from, size, to);
}

inline constexpr std::ptrdiff_t most_in_small_sort = 32;

// Up to 32 values.
template <class T, class Compare>
void small_sort(T* v, std::ptrdiff_t size, Compare& comp) {
  if (size <= 8) return sort_few(v, size, comp);
  // A comparator that throws finds all values in `copy` while `v` is written.
  struct copy_of_all {
    T* to;
    std::ptrdiff_t size;
    bool due = false;
    T values[most_in_small_sort];

    copy_of_all(T* of, std::ptrdiff_t n) noexcept : to(of), size(n) {}
    copy_of_all(const copy_of_all&) = delete;
    copy_of_all& operator=(const copy_of_all&) = delete;
    ~copy_of_all() {
      if (due) std::copy_n(values, size, to);
    }
  } copy(v, size);
  const std::ptrdiff_t half = size / 2;
  if (size <= 16) {
    sort_few(v, half, comp);
    sort_few(v + half, size - half, comp);
    merge_halves(v, size, copy.values, comp);
    std::copy_n(copy.values, size, v);
    return;
  }
  for (T* part : {v, v + half}) {
    const std::ptrdiff_t n = part == v ? half : size - half;
    sort_few(part, n / 2, comp);
    sort_few(part + n / 2, n - n / 2, comp);
    merge_halves(part, n, copy.values + (part - v), comp);
  }
  copy.due = true;
  merge_halves(copy.values, size, v, comp);
  copy.due = false;
}

// Moves the elements for which `goes_left` holds before the others; returns where these begin.
// For cheap values without a branch: the elements that have been seen lie left before right, one
// is lifted, and what is next goes to where the right ones begin, the first of which fills the
// gap. After Alexandrescu, "Lomuto's comeback", 2020, and Bergdoll and Peters, "Branchless Lomuto
// partitioning", 2023. Others: Hoare, "Quicksort", 1962.
template <class It, class Predicate>
It partition_by(It first, It last, Predicate goes_left) {
  if (first == last) return first;
  if constexpr (cheap_to_copy<It>) {
    lifted<It> l(first);
    It border = first;
    for (It next = first + 1; next != last; ++next) {
      const bool left = goes_left(*next);
      *l.gap = *border;
      *border = *next;
      border += left;
      l.gap = next;
    }
    const bool left = goes_left(l.value);
    *l.gap = *border;
    l.gap = border;
    return border + left;
  } else {
    for (;;) {
      while (first != last && goes_left(*first)) ++first;
      if (first == last) return first;
      do {
        if (--last == first) return first;
      } while (!goes_left(*last));
      std::ranges::iter_swap(first, last);
      ++first;
    }
  }
}

template <class It, class Compare>
It median_of(It a, It b, It c, Compare& comp) {
  if (comp(*b, *a)) std::swap(a, b);
  if (!comp(*c, *b)) return b;
  return comp(*c, *a) ? a : c;
}

// Of three, nine, 27, ... elements: Bentley and McIlroy, "Engineering a sort function", 1993.
template <class It, class Compare>
It pseudo_median(It first, std::iter_difference_t<It> size, Compare& comp) {
  const auto step = size / 8;
  if (size < 128) return median_of(first, first + 4 * step, first + 7 * step, comp);
  return median_of(pseudo_median(first, step, comp), pseudo_median(first + 4 * step, step, comp),
                   pseudo_median(first + 7 * step, step, comp), comp);
}

// Moves some elements about, so that what made the last pivot a bad one does not make the next.
template <class It>
void break_pattern(It first, It last) {
  const auto size = static_cast<std::uint64_t>(last - first);
  if (size < 8) return;
  std::uint64_t seed = size;
  for (const std::uint64_t at : {size / 8, size / 2, size / 8 * 7}) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    std::ranges::iter_swap(first + static_cast<std::iter_difference_t<It>>(at),
                           first + static_cast<std::iter_difference_t<It>>(seed % size));
  }
}

// The divider: a copy where it is a cheap one, which no store to the range can change.
template <class It>
using pivot_value =
    std::conditional_t<cheap_to_copy<It>, const std::iter_value_t<It>, std::iter_reference_t<It>>;

// A range in two, and what is between them: elements that are where they belong.
template <class It>
struct two_sides {
  It left_end, right_begin;
};

// `has_border`: the element before the range is not greater than any of its elements. If the pivot
// is not greater than it, all that equal the pivot are done.
// Requires: size > 8.
template <class It, class Compare, class Partition>
two_sides<It> divide(It first, It last, bool has_border, Compare& comp,
                     const Partition& partition) {
  std::ranges::iter_swap(first, pseudo_median(first, last - first, comp));
  pivot_value<It> pivot = *first;
  if (has_border && !comp(*(first - 1), pivot)) {
    return {first, partition(first + 1, last, [&](auto&& e) { return !comp(pivot, e); })};
  }
  const It middle = partition(first + 1, last, [&](auto&& e) { return comp(e, pivot); }) - 1;
  std::ranges::iter_swap(first, middle);
  return {middle, middle + 1};
}

struct partition_alone {
  template <class It, class Predicate>
  It operator()(It first, It last, Predicate goes_left) const {
    return partition_by(first, last, goes_left);
  }
};

// So many divisions may be bad before something that is never bad takes over.
inline unsigned bad_divisions_allowed(std::size_t size) noexcept {
  return static_cast<unsigned>(std::bit_width(size));
}

// Source: Musser, "Introspective sorting and selection algorithms", 1997; borders and what is done
// after a bad division after Peters, "Pattern-defeating quicksort", 2021.
template <class It, class Compare>
void quick_sort(It first, It last, bool has_border, unsigned bad_allowed, Compare& comp) {
  constexpr std::iter_difference_t<It> few = cheap_to_copy<It> ? most_in_small_sort : 16;
  for (auto size = last - first; size > few; size = last - first) {
    if (bad_allowed == 0) return heap_sort(first, last, comp);
    const two_sides<It> sides = divide(first, last, has_border, comp, partition_alone{});
    if (std::max(sides.left_end - first, last - sides.right_begin) > size - size / 8) {
      --bad_allowed;
      break_pattern(first, sides.left_end);
      break_pattern(sides.right_begin, last);
    }
    quick_sort(first, sides.left_end, has_border, bad_allowed, comp);
    first = sides.right_begin;
    has_border = true;
  }
  if constexpr (cheap_to_copy<It>) {
    small_sort(first, last - first, comp);
  } else {
    insertion_sort(first, last, comp);
  }
}

}  // namespace heddle::inline HEDDLE_ABI::detail
