// The part of parallel_sort that several threads have in common. Users need
// algorithm/parallel_sort.hpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include <heddle/algorithm/loop.hpp>
#include <heddle/algorithm/parallel_for.hpp>
#include <heddle/algorithm/quick_sort.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Like partition_by. Chunks are partitioned apart; then what lies on the wrong side of the border
// that follows changes places. After Tsigas and Zhang, "A simple, fast parallel implementation of
// Quicksort", 2003, with chunks that stay where they are.
class partition_together {
 public:
  explicit partition_together(const loop_place& where) noexcept : where_(where) {}

  template <class It, class Predicate>
  It operator()(It first, It last, Predicate goes_left) const {
    const auto size = static_cast<std::size_t>(last - first);
    const std::size_t chunk = std::max(size / most_chunks, worth_sorting_apart<It>);
    const std::size_t chunks = (size + chunk - 1) / chunk;
    if (chunks <= 1) return partition_by(first, last, goes_left);
    const auto at = [&](std::size_t n) {
      return first + static_cast<std::iter_difference_t<It>>(n);
    };
    std::vector<std::size_t> borders(chunks);  // where the right ones of each chunk begin
    for_each_piece(where_, chunks, [&](std::size_t n) {
      const It begin = at(n * chunk);
      const It border = partition_by(begin, at(std::min((n + 1) * chunk, size)), goes_left);
      borders[n] = static_cast<std::size_t>(border - first);
    });
    std::size_t left = 0;
    for (std::size_t n = 0; n != chunks; ++n) left += borders[n] - n * chunk;
    const std::vector<exchange> pairs = misplaced(borders, chunk, size, left);
    for_each_piece(where_, pairs.size(), [&](std::size_t n) {
      const exchange& e = pairs[n];
      std::swap_ranges(at(e.low), at(e.low + e.count), at(e.high));
    });
    return at(left);
  }

 private:
  static constexpr std::size_t most_chunks = 64;

  // `count` right elements from `low` on, and as many left ones from `high` on.
  struct exchange {
    std::size_t low, high, count;
  };

  HEDDLE_API static std::vector<exchange> misplaced(const std::vector<std::size_t>& borders,
                                                    std::size_t chunk, std::size_t size,
                                                    std::size_t left);

  const loop_place& where_;
};

// Quicksort in rounds: in each one every piece that is still too long is divided. When all are
// short they are sorted, each on one thread.
template <class It, class Compare>
class quick_sort_rounds {
 public:
  quick_sort_rounds(const loop_place& where, It first, std::size_t size, Compare& comp)
      : where_(where), first_(first), size_(size), comp_(comp) {}

  void run() {
    const std::size_t enough = std::max(size_ / most_pieces, worth_sorting_apart<It>);
    std::vector<piece> pieces{{0, size_, false}};
    // Pieces that after so many rounds are too long have met bad pivots, and are sorted as they
    // are.
    for (unsigned round = 0; round != most_rounds; ++round) {
      std::vector<piece> halves(2 * pieces.size());
      const auto divide_piece = [&](std::size_t n, const auto& partition) {
        const piece& p = pieces[n];
        if (p.end - p.begin <= enough) {
          halves[2 * n] = p;
          return;
        }
        const two_sides<It> sides = divide(at(p.begin), at(p.end), p.has_border, comp_, partition);
        halves[2 * n] = {p.begin, number(sides.left_end), p.has_border};
        halves[2 * n + 1] = {number(sides.right_begin), p.end, true};
      };
      const auto longest = std::max_element(
          pieces.begin(), pieces.end(),
          [](const piece& a, const piece& b) { return a.end - a.begin < b.end - b.begin; });
      if (longest->end - longest->begin > size_ / 2) {
        for (std::size_t n = 0; n != pieces.size(); ++n) {
          divide_piece(n, partition_together(where_));
        }
      } else {
        for_each_piece(where_, pieces.size(),
                       [&](std::size_t n) { divide_piece(n, partition_alone{}); });
      }
      std::erase_if(halves, [](const piece& p) { return p.begin == p.end; });
      pieces = std::move(halves);
      if (std::all_of(pieces.begin(), pieces.end(),
                      [&](const piece& p) { return p.end - p.begin <= enough; })) {
        break;
      }
    }
    for_each_piece(where_, pieces.size(), [&](std::size_t n) {
      const piece& p = pieces[n];
      quick_sort(at(p.begin), at(p.end), p.has_border, bad_divisions_allowed(p.end - p.begin),
                 comp_);
    });
  }

 private:
  static constexpr std::size_t most_pieces = 64;
  static constexpr unsigned most_rounds = 10;

  struct piece {
    std::size_t begin = 0, end = 0;
    bool has_border = false;
  };

  It at(std::size_t n) const { return first_ + static_cast<std::iter_difference_t<It>>(n); }
  std::size_t number(It i) const { return static_cast<std::size_t>(i - first_); }

  const loop_place& where_;
  const It first_;
  const std::size_t size_;
  Compare& comp_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
