// How what several threads do together fails.
#pragma once

#include <exception>
#include <utility>

#include <heddle/base/unhandled.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// For all threads that take part in one call; it lives on the caller's stack.
class first_failure {
 public:
  first_failure() = default;
  first_failure(const first_failure&) = delete;
  first_failure& operator=(const first_failure&) = delete;

  // Something has thrown: nothing more is begun.
  bool failed() const noexcept { return failed_.load(prim::relaxed); }

  // The exception that is being handled.
  [[gnu::cold, gnu::noinline]] void fail() noexcept {
    if (failed_.exchange(true, prim::relaxed)) {
      report_unhandled(std::current_exception());
    } else {
      failure_ = std::current_exception();
    }
  }

  // The caller, when all others have left. Their leaving makes the exception visible.
  void rethrow_failure() {
    if (failed()) [[unlikely]]
      std::rethrow_exception(std::move(failure_));
  }

 private:
  prim::atomic<bool> failed_{false};
  std::exception_ptr failure_;
};

}  // namespace heddle::inline HEDDLE_ABI::detail
