// Jobs in a row. Users need the executors.
#pragma once

#include <heddle/base/job.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// First in, first out, linked through `next`. Whoever holds it guards it.
class job_list {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  job* first() const noexcept { return first_; }

  void append(job* j) noexcept {
    j->next = nullptr;
    (last_ != nullptr ? last_->next : first_) = j;
    last_ = j;
  }
  // The oldest; null when there is none.
  job* pop() noexcept {
    job* const j = first_;
    if (j == nullptr) return nullptr;
    first_ = j->next;
    if (first_ == nullptr) last_ = nullptr;
    return j;
  }

 private:
  job* first_ = nullptr;
  job* last_ = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
