// The executor that has no thread: whoever posts runs the work.
#pragma once

#include <utility>

#include <heddle/base/executor_ref.hpp>
#include <heddle/exec/submit.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {
HEDDLE_API void run_inline(void*, job* j) noexcept;
}

// Runs a job at once, on the thread that posts it; a job that is posted by such a job waits until
// that one has returned, so that chains of any length need no stack.
//
// For tests, for continuations that are too short to be worth a hand-over, and where an interface
// wants an executor and there is no other. All objects of the type are the same executor.
// Waiting: a job that gets the future of another inline task runs it, if nobody has begun it, as a
// pool's worker would. It must not wait in any other way for what its own thread has still to run.
// Thread-safety: every member from any thread.
class inline_executor {
 public:
  executor_ref executor() const noexcept { return {nullptr, &detail::run_inline}; }

  // See heddle::submit and heddle::post. Outside of an inline job the future is ready on return.
  template <work F>
  auto submit(F&& f) const {
    return heddle::submit(executor(), std::forward<F>(f));
  }
  template <std::invocable F>
  void post(F&& f) const {
    heddle::post(executor(), std::forward<F>(f));
  }
};

}  // namespace heddle::inline HEDDLE_ABI
