// Loops that are told how many elements a piece has, on pools: docs/protocols/loops.md.
#pragma once

#include <cstddef>

#include <heddle/algorithm/first_failure.hpp>
#include <heddle/algorithm/loop.hpp>
#include <heddle/exec/fork.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The calling thread's lane, if it is open and one of the pool.
inline fork_lane* open_lane(const loop_place& where) noexcept {
  thread_pool* const pool = where.pool();
  return pool != nullptr ? fork_lane::of_this_thread(*pool) : fork_lane::of_this_thread();
}

// Where the part of a loop begins that others may take, in one go. Its owner moves this beyond one
// piece after the other before it knows whether the part is still there. If it is not, the last
// move came too late or in time: who decides first decides for both.
class stretch_begin {
 public:
  explicit stretch_begin(std::size_t first) noexcept : first_(first) {}

  // The owner's, as long as it has the rest.
  void move_to(std::size_t first) noexcept { first_.store(first, prim::relaxed); }
  // The owner's, once it knows that somebody has taken the rest: whether that begins behind
  // `piece`, beyond which the owner has moved last.
  bool is_behind(std::size_t piece) noexcept {
    std::size_t decided = undecided;
    return begun_.compare_exchange_strong(decided, first_.load(prim::relaxed), prim::relaxed) ||
           decided != piece;
  }
  // Of who has taken it.
  std::size_t for_thief() noexcept {
    const std::size_t seen = first_.load(prim::relaxed);
    std::size_t decided = undecided;
    return begun_.compare_exchange_strong(decided, seen, prim::relaxed) ? seen : decided;
  }

 private:
  static constexpr std::size_t undecided = ~std::size_t{0};

  prim::atomic<std::size_t> first_;
  prim::atomic<std::size_t> begun_{undecided};
};

// Every piece but the one that its owner is in the middle of is in a lane, where others may take
// it: most of them together, in stretches. A template, so that a piece costs no call of its own.
template <class Work>
class dealt_loop {
 public:
  dealt_loop(Work& work, std::size_t grain) noexcept
      : work_(work), grain_(grain), not_halved_(grain > ~std::size_t{0} / 8 ? grain : 8 * grain) {}

  // The elements from 0 to `count` - 1, of which there is one at least.
  void run_at(const loop_place& where, std::size_t count) {
    fork_lane* const lane = open_lane(where);
    if (lane != nullptr && lane->has_stack()) [[likely]] {
      run(*lane, 0, count);
    } else {
      call_at(where, [&] {
        fork_lane* const opened = open_lane(where);
        if (opened != nullptr && opened->has_stack()) {
          run(*opened, 0, count);
        } else {
          run_apart(0, count);
        }
      });
    }
    failure_.rethrow_failure();
  }

 private:
  // Pieces in a row: others may take all that are left.
  struct stretch final : fork_job {
    stretch(dealt_loop& loop, std::size_t from, std::size_t to) noexcept
        : fork_job(&stretch::template taken<&stretch::run_taken>,
                   fork_lane::context_of_this_thread()),
          of(loop),
          begin(from),
          last(to) {}

    static void run_taken(fork_job* j) noexcept {
      auto& self = *static_cast<stretch*>(j);
      // A thread has its lane open while it runs what it has taken.
      self.of.run(*fork_lane::of_this_thread(), self.begin.for_thief(), self.last);
    }

    dealt_loop& of;
    stretch_begin begin;
    const std::size_t last;
  };

  // Halves, as long as there are many pieces, so that who takes something has enough for a while.
  void run(fork_lane& lane, std::size_t first, const std::size_t last) noexcept {
    while (last - first > not_halved_) {
      if (failure_.failed()) return;
      const std::size_t middle = first + (last - first) / 2;
      stretch right(*this, middle, last);
      if (!lane.push(right)) break;
      run(lane, first, middle);
      if (!lane.take_back()) return lane.wait_for(right);
      first = middle;
    }
    run_few(lane, first, last);
  }

  // The rest is one child, of which its owner takes piece after piece without popping it.
  void run_few(fork_lane& lane, std::size_t first, const std::size_t last) noexcept {
    const std::size_t grain = grain_;
    Work work(work_);  // of which the compiler knows that nobody changes it
    stretch rest(*this, first + grain, last);
    bool more = last - first > grain;
    if (more && !lane.push(rest)) [[unlikely]]
      return run_apart(first, last);
    for (;;) {
      run_piece(work, first, more ? first + grain : last);
      if (!more) return;
      first += grain;
      more = last - first > grain;
      if (more) {
        rest.begin.move_to(first + grain);
        if (lane.keeps_newest()) [[likely]]
          continue;
        if (!lane.take_back()) return join_taken(lane, rest, first);
        if (!lane.push(rest)) return run_apart(first, last);
      } else if (!lane.take_back()) {
        return lane.wait_for(rest);
      }
    }
  }

  [[gnu::cold, gnu::noinline]] void join_taken(fork_lane& lane, stretch& rest,
                                               std::size_t first) noexcept {
    if (rest.begin.is_behind(first)) run_apart(first, first + grain_);
    lane.wait_for(rest);
  }

  [[gnu::always_inline]] void run_piece(Work& work, std::size_t first, std::size_t last) noexcept {
    if (failure_.failed()) return;
    try {
      work.run(nullptr, first, last);
    } catch (...) {
      failure_.fail();
    }
  }

  // Without a lane, or memory for it.
  [[gnu::cold, gnu::noinline]] void run_apart(std::size_t first, std::size_t last) noexcept {
    while (first != last && !failure_.failed()) {
      const std::size_t end = last - first > grain_ ? first + grain_ : last;
      run_piece(work_, first, end);
      first = end;
    }
  }

  Work& work_;
  const std::size_t grain_;
  const std::size_t not_halved_;
  first_failure failure_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
