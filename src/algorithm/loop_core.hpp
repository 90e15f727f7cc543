// What loops on pools and on other executors have in common: how they fail, and how long a piece
// may be.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <heddle/algorithm/first_failure.hpp>
#include <heddle/algorithm/loop.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/cycle_counter.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// How many elements to do between two looks at whether somebody else wants some.
class loop_pace {
 public:
  // Some microseconds: what a look costs does not count beside it, and what a thread can be late
  // at the end of the loop is not worth another division. Where there is much to come, four times
  // as much, for the sake of what reads memory in a row.
  static constexpr std::uint64_t piece_us = 5;
  static constexpr std::size_t much = 64;

  // A grain of 0: begins with `block`, and measures.
  loop_pace(std::size_t grain, std::size_t block) noexcept
      : block_(grain != 0 ? grain : std::max<std::size_t>(block, 1)), measures_(grain == 0) {
    start();
  }

  std::size_t block() const noexcept { return block_; }

  void start() noexcept {
    if (measures_) before_ = prim::cycle_count();
  }

  // So many have been done since the start, or since this was last called; so many are left.
  void did(std::size_t count, std::size_t left = 0) noexcept {
    if (!measures_) return;
    look(count);
    const std::size_t piece = as_many_as_take(piece_us);
    block_ = std::clamp<std::size_t>(std::clamp(left / much, piece, times(4, piece)), block_ / 8,
                                     times(8, block_));
    if (block_ == 0) block_ = 1;
  }

  // In the beginning: grows faster, because the first elements tell little.
  void did_first(std::size_t count) noexcept {
    look(count);
    block_ = std::clamp<std::size_t>(as_many_as_take(piece_us), 1, times(32, count));
  }

  std::uint64_t took() const noexcept { return static_cast<std::uint64_t>(took_); }
  double estimate(std::size_t count) const noexcept {
    return static_cast<double>(took_) * static_cast<double>(count) / static_cast<double>(done_);
  }

 private:
  void look(std::size_t count) noexcept {
    const std::uint64_t now = prim::cycle_count();
    // Two cores may differ: time may seem to have gone backwards.
    took_ = std::max<std::int64_t>(static_cast<std::int64_t>(now - before_), 1);
    before_ = now;
    done_ = count;
  }
  static std::size_t times(std::size_t factor, std::size_t count) noexcept {
    return count > ~std::size_t{0} / factor ? ~std::size_t{0} : count * factor;
  }
  std::size_t as_many_as_take(std::uint64_t microseconds) const noexcept {
    const double counts = static_cast<double>(microseconds * prim::cycles_per_microsecond());
    const double many = counts * static_cast<double>(done_) / static_cast<double>(took_);
    constexpr double limit = 1e15;
    return static_cast<std::size_t>(std::min(many, limit));
  }

  std::size_t block_;
  const bool measures_;
  std::uint64_t before_ = 0;
  std::int64_t took_ = 1;
  std::size_t done_ = 1;
};

// One loop, shared by all threads that take part in it. It lives on the caller's stack.
class loop_core : public first_failure {
 public:
  loop_core(loop_work& work, std::size_t grain) noexcept : work_(work), grain_(grain) {}

  loop_work& work() const noexcept { return work_; }
  std::size_t grain() const noexcept { return grain_; }

  // False: it has failed.
  bool run(loop_part* into, std::size_t first, std::size_t last) noexcept {
    try {
      work_.run(into, first, last);
      return true;
    } catch (...) {
      fail();
      return false;
    }
  }
  std::unique_ptr<loop_part> new_part() noexcept {
    try {
      return work_.new_part();
    } catch (...) {
      fail();
      return nullptr;
    }
  }
  // Not when it has failed: a part of which an operation has thrown is in pieces.
  void append(loop_part& left, loop_part& right) noexcept {
    if (failed()) return;
    try {
      work_.append(left, right);
    } catch (...) {
      fail();
    }
  }

  // Alone, block by block.
  void run_rest(loop_part* part, std::size_t first, std::size_t last, loop_pace& pace) noexcept {
    while (first != last && !failed()) {
      const std::size_t n = std::min(pace.block(), last - first);
      if (!run(part, first, first + n)) return;
      first += n;
      pace.did(n, last - first);
    }
  }

 private:
  loop_work& work_;
  const std::size_t grain_;
};

// The rest of a loop, from `first` on, on an executor that is not known to be a pool.
void run_on_executor(loop_core& loop, executor_ref where, loop_part* part, std::size_t first,
                     std::size_t count, const loop_pace& pace);

}  // namespace heddle::inline HEDDLE_ABI::detail
