// The part of parallel_stable_sort that several threads have in common. Users need
// algorithm/parallel_sort.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include <heddle/algorithm/loop.hpp>
#include <heddle/algorithm/merge_sort.hpp>
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Sorted runs, merged pairwise in rounds, each round from the range to the scratch memory or back.
// Every merge is cut in pieces that know where in both runs they begin and end. Moves must not
// throw.
template <class It, class Compare>
class merge_sort_rounds {
 public:
  using T = std::iter_value_t<It>;

  merge_sort_rounds(const loop_place& where, It first, std::size_t size, T* scratch, Compare& comp)
      : where_(where), first_(first), size_(size), scratch_(scratch), comp_(comp) {}

  // Whatever is thrown, the elements are in the range afterwards.
  void run() {
    std::size_t runs = 4;  // powers of 4: an even number of rounds ends where it began
    while (runs < most_runs && size_ / (runs * 4) >= 4 * worth_sorting_apart<It>) runs *= 4;
    const auto begin_of = [&](std::size_t n, std::size_t of) {
      return size_ / of * n + std::min(n, size_ % of);
    };
    for_each_piece(where_, runs, [&](std::size_t n) {
      const std::size_t begin = begin_of(n, runs);
      merge_sort(at(begin), at(begin_of(n + 1, runs)), scratch_ + begin, comp_);
    });
    std::vector<std::size_t> begins;
    for (std::size_t n = 0; n <= runs; ++n) begins.push_back(begin_of(n, runs));
    while (begins.size() > 2) {
      merge_pairs<true>(begins);
      merge_pairs<false>(begins);
    }
  }

 private:
  static constexpr std::size_t most_runs = 64;
  static constexpr std::size_t most_pieces = 64;

  struct piece {
    std::size_t left, left_end, right, right_end, to;
    bool begun = false;
  };

  It at(std::size_t n) const { return first_ + static_cast<std::iter_difference_t<It>>(n); }

  // Where the elements are before a round that goes out to the scratch memory, or back.
  template <bool out>
  decltype(auto) element(std::size_t n) const {
    if constexpr (out) {
      return *at(n);
    } else {
      return static_cast<T&>(scratch_[n]);
    }
  }
  template <bool out>
  void move_to(std::size_t to, std::size_t from) const noexcept {
    if constexpr (out) {
      std::construct_at(scratch_ + to, std::ranges::iter_move(at(from)));
    } else {
      *at(to) = std::move(scratch_[from]);
      std::destroy_at(scratch_ + from);
    }
  }

  // What a piece has begun it ends, in some order, also when the comparator throws.
  template <bool out>
  struct moving {
    const merge_sort_rounds& sort;
    piece now;

    moving(const merge_sort_rounds& s, piece& p) noexcept : sort(s), now(p) { p.begun = true; }
    moving(const moving&) = delete;
    moving& operator=(const moving&) = delete;
    ~moving() {
      while (now.left != now.left_end) sort.move_to<out>(now.to++, now.left++);
      while (now.right != now.right_end) sort.move_to<out>(now.to++, now.right++);
    }
  };

  template <bool out>
  void merge(piece& p) const {
    moving<out> m(*this, p);
    piece& now = m.now;
    while (now.left != now.left_end && now.right != now.right_end) {
      const bool take_right = comp_(element<out>(now.right), element<out>(now.left));
      const std::size_t from = take_right ? now.right : now.left;
      now.right += take_right;
      now.left += !take_right;
      move_to<out>(now.to++, from);
    }
  }

  template <bool out>
  void merge_pairs(std::vector<std::size_t>& begins) {
    std::vector<piece> pieces;
    try {
      for (std::size_t n = 0; n + 2 < begins.size(); n += 2) {
        cut<out>(pieces, begins[n], begins[n + 1], begins[n + 2]);
      }
      for_each_piece(where_, pieces.size(), [&](std::size_t n) { merge<out>(pieces[n]); });
    } catch (...) {
      const bool any = std::any_of(pieces.begin(), pieces.end(), [](piece& p) { return p.begun; });
      if (any) {
        for (piece& p : pieces) {
          if (!p.begun) moving<out>(*this, p);
        }
      }
      if (out == any) {
        for (std::size_t n = 0; n != size_; ++n) move_to<false>(n, n);
      }
      throw;
    }
    std::size_t kept = 1;
    for (std::size_t n = 2; n < begins.size(); n += 2) begins[kept++] = begins[n];
    begins.resize(kept);
  }

  // For each piece's end: how many of its elements are from the left run. Equal elements of that
  // go first. Cuts do not cross each other, whatever the comparator says.
  template <bool out>
  void cut(std::vector<piece>& pieces, std::size_t left, std::size_t right, std::size_t end) const {
    const std::size_t begin = left;
    const std::size_t middle = right;
    const std::size_t step = std::max(size_ / most_pieces, worth_sorting_apart<It>);
    while (left != middle || right != end) {
      const std::size_t to = left + (right - middle);
      const std::size_t upto = end - to > step ? to + step : end;
      const std::size_t count = upto - begin;
      std::size_t low = std::max(left, count > end - middle ? upto - (end - middle) : begin);
      std::size_t high = std::min(middle, upto - (right - middle));
      while (low < high) {
        const std::size_t half = low + (high - low) / 2;
        if (comp_(element<out>(middle + (upto - half) - 1), element<out>(half))) {
          high = half;
        } else {
          low = half + 1;
        }
      }
      const std::size_t right_cut = middle + (upto - low);
      pieces.push_back({left, low, right, right_cut, to});
      left = low;
      right = right_cut;
    }
  }

  const loop_place& where_;
  const It first_;
  const std::size_t size_;
  T* const scratch_;
  Compare& comp_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
