// Where jobs from outside enter a pool.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <heddle/prim/limits.hpp>
#include <heddle/prim/seed.hpp>

#include "job_queue.hpp"

namespace heddle::inline HEDDLE_ABI::detail {

// Queues, chosen by the thread that submits: one producer meets no other, and one that is
// preempted while it pushes hides nobody else's jobs. With one shard the order is strict.
class injection {
 public:
  explicit injection(std::size_t shards)
      : count_(std::bit_ceil(shards)), shards_(std::make_unique<shard_queue[]>(count_)) {}

  // `submitter`: any number that tells threads apart.
  bool push(const job_chain& chain, job_queue::origin from, std::size_t submitter) noexcept {
    return shard(submitter).push(chain, from);
  }
  bool count(std::size_t jobs, job_queue::origin from) noexcept {
    return shards_[0].count(jobs, from);
  }
  void take_over(const job_chain& chain) noexcept { shard(prim::thread_number()).take_over(chain); }

  // From the first shard, beginning at `start`, that has something.
  job* pop(std::size_t start = 0) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (job* const j = shard(start + i).pop()) return j;
    }
    return nullptr;
  }
  std::size_t take(std::size_t start, std::span<job*> batch, std::size_t sharers,
                   bool& busy) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (const std::size_t n = shard(start + i).take(batch, sharers, busy)) return n;
    }
    return 0;
  }
  // From the first shard that has one.
  template <class Predicate>
  job* take_first(Predicate holds) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (job* const j = shards_[i].take_first(holds)) return j;
    }
    return nullptr;
  }
  template <class Predicate>
  job_chain take_if(Predicate holds) noexcept {
    job_chain all;
    for (std::size_t i = 0; i < count_; ++i) {
      const job_chain some = shards_[i].take_if(holds);
      for (job* j = some.first; j != nullptr;) {
        job* const rest = j->next;
        all.append(j);
        j = rest;
      }
    }
    return all;
  }
  void close() noexcept {
    for (std::size_t i = 0; i < count_; ++i) shards_[i].close();
  }

  bool empty() const noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (!shards_[i].empty()) return false;
    }
    return true;
  }
  std::size_t size() const noexcept { return sum(&job_queue::size); }
  std::uint64_t pushed() const noexcept { return sum(&job_queue::pushed); }

 private:
  struct shard_queue : job_queue {
    shard_queue() noexcept : job_queue(kind::looks_ahead) {}
  };

  job_queue& shard(std::size_t i) noexcept { return shards_[i & (count_ - 1)]; }
  template <class R>
  R sum(R (job_queue::*of)() const noexcept) const noexcept {
    R all = 0;
    for (std::size_t i = 0; i < count_; ++i) all += (shards_[i].*of)();
    return all;
  }

  const std::size_t count_;
  const std::unique_ptr<shard_queue[]> shards_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
