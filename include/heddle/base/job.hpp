// The one thing that every queue in Heddle holds.
#pragma once

#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// What is to be done with a job. Exactly one verb is ever given to a job, and afterwards the job
// belongs to itself: the caller may not touch it again.
enum class verb {
  run,      // do the work
  discard,  // give the work up: complete whoever waits for it as cancelled, free what it holds
};

// An intrusive unit of work: task cells, stack tasks and coroutine frames all begin with one.
// `next` belongs to whichever queue holds the job; a job is in at most one queue at a time.
struct job {
  using function = void (*)(job*, verb) noexcept;

  explicit constexpr job(function f) noexcept : run(f) {}
  job(const job&) = delete;
  job& operator=(const job&) = delete;

  function run;
  job* next = nullptr;

 protected:
  ~job() = default;
};

}  // namespace heddle::inline HEDDLE_ABI
