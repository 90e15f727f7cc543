// Where work is to run, without knowing what runs it.
#pragma once

#include <concepts>

#include <heddle/base/job.hpp>

namespace heddle::inline HEDDLE_ABI {

// A borrowed reference to an executor: two words, copied freely, compares by identity.
// Requires: the executor outlives every use of the reference. (Coroutines keep what they need of a
// pool or strand on which they go on.)
struct executor_ref {
  // Takes the job over: it is given exactly one verb, now or later, on this thread or another.
  // An executor that no longer accepts work discards it. Never throws.
  using post_function = void (*)(void* self, job* j) noexcept;

  void* self = nullptr;
  post_function post_job = nullptr;

  void post(job* j) const noexcept { post_job(self, j); }

  explicit operator bool() const noexcept { return post_job != nullptr; }
  friend bool operator==(const executor_ref&, const executor_ref&) = default;
};

// Anything that can lend an executor_ref. An executor is written in a few lines: a post function
// that stores or runs the job, and `executor()`.
template <class E>
concept executor = requires(E& e) {
  { e.executor() } noexcept -> std::same_as<executor_ref>;
};

}  // namespace heddle::inline HEDDLE_ABI
