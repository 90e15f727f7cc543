// How many of a pool's slots search and sleep, in one word.
#pragma once

#include <cstdint>

#include <heddle/prim/atomic.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// The sleep protocol (docs/protocols/pool_sleep.md) orders its changes against the queues: whoever
// changes it looks at the queues behind a full fence, whoever fills a queue looks at it behind one.
class sleep_state {
 public:
  // Somebody sleeps and nobody searches, so work that appears now needs a wake-up.
  bool needs_wake() const noexcept {
    const std::uint64_t word = word_.load(prim::relaxed);
    return (word >> 32) == 0 && word != 0;
  }
  unsigned searchers() const noexcept {
    return static_cast<unsigned>(word_.load(prim::relaxed) >> 32);
  }
  unsigned sleepers() const noexcept {
    return static_cast<unsigned>(word_.load(prim::relaxed) & 0xFFFFFFFF);
  }

  void searcher_appears() noexcept { word_.fetch_add(one_searcher, prim::seq_cst); }
  // True for the last one.
  bool searcher_leaves() noexcept {
    return (word_.fetch_sub(one_searcher, prim::seq_cst) >> 32) == 1;
  }
  bool searcher_falls_asleep() noexcept {
    return (word_.fetch_sub(one_searcher - one_sleeper, prim::seq_cst) >> 32) == 1;
  }
  void sleeper_appears() noexcept { word_.fetch_add(one_sleeper, prim::seq_cst); }
  void sleeper_leaves() noexcept { word_.fetch_sub(one_sleeper, prim::seq_cst); }
  void sleeper_becomes_searcher() noexcept {
    word_.fetch_add(one_searcher - one_sleeper, prim::seq_cst);
  }

 private:
  static constexpr std::uint64_t one_sleeper = 1;
  static constexpr std::uint64_t one_searcher = std::uint64_t{1} << 32;

  prim::atomic<std::uint64_t> word_{0};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
