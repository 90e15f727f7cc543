// Counts of many threads, each in its own place.
#pragma once

#include <cstdint>
#include <new>
#include <system_error>
#include <type_traits>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/probe/per_thread.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// Modulo 2^64, also for signed numbers.
template <class Number>
constexpr Number wrapping_sum(Number a, Number b) noexcept {
  return static_cast<Number>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}
template <class Number>
constexpr Number wrapping_difference(Number a, Number b) noexcept {
  return static_cast<Number>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

// One thread's count, which others read. It goes on where the thread before has stopped, so that
// nothing is counted twice or lost, and remembers where that was.
template <class Number>
class own_count {
 public:
  Number add(Number n) noexcept {
    const Number now = wrapping_sum(count_.load(prim::relaxed), n);
    count_.store(now, prim::release);
    return wrapping_difference(now, before_.get());
  }
  Number mine() const noexcept {
    return wrapping_difference(count_.load(prim::relaxed), before_.get());
  }
  Number read() const noexcept { return count_.load(prim::acquire); }

  void taken_over() noexcept { before_.set(count_.load(prim::relaxed)); }

 private:
  prim::atomic<Number> count_{0};
  prim::cell<Number> before_;
};

}  // namespace detail

// Counts. A thread counts in its own cache line, with a plain load and store.
//
// A counter counts up; a gauge up and down, also down on one thread what went up on another. Both
// count modulo 2^64. A counter's total never shrinks. A gauge's may be off while threads count: it
// may have seen something leave that it has not seen come.
//
// Thread-safety: every function from any thread, also while threads end, and in the destructors of
// their thread_local objects. Not inside of operator new, which a thread's first use calls.
// Memory ordering: whoever reads a total sees everything that a counting thread did before it
// counted so far. So of two counters, of which each thing is counted in the first before the
// second, a reader that asks for the second's total before the first's finds it no greater.
// Blocks? No, but for a short lock at a thread's first use. Allocates then, two cache lines. Throws
// nothing: a thread for which there is no memory counts in a common place, by read-modify-writes.
// Complexity: a count is some fifteen instructions, a total a load for each of the most threads
// that have counted at one time.
// Destruction: as per_thread. After fork the child goes on from the counts of all threads.
template <class Number>
class basic_counter {
 public:
  // Throws std::bad_alloc.
  basic_counter() = default;

  // Counts n more, and returns what the calling thread has counted in all: what its add() would
  // have returned before, plus n. (The part of an ended thread whose place it has taken is not in
  // it. 0 where there is no memory for a place of its own.)
  Number add(Number n = 1) noexcept {
    if (detail::own_count<Number>* const own = counts_.find()) [[likely]]
      return own->add(n);
    return first_add(n);
  }
  Number operator++() noexcept { return add(1); }

  Number subtract(Number n = 1) noexcept
    requires(std::is_signed_v<Number>)
  {
    return add(detail::wrapping_difference(Number{0}, n));
  }
  Number operator--() noexcept
    requires(std::is_signed_v<Number>)
  {
    return subtract(1);
  }

  // What the calling thread has counted.
  Number mine() const noexcept {
    const detail::own_count<Number>* const own = counts_.find();
    return own != nullptr ? own->mine() : 0;
  }

  // What all threads have counted, those that have ended too. Exact as for counts that happened
  // before, as those of a thread that was joined; others may be in it or not.
  Number total() const noexcept {
    return counts_.combine(unowned_.load(prim::acquire),
                           [](Number sum, const detail::own_count<Number>& own) {
                             return detail::wrapping_sum(sum, own.read());
                           });
  }

 private:
  [[gnu::noinline]] Number first_add(Number n) noexcept {
    try {
      return counts_.local().add(n);
    } catch (const std::bad_alloc&) {
    } catch (const std::system_error&) {
    }
    unowned_.fetch_add(n, prim::release);
    return 0;
  }

  per_thread<detail::own_count<Number>> counts_;
  prim::atomic<Number> unowned_{0};
};

using counter = basic_counter<std::uint64_t>;
using gauge = basic_counter<std::int64_t>;

}  // namespace heddle::inline HEDDLE_ABI
