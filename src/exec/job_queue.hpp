// A first-in first-out queue of jobs that allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <heddle/base/cache_line.hpp>
#include <heddle/base/job.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/prefetch.hpp>
#include <heddle/prim/short_lock.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Jobs linked through `next`, ready to be queued in one step.
struct job_chain {
  job* first = nullptr;
  job* last = nullptr;
  std::size_t size = 0;

  void append(job* j) noexcept {
    j->next = nullptr;
    (last != nullptr ? last->next : first) = j;
    last = j;
    ++size;
  }
};

// Two lists, each with a lock of its own: producers append to the one that arrives, consumers take
// from the one that leaves, and when that is empty they move the other one over as a whole. So the
// two sides meet once a list, not once a job, and no lock is held longer than it takes to link or
// to cut off a few jobs.
//
// To walk a list whose every job lies in another core's cache costs a transfer a job, one after the
// other. A queue that looks ahead notes in each job where the one `ahead` places behind it is, and
// aside from the list where the first ones are, so that the transfers overlap.
class job_queue {
 public:
  enum class origin { outside, inside };
  enum class kind { plain, looks_ahead };

  job_queue() noexcept : job_queue(kind::plain) {}
  explicit job_queue(kind k) noexcept : looks_ahead_(k == kind::looks_ahead) {}

  // False when closed for those outside; then nothing has changed.
  bool push(const job_chain& chain, origin from) noexcept {
    const prim::scoped_lock lock(entry_);
    if (closed_ && from == origin::outside) return false;
    pushed_.store(pushed_.load(prim::relaxed) + chain.size, prim::release);
    append(chain);
    return true;
  }

  // Of jobs that are run elsewhere, without being queued. False as in push.
  bool count(std::size_t jobs, origin from) noexcept {
    const prim::scoped_lock lock(entry_);
    if (closed_ && from == origin::outside) return false;
    pushed_.store(pushed_.load(prim::relaxed) + jobs, prim::release);
    return true;
  }

  // Jobs that come from another queue, and were counted there.
  void take_over(const job_chain& chain) noexcept {
    if (chain.size == 0) return;
    const prim::scoped_lock lock(entry_);
    append(chain);
  }

  job* pop() noexcept {
    if (empty()) return nullptr;
    const prim::scoped_lock lock(exit_);
    return cut_one();
  }

  // Takes up to `batch.size()` jobs, and no more than their share when so many consumers divide
  // what is there. `busy` is set when another consumer was in the way.
  std::size_t take(std::span<job*> batch, std::size_t sharers, bool& busy) noexcept {
    const std::size_t there = size();
    if (there == 0) return 0;
    if (!exit_.try_lock()) {
      busy = true;
      return 0;
    }
    std::size_t wanted = (there + sharers - 1) / sharers;
    if (wanted > batch.size()) wanted = batch.size();
    std::size_t taken = 0;
    while (taken < wanted && (batch[taken] = cut_one()) != nullptr) ++taken;
    exit_.unlock();
    return taken;
  }

  // The eldest, if the predicate holds for it.
  template <class Predicate>
  job* pop_if(Predicate holds) noexcept {
    if (empty()) return nullptr;
    const prim::scoped_lock lock(exit_);
    refill();
    return first_ != nullptr && holds(first_) ? cut_one() : nullptr;
  }

  // Takes out the eldest for which the predicate holds.
  template <class Predicate>
  job* take_first(Predicate holds) noexcept {
    if (empty()) return nullptr;
    const prim::scoped_lock lock(exit_);
    job* before = nullptr;
    for (job* j = first_;; j = before->next) {
      if (j == nullptr) {
        j = refill_behind(before);
        if (j == nullptr) return nullptr;
      }
      if (holds(j)) {
        (before != nullptr ? before->next : first_) = j->next;
        left_.store(left_.load(prim::relaxed) + 1, prim::release);
        return j;
      }
      before = j;
    }
  }

  // Takes out the jobs for which the predicate holds, in one walk.
  template <class Predicate>
  job_chain take_if(Predicate holds) noexcept {
    job_chain taken;
    const prim::scoped_lock lock(exit_);
    job_chain kept;
    for (;;) {
      for (job* j = first_; j != nullptr;) {
        job* const rest = j->next;
        (holds(j) ? taken : kept).append(j);
        j = rest;
      }
      first_ = nullptr;
      refill();
      if (first_ == nullptr) break;
    }
    first_ = kept.first;
    left_.store(left_.load(prim::relaxed) + taken.size, prim::release);
    return taken;
  }

