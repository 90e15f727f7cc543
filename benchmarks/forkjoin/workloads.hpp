// What group forkjoin computes, without a word on how: the same data, the same work and the same
// answers for every contender.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

namespace bench {

// fib(n), each call a task.
constexpr std::uint64_t fibonacci_number(unsigned n) {
  std::uint64_t a = 0;
  std::uint64_t b = 1;
  for (; n > 0; --n) {
    const std::uint64_t c = a + b;
    a = b;
    b = c;
  }
  return a;
}
// The calls that spawn: all with an n above 1.
constexpr std::uint64_t fibonacci_spawns(unsigned n) { return fibonacci_number(n + 1) - 1; }

// An unbalanced tree, whose shape nobody knows before he walks it: a node is 64 random bits, which
// tell how many children it has and which. Nearly every eighth node has eight children, so that a
// subtree has 1,000 nodes on average and nothing tells a leaf from the root of 238,593. A binomial
// tree in the sense of Olivier et al., "UTS: an unbalanced tree search benchmark", LCPC 2006, with
// the finisher of splitmix64 (Steele, Lea and Flood, OOPSLA 2014) in place of SHA-1.
namespace tree {

using node = std::uint64_t;

inline constexpr unsigned most_children = 8;
inline constexpr unsigned children_of_root = 2162;
inline constexpr node root = 0x8f0a0e0ad7b08d9b;
inline constexpr std::uint64_t nodes = 676'051;

inline node child(node parent, unsigned i) {
  node x = parent + (i + 1) * 0x9e3779b97f4a7c15u;
  for (int round = 0; round < 8; ++round) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
  }
  return x;
}

// Of any node but the root.
inline bool is_leaf(node n) {
  constexpr double fertile = 0.124875;
  return n >= static_cast<node>(fertile * 0x1p64);
}

}  // namespace tree

// All ways to put 12 queens on a board of 12 x 12, each safe square of the next row a task.
namespace queens {

inline constexpr unsigned size = 12;
inline constexpr std::uint64_t solutions = 14'200;

using board = std::array<std::uint8_t, size>;  // the column of each row's queen

inline bool is_safe(const board& b, unsigned row, unsigned column) {
  for (unsigned r = 0; r < row; ++r) {
    const unsigned other = b[r];
    if (other == column || other + (row - r) == column || other == column + (row - r)) return false;
  }
  return true;
}

// The safe squares of a row, and the boards with a queen on one of them.
struct choices {
  choices(const board& b, unsigned row) {
    for (unsigned column = 0; column < size; ++column)
      if (is_safe(b, row, column)) columns[count++] = static_cast<std::uint8_t>(column);
  }
  board take(board b, unsigned row, std::size_t i) const {
    b[row] = columns[i];
    return b;
  }

  std::array<std::uint8_t, size> columns{};
  unsigned count = 0;
};

}  // namespace queens

// A million leaves below six levels of ten children each; a leaf gives its number.
namespace skynet {

inline constexpr std::uint64_t leaves = 1'000'000;
inline constexpr unsigned children = 10;
inline constexpr std::uint64_t sum = leaves * (leaves - 1) / 2;

}  // namespace skynet

inline std::vector<std::int32_t> numbers_to_sort(std::size_t count) {
  std::mt19937 random(20'251);
  std::vector<std::int32_t> numbers(count);
  for (auto& each : numbers) each = static_cast<std::int32_t>(random());
  return numbers;
}

inline std::vector<std::uint32_t> numbers_to_add(std::size_t count) {
  std::vector<std::uint32_t> numbers(count);
  for (std::size_t i = 0; i < count; ++i) numbers[i] = static_cast<std::uint32_t>(i * 2654435761u);
  return numbers;
}

}  // namespace bench
