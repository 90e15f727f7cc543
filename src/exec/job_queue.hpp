// A first-in first-out queue of jobs that allocates nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include <heddle/base/job.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/mutex.hpp>

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

class job_queue {
 public:
  enum class origin { outside, inside };

  // False when closed for those outside; then nothing has changed.
  bool push(const job_chain& chain, origin from) noexcept {
    const prim::scoped_lock lock(mutex_);
    if (closed_ && from == origin::outside) return false;
    link(chain);
    pushed_.store(pushed_.load(prim::relaxed) + chain.size, prim::release);
    return true;
  }

  // Jobs that come from another queue, and were counted there.
  void take_over(const job_chain& chain) noexcept {
    const prim::scoped_lock lock(mutex_);
    link(chain);
  }

  job* pop() noexcept {
    if (size() == 0) return nullptr;
    const prim::scoped_lock lock(mutex_);
    job* const j = first_;
    if (j == nullptr) return nullptr;
    first_ = j->next;
    if (first_ == nullptr) last_ = nullptr;
    size_.store(size_.load(prim::relaxed) - 1, prim::relaxed);
    return j;
  }

  // Takes out the jobs for which the predicate holds, in one walk.
  template <class Predicate>
  job_chain take_if(Predicate holds) noexcept {
    job_chain taken;
    const prim::scoped_lock lock(mutex_);
    job* before = nullptr;
    for (job* j = first_; j != nullptr;) {
      job* const rest = j->next;
      if (holds(j)) {
        (before != nullptr ? before->next : first_) = rest;
        if (rest == nullptr) last_ = before;
        taken.append(j);
      } else {
        before = j;
      }
      j = rest;
    }
    size_.store(size_.load(prim::relaxed) - taken.size, prim::relaxed);
    return taken;
  }

  void close() noexcept {
    const prim::scoped_lock lock(mutex_);
    closed_ = true;
  }

  std::size_t size() const noexcept { return size_.load(prim::relaxed); }
  // Jobs ever pushed. Whoever has seen a job that came from here sees it counted.
  std::uint64_t pushed() const noexcept { return pushed_.load(prim::acquire); }

 private:
  void link(const job_chain& chain) noexcept HEDDLE_REQUIRES(mutex_) {
    if (chain.size == 0) return;
    (last_ != nullptr ? last_->next : first_) = chain.first;
    last_ = chain.last;
    last_->next = nullptr;
    size_.store(size_.load(prim::relaxed) + chain.size, prim::relaxed);
  }

  prim::mutex mutex_;
  job* first_ HEDDLE_GUARDED_BY(mutex_) = nullptr;
  job* last_ HEDDLE_GUARDED_BY(mutex_) = nullptr;
  bool closed_ HEDDLE_GUARDED_BY(mutex_) = false;
  prim::atomic<std::size_t> size_{0};
  prim::atomic<std::uint64_t> pushed_{0};
};

}  // namespace heddle::inline HEDDLE_ABI::detail
