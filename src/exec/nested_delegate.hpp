// The delegate of executors without threads of their own.
#pragma once

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/sync/blocking_region.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// In place on a thread while that runs such an executor's jobs: waits for the executor's work are
// answered by running that work, all others are the outer delegate's.
class nested_delegate : public blocking_delegate {
 public:
  nested_delegate(const nested_delegate&) = delete;
  nested_delegate& operator=(const nested_delegate&) = delete;

  void help(executor_ref home, job* j) noexcept final {
    if (serves(home)) {
      j->run(j, verb::help);
    } else if (outer_ != nullptr) {
      outer_->help(home, j);
    }
  }
  void enter(wait_record& record) final {
    if (outer_ != nullptr) outer_->enter(record);
  }
  void leave(wait_record& record) noexcept final {
    if (outer_ != nullptr) outer_->leave(record);
  }

 protected:
  nested_delegate() noexcept : outer_(exchange_blocking_delegate(this)) {}
  ~nested_delegate() {
    // A child of fork begins without a delegate, and what was outside is not there any more.
    if (current_blocking_delegate() == this) exchange_blocking_delegate(outer_);
  }

 private:
  virtual bool serves(executor_ref home) const noexcept = 0;

  blocking_delegate* const outer_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
