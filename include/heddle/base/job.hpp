// The one thing that every queue in Heddle holds.
#pragma once

#include <cstdint>

#include <heddle/prim/atomic.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI {

// What is to be done with a job.
//
// Whoever took a job over gives it exactly one of `run` and `discard`; afterwards the job belongs
// to itself and may not be touched. Before that, and only by somebody who keeps the job alive by
// other means, it may be given `help` any number of times.
enum class verb {
  run,      // do the work, unless a helper has begun it
  discard,  // give the work up: complete whoever waits for it as cancelled, free what it holds
  help,     // do the work ahead of its turn, unless it has begun; the queue keeps its entry
};

// An intrusive unit of work: task cells, stack tasks and coroutine frames all begin with one.
// `next` belongs to whichever queue holds the job; a job is in at most one queue at a time.
// A job that cannot be helped ignores that verb; one that was helped, or given up ahead of its
// turn, says so in `spent`: its queue entry is a tombstone, and giving it its verb only frees it.
struct job {
  using function = void (*)(job*, verb) noexcept;

  explicit constexpr job(function f) noexcept : run(f) {}
  job(const job&) = delete;
  job& operator=(const job&) = delete;

  function run;
  job* next = nullptr;
  prim::atomic<bool> spent{false};
  // For the executor that holds the job: its priority, as that executor counts, when it came, and
  // whether it may be dropped to make room for others.
  prim::atomic<std::uint8_t> level{0};
  bool droppable = false;
  std::uint32_t stamp = 0;

 protected:
  ~job() = default;
};

}  // namespace heddle::inline HEDDLE_ABI
