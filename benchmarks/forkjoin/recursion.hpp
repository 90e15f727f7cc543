// The recursive workloads, for libraries whose tasks are functions.
//
// Fork is a class with
//   both(f, g)     calls f() and g(), possibly at the same time, and returns when both have ended
//   each(count, f) likewise f(0) to f(count - 1), each a task of its own; may be absent: then it is
//                  made of both()
// as static members, so that tasks need not carry a pointer to their pool.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "workloads.hpp"

namespace bench {

// f(first) to f(last - 1), halves at the same time.
template <class Fork, class F>
void by_halves(std::size_t first, std::size_t last, const F& f) {
  if (last - first == 1) {
    f(first);
    return;
  }
  const std::size_t middle = first + (last - first) / 2;
  Fork::both([&f, middle, last] { by_halves<Fork>(middle, last, f); },
             [&f, first, middle] { by_halves<Fork>(first, middle, f); });
}

template <class Fork, class F>
void each(std::size_t count, const F& f) {
  if constexpr (requires { Fork::each(count, f); }) {
    Fork::each(count, f);
  } else if (count != 0) {
    by_halves<Fork>(0, count, f);
  }
}

template <class Fork>
std::uint64_t fib(unsigned n) {
  if (n < 2) return n;
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  Fork::both([&a, n] { a = fib<Fork>(n - 1); }, [&b, n] { b = fib<Fork>(n - 2); });
  return a + b;
}

template <class Fork>
std::uint64_t count_nodes(tree::node n) {
  if (tree::is_leaf(n)) return 1;
  std::array<std::uint64_t, tree::most_children> below;
  each<Fork>(below.size(), [&below, n](std::size_t i) {
    below[i] = count_nodes<Fork>(tree::child(n, static_cast<unsigned>(i)));
  });
  return std::accumulate(below.begin(), below.end(), std::uint64_t{1});
}

template <class Fork>
std::uint64_t count_all_nodes() {
  std::vector<std::uint64_t> below(tree::children_of_root);
  each<Fork>(below.size(), [&below](std::size_t i) {
    below[i] = count_nodes<Fork>(tree::child(tree::root, static_cast<unsigned>(i)));
  });
  return std::accumulate(below.begin(), below.end(), std::uint64_t{1});
}

template <class Fork>
std::uint64_t count_solutions(const queens::board& b, unsigned row) {
  if (row == queens::size) return 1;
  const queens::choices safe(b, row);
  std::array<std::uint64_t, queens::size> below;
  each<Fork>(safe.count, [&](std::size_t i) {
    below[i] = count_solutions<Fork>(safe.take(b, row, i), row + 1);
  });
  return std::accumulate(below.begin(), below.begin() + safe.count, std::uint64_t{0});
}

template <class Fork>
std::uint64_t add_leaves(std::uint64_t first, std::uint64_t count) {
  if (count == 1) return first;
  std::array<std::uint64_t, skynet::children> below;
  const std::uint64_t part = count / below.size();
  each<Fork>(below.size(), [&below, first, part](std::size_t i) {
    below[i] = add_leaves<Fork>(first + i * part, part);
  });
  return std::accumulate(below.begin(), below.end(), std::uint64_t{0});
}

// What a contender inherits that has run(f): calls f() on the pool, from a thread outside, and
// returns its result.
template <class Contender, class Fork>
class recursion {
 public:
  std::uint64_t fib(unsigned n) {
    return self().run([n] { return bench::fib<Fork>(n); });
  }
  std::uint64_t tree_nodes() {
    return self().run([] { return count_all_nodes<Fork>(); });
  }
  std::uint64_t queens_solutions() {
    return self().run([] { return count_solutions<Fork>({}, 0); });
  }
  std::uint64_t skynet_sum() {
    return self().run([] { return add_leaves<Fork>(0, skynet::leaves); });
  }

 private:
  Contender& self() { return static_cast<Contender&>(*this); }
};

}  // namespace bench
