// The only door to the parker: every wait in Heddle passes here, so that the executor whose worker
// is about to sleep can put another one in its place.
#pragma once

#include <heddle/base/executor_ref.hpp>
#include <heddle/base/job.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/wait_board.hpp>
#include <heddle/probe/wait_record.hpp>
#include <heddle/sync/completion.hpp>

namespace heddle::inline HEDDLE_ABI {

// What an executor installs in its workers' threads.
class HEDDLE_API blocking_delegate {
 public:
  // Gives `j` the verb `help` on this thread, when `home` is this worker's executor and it is the
  // executor's rule to let its workers do so. Requires: the caller keeps j alive.
  virtual void help(executor_ref home, job* j) noexcept = 0;
  // The thread is about to sleep. May throw would_starve; then the thread must not sleep.
  virtual void enter(wait_record& record) = 0;
  // The thread is awake again.
  virtual void leave(wait_record& record) noexcept = 0;

 protected:
  ~blocking_delegate() = default;
};

// The calling thread's delegate, or null.
HEDDLE_API blocking_delegate* current_blocking_delegate() noexcept;
HEDDLE_API blocking_delegate* exchange_blocking_delegate(blocking_delegate* next) noexcept;

// The scope of one wait, which is on the board (probe/wait_board.hpp) meanwhile. Nests: only the
// outermost region of a thread tells the delegate.
// Throws what the delegate's enter() throws.
class HEDDLE_API blocking_region {
 public:
  explicit blocking_region(wait_record& record);
  ~blocking_region();
  blocking_region(const blocking_region&) = delete;
  blocking_region& operator=(const blocking_region&) = delete;

 private:
  wait_record& record_;
  blocking_delegate* delegate_;
  detail::published_wait published_;
};

// Waits inside this scope are not announced: for those that must not fail (wait_regardless). The
// worker's share of the cores lies idle meanwhile.
class unannounced_waits {
 public:
  unannounced_waits() noexcept : delegate_(exchange_blocking_delegate(nullptr)) {}
  ~unannounced_waits() { exchange_blocking_delegate(delegate_); }
  unannounced_waits(const unannounced_waits&) = delete;
  unannounced_waits& operator=(const unannounced_waits&) = delete;

 private:
  blocking_delegate* delegate_;
};

// Announces a call that may block outside of Heddle (a read, a query, a foreign lock), so that the
// pool keeps its cores busy meanwhile. On a thread that is no worker it does nothing.
//
//   { blocking_scope scope("query"); connection.execute(sql); }
//
// Blocks? No. Throws would_starve when no spare worker is left and the pool's option says so.
class blocking_scope {
 public:
  explicit blocking_scope(const char* name = nullptr)
      : record_{wait_kind::external, nullptr, name}, region_(record_) {}

 private:
  wait_record record_;
  blocking_region region_;
};

// Sleeps until `event` is done; false when the deadline passed, or a stop was requested, first.
// Runs nothing meanwhile. Throws what the delegate's enter() throws, and then has not waited.
HEDDLE_API bool wait_for_completion(completion& event, wait_kind kind,
                                    prim::time_point deadline = prim::never);
// Without a limit, for callers that may throw: throws deadlock_error as well.
HEDDLE_API void wait_or_be_interrupted(completion& event, wait_kind kind,
                                       const char* name = nullptr);
HEDDLE_API bool wait_for_completion(completion& event, wait_kind kind,
                                    const prim::stop_token& stop);

// Calls wait(), for who can do nothing else: a destructor, or a caller of whose stack others make
// use. When that throws, since no spare worker is left, it is called again, and waits unannounced.
// Requires: a wait() that has thrown can be called again; unannounced, it does not throw. What is
// awaited does not need this very worker: nobody will stand in for it.
// Blocks.
template <class Wait>
auto wait_regardless(Wait wait) noexcept {
  try {
    return wait();
  } catch (...) {  // would_starve, or no memory for its text
    const unannounced_waits quietly;
    return wait();
  }
}
// The same as wait_for_completion.
HEDDLE_API bool wait_regardless(completion& event, wait_kind kind,
                                prim::time_point deadline = prim::never) noexcept;

}  // namespace heddle::inline HEDDLE_ABI
