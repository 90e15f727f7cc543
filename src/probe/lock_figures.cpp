#include "probe/lock_figures.hpp"

#include <heddle/prim/cycle_counter.hpp>

#include <algorithm>
#include <chrono>

namespace heddle::inline HEDDLE_ABI::detail {
namespace {

std::chrono::nanoseconds as_time(std::uint64_t ns) noexcept {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(ns));
}

// The clock and the counter at one moment: the attempt that nothing came into.
struct moment {
  prim::time_point time;
  std::uint64_t cycles = 0;

  moment() noexcept {
    auto shortest = prim::clock::duration::max();
    for (int i = 0; i < 8; ++i) {
      const prim::time_point before = prim::clock::now();
      const std::uint64_t between = prim::cycle_count();
      const prim::time_point after = prim::clock::now();
      if (after - before >= shortest) continue;
      shortest = after - before;
      time = before + shortest / 2;
      cycles = between;
    }
  }
};

}  // namespace

constinit prim::atomic<std::uint64_t> ns_per_cycle{0};

void measure_cycles() noexcept {
  if (ns_per_cycle.load(prim::relaxed) != 0) return;
  const moment begin;
  while (prim::clock::now() - begin.time < std::chrono::microseconds(200)) {
  }
  const moment end;
  const auto ns = std::chrono::duration<double, std::nano>(end.time - begin.time).count();
  const auto cycles = static_cast<double>(std::max(begin.cycles + 1, end.cycles) - begin.cycles);
  ns_per_cycle.store(static_cast<std::uint64_t>(std::max(1.0, ns / cycles * 65536 + 0.5)),
                     prim::relaxed);
}

void time_counts::add_among_others(std::uint64_t ns) noexcept {
  total_.fetch_add(ns, prim::relaxed);
  counts_[time_distribution::step_of(ns)].fetch_add(1, prim::relaxed);
  std::uint64_t longest = longest_.load(prim::relaxed);
  while (ns > longest &&
         !longest_.compare_exchange_weak(longest, ns, prim::relaxed, prim::relaxed)) {
  }
}

void time_counts::add(const time_counts& ended) noexcept {
  add_alone_to(total_, ended.total_.load(prim::relaxed));
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    add_alone_to(counts_[i], ended.counts_[i].load(prim::relaxed));
  }
  longest_.store(std::max(longest(), ended.longest()), prim::relaxed);
}

time_distribution time_counts::read() const noexcept {
  std::array<std::uint64_t, time_distribution::steps> counts;
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = counts_[i].load(prim::relaxed);
  return {counts, as_time(total_.load(prim::relaxed)), as_time(longest())};
}

void lock_figures::passed(bool after_wait) noexcept {
  acquisitions_.fetch_add(1, prim::relaxed);
  if (after_wait) contended_.fetch_add(1, prim::release);
}

bool lock_figures::waited(std::uint64_t ns, std::uint64_t threshold) noexcept {
  wait_.add_among_others(ns);
  if (ns < threshold) return false;
  long_waits_.fetch_add(1, prim::relaxed);
  return true;
}

void lock_figures::add(const lock_figures& ended) noexcept {
  add_alone_to(acquisitions_, ended.acquisitions_.load(prim::relaxed));
  add_alone_to(contended_, ended.contended_.load(prim::relaxed));
  add_alone_to(given_up_, ended.given_up_.load(prim::relaxed));
  add_alone_to(long_waits_, ended.long_waits_.load(prim::relaxed));
  if (ended.hold_.longest() >= hold_.longest()) {
    longest_site_.store(ended.longest_site_.load(prim::relaxed), prim::relaxed);
  }
  hold_.add(ended.hold_);
  wait_.add(ended.wait_);
  since_ = std::min(since_, ended.since_);
}

// The acquisitions last: whoever counts has counted there first.
void lock_figures::read(lock_statistics& into) const noexcept {
  into.contended = contended_.load(prim::acquire);
  into.given_up = given_up_.load(prim::relaxed);
  into.long_waits = long_waits_.load(prim::relaxed);
  into.longest_hold_site = longest_site_.load(prim::relaxed);
  into.wait = wait_.read();
  into.hold = hold_.read();
  into.acquisitions = acquisitions_.load(prim::relaxed);
  into.recorded_for =
      std::chrono::duration_cast<std::chrono::nanoseconds>(prim::clock::now() - since_);
}

}  // namespace heddle::inline HEDDLE_ABI::detail
