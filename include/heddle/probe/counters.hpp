// Counters that are always on.
#pragma once

#include <cstdint>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// Counted by one thread, read by any. An increment is a plain load and store.
//
// Memory ordering: whoever reads a value sees everything that its counting thread did before it
// counted so far. That is what lets a snapshot that reads "completed" before "started" before
// "submitted" promise completed <= started <= submitted, over any number of threads.
class owned_counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(prim::relaxed) + n, prim::release);
  }
  std::uint64_t read() const noexcept { return value_.load(prim::acquire); }

 private:
  prim::atomic<std::uint64_t> value_{0};
};

// Counted by any thread: one read-modify-write. For events that are rare.
class shared_counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.fetch_add(n, prim::acq_rel); }
  std::uint64_t read() const noexcept { return value_.load(prim::acquire); }

 private:
  prim::atomic<std::uint64_t> value_{0};
};

}  // namespace heddle::inline HEDDLE_ABI
