// One look at all waits, and what follows from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/watch/wait_graph.hpp>

#include "probe/seen_waits.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

// What one wait depends on. Numbers are positions among the waits of the scan.
struct dependence {
  // It goes on only if in some group all go on: where each group has one that never will, it never
  // will either. Without groups nobody is known who could keep it.
  std::vector<std::vector<std::size_t>> groups;
  // Units of a semaphore in the hands of waiting threads; it goes on unless `units` of them are
  // held by some that never will.
  std::vector<std::pair<std::size_t, std::uint64_t>> holders;
  std::uint64_t units = 0;
  bool are_suspects = false;
  std::vector<std::uint32_t> threads;  // those who are meant, also such that do not wait
};

// Waits that depend on each other in circles: strongly connected, none of them can go on.
struct knot {
  std::vector<std::size_t> waits;
  bool is_certain = false;
};

// Threads by number. Throws std::bad_alloc.
class thread_naming {
 public:
  thread_naming();
  std::string name(std::uint32_t number) const;
  std::string name(std::uint32_t number, int kernel_thread_id) const;

 private:
  std::map<std::uint32_t, std::string> named_;
  std::map<std::uint32_t, int> kernel_ids_;
};

class wait_scan {
 public:
  // Of this process, now. Throws std::bad_alloc.
  wait_scan();
  // Of what was seen.
  wait_scan(std::vector<seen_wait> waits, const std::vector<seen_use>& uses);

  // What makes a wait the same in two scans, and an edge.
  struct identity {
    std::uint32_t thread;
    std::uint64_t serial;
    auto operator<=>(const identity&) const = default;
  };
  // A knot with its edges, in an order that does not depend on the scan.
  using signature = std::vector<std::pair<identity, std::vector<std::uint32_t>>>;

  const std::vector<seen_wait>& waits() const noexcept { return waits_; }
  const dependence& needs(std::size_t wait) const noexcept { return needs_[wait]; }
  identity id(std::size_t wait) const noexcept {
    return {waits_[wait].thread, waits_[wait].serial};
  }

  // Certain ones first; of those that are not, only such that have no wait in common with them.
  std::vector<knot> knots() const;
  signature sign(const knot& k) const;
  // Those that cannot go on because of the knot, without being in it.
  std::vector<std::size_t> behind(const knot& k) const;

  // With names. Throws std::bad_alloc.
  waiting_thread describe(std::size_t wait, const thread_naming& threads) const;
  deadlock describe(const knot& k, const thread_naming& threads) const;

 private:
  void resolve(const std::vector<seen_use>& uses);
  std::vector<bool> stuck(bool certain_only) const;
  bool is_stuck(std::size_t wait, const std::vector<bool>& so_far) const;
  std::vector<std::size_t> edges(std::size_t wait, const std::vector<bool>& among) const;
  std::vector<std::vector<std::size_t>> circles(const std::vector<bool>& among) const;

  prim::time_point at_ = prim::clock::now();
  std::vector<seen_wait> waits_;
  std::vector<dependence> needs_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
