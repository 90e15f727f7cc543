// What is counted about one lock while it is used.
#pragma once

#include <array>
#include <cstdint>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/cycle_counter.hpp>
#include <heddle/probe/lock_statistics.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Nanoseconds in a step of the cycle counter, times 2^16; 0 before it was measured.
extern prim::atomic<std::uint64_t> ns_per_cycle;
void measure_cycles() noexcept;

// By one thread at a time: no read-modify-write.
inline void add_alone_to(prim::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
  counter.store(counter.load(prim::relaxed) + n, prim::relaxed);
}

// A distribution of times while it is written.
class time_counts {
 public:
  // By one thread at a time.
  void add_alone(std::uint64_t ns) noexcept;
  // By any number of them.
  void add_among_others(std::uint64_t ns) noexcept;
  void add(const time_counts& ended) noexcept;

  std::uint64_t longest() const noexcept { return longest_.load(prim::relaxed); }
  time_distribution read() const noexcept;

 private:
  prim::atomic<std::uint64_t> total_{0};
  prim::atomic<std::uint64_t> longest_{0};
  std::array<prim::atomic<std::uint64_t>, time_distribution::steps> counts_{};
};

// What the holder counts, it alone writes, so a load and a store will do.
class lock_figures {
 public:
  // By the thread that has just become the holder, and by it before it lets go.
  void held(bool after_wait, bool measure, const void* site) noexcept;
  void let_go() noexcept;
  // By any of several at once.
  void passed(bool after_wait) noexcept;
  void gave_up() noexcept { given_up_.fetch_add(1, prim::relaxed); }
  std::uint64_t acquisitions() const noexcept { return acquisitions_.load(prim::relaxed); }
  // Returns whether it was a long wait.
  bool waited(std::uint64_t ns, std::uint64_t threshold) noexcept;

  // Requires: nobody uses the other any more.
  void add(const lock_figures& ended) noexcept;
  void read(lock_statistics& into) const noexcept;

 private:
  prim::atomic<std::uint64_t> acquisitions_{0};
  prim::atomic<std::uint64_t> contended_{0};
  prim::atomic<std::uint64_t> next_measured_{1};  // the acquisition whose hold time will be taken
  prim::atomic<std::uint64_t> held_since_{0};     // in cycles; 0 while no hold is measured
  prim::atomic<const void*> site_{nullptr};
  prim::atomic<const void*> longest_site_{nullptr};
  time_counts hold_;

  prim::atomic<std::uint64_t> given_up_{0};
  prim::atomic<std::uint64_t> long_waits_{0};
  time_counts wait_;
  prim::time_point since_ = prim::clock::now();
};

inline void time_counts::add_alone(std::uint64_t ns) noexcept {
  add_alone_to(total_, ns);
  add_alone_to(counts_[time_distribution::step_of(ns)], 1);
  if (ns > longest_.load(prim::relaxed)) longest_.store(ns, prim::relaxed);
}

inline void lock_figures::held(bool after_wait, bool measure, const void* site) noexcept {
  const std::uint64_t count = acquisitions_.load(prim::relaxed) + 1;
  acquisitions_.store(count, prim::relaxed);
  if (after_wait) contended_.store(contended_.load(prim::relaxed) + 1, prim::release);
  if (!measure) {
    if (count < next_measured_.load(prim::relaxed)) return;
    // At no fixed distance, which a program that takes turns could always hit in the same turn.
    next_measured_.store(count + 1 + (count * 0x9E3779B97F4A7C15ULL >> 59), prim::relaxed);
  }
  site_.store(site, prim::relaxed);
  held_since_.store(prim::cycle_count(), prim::relaxed);
}

inline void lock_figures::let_go() noexcept {
  const std::uint64_t since = held_since_.load(prim::relaxed);
  if (since == 0) return;
  held_since_.store(0, prim::relaxed);
  const std::uint64_t now = prim::cycle_count();
  const std::uint64_t ns = now < since ? 0 : (now - since) * ns_per_cycle.load(prim::relaxed) >> 16;
  if (ns >= hold_.longest()) longest_site_.store(site_.load(prim::relaxed), prim::relaxed);
  hold_.add_alone(ns);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
