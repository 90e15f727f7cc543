// Jobs on their way into a pool. Users need exec/thread_pool.hpp.
#pragma once

#include <cstddef>
#include <utility>

#include <heddle/base/job.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// Jobs linked through `next`, to be handed over together. It discards those that it still has in
// the end.
class job_batch {
 public:
  struct chain {
    job* first;
    job* last;
  };

  job_batch() = default;
  job_batch(const job_batch&) = delete;
  job_batch& operator=(const job_batch&) = delete;
  ~job_batch() {
    for (job* j = chain_.first; j != nullptr;) {
      job* const rest = j->next;
      j->run(j, verb::discard);
      j = rest;
    }
  }

  bool empty() const noexcept { return chain_.first == nullptr; }
  std::size_t size() const noexcept { return size_; }

  void append(job* j) noexcept {
    j->next = nullptr;
    (chain_.last != nullptr ? chain_.last->next : chain_.first) = j;
    chain_.last = j;
    ++size_;
  }
  // To the caller, who sees to them from here on.
  chain release() noexcept {
    size_ = 0;
    return std::exchange(chain_, chain{});
  }

 private:
  chain chain_{};
  std::size_t size_ = 0;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
