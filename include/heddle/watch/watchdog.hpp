// Looks for threads that will never go on, and for such that wait too long.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <heddle/prim/config.hpp>
#include <heddle/watch/wait_graph.hpp>

namespace heddle::inline HEDDLE_ABI {

enum class deadlock_policy : std::uint8_t {
  report,  // and nothing else
  // Where all owners are known: the wait that began last, of those that may throw, throws
  // deadlock_error; what its thread holds it lets go as the stack is unwound.
  interrupt,
};

// A thread that waits while others have what it waits for again and again.
struct HEDDLE_API starvation {
  waiting_thread thread;
  std::uint64_t passed_over = 0;  // acquisitions by others since it was first seen to wait

  // A line. Throws std::bad_alloc.
  std::string to_text() const;
};

// A task of a pool waits for a thread that runs a less urgent one, of this pool or another.
struct HEDDLE_API priority_inversion {
  waiting_thread thread;
  unsigned level = 0;     // of its task: a heddle::priority, of which 0 is the most urgent
  awaited_thread slower;  // one whom it waits for
  unsigned slower_level = 0;

  // A line. Throws std::bad_alloc.
  std::string to_text() const;
};

struct watchdog_options {
  // Between two looks at all waits, of which it takes two to be sure. 0: no thread; scan() looks.
  std::chrono::nanoseconds period = std::chrono::milliseconds(250);
  deadlock_policy policy = deadlock_policy::report;

  // Each deadlock is told once, each starvation, inversion and long wait once as long as it lasts,
  // on the watchdog's thread, or that which calls scan(). Null ones write to stderr. What they
  // throw goes to the unhandled handler. They do not destroy the watchdog.
  std::function<void(const deadlock&)> on_deadlock{};
  std::function<void(const starvation&)> on_starvation{};
  std::function<void(const priority_inversion&)> on_inversion{};
  std::function<void(const waiting_thread&)> on_long_wait{};

  // Acquisitions by others that make a wait a starvation; 0: none do. Counted for locks that record
  // (lock_probe::record), or all of them: with `record_locks` the process records sampled while the
  // watchdog lives, if it did not record before.
  std::uint64_t passed_over = 10'000;
  bool record_locks = false;
  // Whether tasks that wait for less urgent ones are told, when two scans have seen them.
  bool inversions = true;
  // Waits without a deadline that last as long are told; 0: none are.
  std::chrono::nanoseconds long_wait{0};
};

// While it lives, locks note who owns them, and semaphores and queues who uses them; and all waits
// of the process are looked at now and then. Make it before the threads that it is to watch: whom
// it has not seen using a thing, it does not know.
//
// What is found: circles of waits for locks, results of tasks, ends of threads, ends of the work of
// pools, all of which have owners ("deadlock"); and such that go over semaphores and queues, too
// ("suspected deadlock"). Never part of one: waits with a deadline or a stop, announced calls, and
// waits for what anybody might do (events, condition variables, a promise of the user's).
//
// Thread-safety: scan() from any thread. Several watchdogs may live at a time: each tells what it
// finds.
// Blocks? The constructor and scan() only for short locks; the destructor until a scan that is
// under way has ended.
// Costs: a thread that is awake for some 100 ns for each thread that waits, each period; while it
// lives, a store at each lock and unlock, and a short search at each use of a semaphore or queue.
// Destruction: at any time, also during static destruction; not from its handlers.
// After fork the child's one looks no more, and scan() does nothing; the child may make its own.
// Protocol: docs/protocols/wait_graph.md.
class HEDDLE_API watchdog {
 public:
  // Throws std::invalid_argument for a negative duration, std::system_error when no thread can be
  // started, std::bad_alloc.
  explicit watchdog(watchdog_options options = {});
  ~watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

  // Looks once. What was seen in the scan before, too, is told. Throws std::bad_alloc.
  void scan();

  std::uint64_t scans() const noexcept;
  std::uint64_t deadlocks() const noexcept;  // that were told

 private:
  class core;
  std::unique_ptr<core> core_;
};

}  // namespace heddle::inline HEDDLE_ABI