  void close() noexcept {
    const prim::scoped_lock lock(entry_);
    closed_ = true;
  }

  bool empty() const noexcept {
    const std::uint64_t gone = left_.load(prim::acquire);
    return entered_.load(prim::acquire) == gone;
  }
  // A moment's count.
  std::size_t size() const noexcept {
    const std::uint64_t gone = left_.load(prim::acquire);
    return static_cast<std::size_t>(entered_.load(prim::acquire) - gone);
  }
  // Jobs ever pushed. Whoever has seen a job that came from here sees it counted.
  std::uint64_t pushed() const noexcept { return pushed_.load(prim::acquire); }

 private:
  void append(const job_chain& chain) noexcept HEDDLE_REQUIRES(entry_) {
    chain.last->next = nullptr;
    if (looks_ahead_) note_places(chain.first);
    (arriving_last_ != nullptr ? arriving_last_->next : arriving_) = chain.first;
    arriving_last_ = chain.last;
    entered_.store(entered_.load(prim::relaxed) + chain.size, prim::release);
  }

  void note_places(job* j) noexcept HEDDLE_REQUIRES(entry_) {
    for (; j != nullptr; j = j->next) {
      job*& place = recent_[arrived_ % ahead];
      if (arrived_ >= ahead) {
        const std::intptr_t distance =
            (reinterpret_cast<std::intptr_t>(j) - reinterpret_cast<std::intptr_t>(place)) / step;
        const auto kept = static_cast<std::int32_t>(distance);
        place->stamp = kept == distance ? static_cast<std::uint32_t>(kept) : 0;
      } else {
        heads_[arrived_] = j;
      }
      j->stamp = 0;
      place = j;
      ++arrived_;
    }
  }

  void refill() noexcept HEDDLE_REQUIRES(exit_) {
    if (first_ == nullptr && !empty()) refill_behind(nullptr);
  }

  // Moves what has arrived behind `last`, the end of the list that leaves, or into that list.
  job* refill_behind(job* last) noexcept HEDDLE_REQUIRES(exit_) {
    const prim::scoped_lock lock(entry_);
    job* const moved = arriving_;
    (last != nullptr ? last->next : first_) = moved;
    arriving_ = arriving_last_ = nullptr;
    const std::size_t known = arrived_ < ahead ? arrived_ : ahead;
    for (std::size_t i = 0; i < known; ++i) prim::prefetch_for_write(heads_[i]);
    arrived_ = 0;
    return moved;
  }

  job* cut_one() noexcept HEDDLE_REQUIRES(exit_) {
    refill();
    job* const j = first_;
    if (j == nullptr) return nullptr;
    first_ = j->next;
    if (looks_ahead_) {
      const std::intptr_t distance = static_cast<std::int32_t>(j->stamp);
      if (distance != 0)
        prim::prefetch_for_write(reinterpret_cast<const char*>(j) + distance * step);
    }
    left_.store(left_.load(prim::relaxed) + 1, prim::release);
    return j;
  }

  static constexpr std::size_t ahead = 8;
  static constexpr std::intptr_t step = alignof(job);

  const bool looks_ahead_;

  alignas(destructive_interference) prim::short_lock entry_;
  bool closed_ HEDDLE_GUARDED_BY(entry_) = false;
  job* arriving_ HEDDLE_GUARDED_BY(entry_) = nullptr;
  job* arriving_last_ HEDDLE_GUARDED_BY(entry_) = nullptr;
  prim::atomic<std::uint64_t> entered_{0};
  prim::atomic<std::uint64_t> pushed_{0};
  std::size_t arrived_ HEDDLE_GUARDED_BY(entry_) = 0;  // jobs in the list that arrives,
  job* heads_[ahead] HEDDLE_GUARDED_BY(entry_) = {};   // its first ones,
  job* recent_[ahead] HEDDLE_GUARDED_BY(entry_) = {};  // and its last ones, going round

  alignas(destructive_interference) prim::short_lock exit_;
  job* first_ HEDDLE_GUARDED_BY(exit_) = nullptr;
  prim::atomic<std::uint64_t> left_{0};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
