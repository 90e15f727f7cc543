// A meeting point that a fixed number of threads pass together, again and again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/prim/annotations.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/short_lock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/probe/lock_probe.hpp>
#include <heddle/sync/wait_queue.hpp>

namespace heddle::inline HEDDLE_ABI {

// The phase will not be completed: somebody called abort or reset, or gave up after it had arrived.
class HEDDLE_API broken_barrier : public error {
 public:
  broken_barrier();
  ~broken_barrier() override;
};

// What all barriers are made of; for the library's own use.
class HEDDLE_API barrier_core {
 public:
  // What the last one to arrive does before the others go on.
  struct step {
    void* object = nullptr;
    void (*run)(void* object) noexcept = nullptr;  // null: nothing
  };

  explicit barrier_core(std::ptrdiff_t expected);
  barrier_core(std::ptrdiff_t expected, std::string_view name);

  // How a phase stands, to one who waits for its end.
  enum class standing : std::uint8_t { under_way, completed, broken };
  struct arrival {
    std::uint64_t phase;
    standing after;
  };

  arrival arrive(std::ptrdiff_t n, const step& s);
  void arrive_and_drop(const step& s);
  bool wait(std::uint64_t phase, const wait_limit& limit);
  bool arrive_and_wait(const step& s, const wait_limit& limit);
  void abort() noexcept;
  void reset() noexcept;
  bool broken() const noexcept;

  const lock_probe& probe() const noexcept { return probe_; }
  void record(lock_recording what) { probe_.record(what, wait_kind::barrier, this); }

 private:
  static constexpr std::uint64_t no_phase = std::numeric_limits<std::uint64_t>::max();

  static std::ptrdiff_t checked(std::ptrdiff_t expected);
  [[noreturn]] static void refuse(std::ptrdiff_t n, std::ptrdiff_t missing);

  standing finish(std::uint64_t phase, const step& s) noexcept;
  standing look(std::uint64_t phase) const noexcept HEDDLE_REQUIRES(lock_);
  standing settle(std::uint64_t phase) const noexcept;
  standing sleep(std::uint64_t phase, const wait_limit& limit);
  standing give_up(std::uint64_t phase) noexcept;
  void begin_next() noexcept HEDDLE_REQUIRES(lock_);
  void break_phase(wait_queue::chain& woken) noexcept HEDDLE_REQUIRES(lock_);

  prim::atomic<std::uint64_t> phase_{0};  // changed under the lock
  mutable prim::short_lock lock_;
  bool broken_ HEDDLE_GUARDED_BY(lock_) = false;  // the phase of now, until reset
  std::uint64_t last_broken_ HEDDLE_GUARDED_BY(lock_) = no_phase;
  std::ptrdiff_t expected_ HEDDLE_GUARDED_BY(lock_);  // in the next phase
  std::ptrdiff_t missing_ HEDDLE_GUARDED_BY(lock_);   // in this one; 0 while the step runs
  wait_queue queue_ HEDDLE_GUARDED_BY(lock_);
  lock_probe probe_;
};

struct no_completion_step {
  void operator()() const noexcept {}
};

// Has the interface of std::barrier; beyond it, waits that a deadline or a stop ends, and abort.
//
// A phase is completed when as many have arrived as are expected: the last one runs the completion
// step, then everybody goes on and the next phase begins. A phase is broken when it will not be
// completed: then those who wait for it, and whoever arrives until reset(), get broken_barrier.
// Whoever gives up with arrive_and_wait, because of a deadline, a stop or an exception, breaks the
// phase, as in Java's CyclicBarrier: the others would wait for one who does not know where they
// are. Whoever gives up waiting with a token breaks nothing: the arrival stands, and the token is
// good for another wait.
//
// A barrier of 0 is what it is when everybody has dropped out: nobody can arrive.
//
// Memory ordering: each arrival synchronizes with the completion step, and that with each wait for
// the phase.
// Blocks? The waits spin briefly, then sleep; arriving takes as long as the completion step. A
// worker that waits lets its pool put a spare worker in its place.
// Throws: waits throw would_starve as blocking_region does. Arrivals throw std::invalid_argument
// when more arrive than are missing, also while the completion step runs; nothing has changed then.
// Destruction: legal as soon as the end of the last phase has been seen and nobody is inside a
// wait; the last access of the arrival that completed it comes before that.
template <class CompletionFunction = no_completion_step>
class barrier {
  static_assert(std::is_nothrow_invocable_v<CompletionFunction&>,
                "a completion step takes nothing and is noexcept");

 public:
  // The proof of an arrival, to wait with for the end of its phase. Requires: it is used with its
  // barrier, and no later than in the phase that follows its own.
  class [[nodiscard]] arrival_token {
   public:
    arrival_token(arrival_token&&) noexcept = default;
    arrival_token& operator=(arrival_token&&) noexcept = default;

   private:
    friend class barrier;
    explicit arrival_token(std::uint64_t phase) noexcept : phase_(phase) {}

    std::uint64_t phase_;
  };

  static constexpr std::ptrdiff_t max() noexcept {
    return std::numeric_limits<std::ptrdiff_t>::max();
  }

  // Throws std::invalid_argument when expected is negative, and what moving the step throws.
  explicit barrier(std::ptrdiff_t expected, CompletionFunction step = CompletionFunction())
      : core_(expected), step_(std::move(step)) {}
  // With a name for reports. Throws std::bad_alloc, too.
  barrier(std::ptrdiff_t expected, std::string_view name,
          CompletionFunction step = CompletionFunction())
      : core_(expected, name), step_(std::move(step)) {}
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  // n of those who are expected have arrived. Throws broken_barrier.
  arrival_token arrive(std::ptrdiff_t n = 1) {
    return arrival_token(core_.arrive(n, its_step()).phase);
  }

  // Arrives, and is not expected any more from the next phase on. On a broken barrier it is only
  // expected no more: this is how one who fails leaves.
  void arrive_and_drop() { core_.arrive_and_drop(its_step()); }

  // Throws broken_barrier.
  void wait(arrival_token&& token) { core_.wait(token.phase_, wait_limit()); }
  // False when a stop was requested, or the deadline passed, before the phase was completed. Looks
  // at least once, also with a negative timeout. Throws broken_barrier.
  bool wait(const arrival_token& token, const prim::stop_token& stop) {
    return core_.wait(token.phase_, wait_limit(stop));
  }
  bool wait_until(const arrival_token& token, prim::time_point deadline,
                  const prim::stop_token& stop = {}) {
    return core_.wait(token.phase_, wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  bool wait_for(const arrival_token& token, std::chrono::duration<Rep, Period> timeout,
                const prim::stop_token& stop = {}) {
    return wait_until(token, prim::deadline_after(timeout), stop);
  }

  // Throws broken_barrier.
  void arrive_and_wait() { core_.arrive_and_wait(its_step(), wait_limit()); }
  // False when a stop was requested, or the deadline passed, before the others were there: then
  // this call has broken the phase. Arrives in any case, also with a negative timeout, and may be
  // the last. Throws broken_barrier.
  bool arrive_and_wait(const prim::stop_token& stop) {
    return core_.arrive_and_wait(its_step(), wait_limit(stop));
  }
  bool arrive_and_wait_until(prim::time_point deadline, const prim::stop_token& stop = {}) {
    return core_.arrive_and_wait(its_step(), wait_limit(stop, deadline));
  }
  template <class Rep, class Period>
  bool arrive_and_wait_for(std::chrono::duration<Rep, Period> timeout,
                           const prim::stop_token& stop = {}) {
    return arrive_and_wait_until(prim::deadline_after(timeout), stop);
  }

  // Breaks the phase. During the completion step too: then the step runs to its end, and the phase
  // is broken all the same.
  void abort() noexcept { core_.abort(); }
  // Begins a new phase, in which all are missing who have not dropped out. If somebody has arrived
  // in the phase of now, that one is broken first.
  void reset() noexcept { core_.reset(); }
  bool broken() const noexcept { return core_.broken(); }

  // Records arrivals that wait, whatever the process records. Throws std::bad_alloc.
  void record(lock_recording what) { core_.record(what); }
  // Null when it has none.
  const char* name() const noexcept { return core_.probe().name(); }
  lock_statistics statistics() const { return core_.probe().statistics(); }

 private:
  barrier_core::step its_step() noexcept {
    if constexpr (std::is_same_v<CompletionFunction, no_completion_step>) {
      return {};
    } else {
      return {&step_, [](void* object) noexcept { (*static_cast<CompletionFunction*>(object))(); }};
    }
  }

  barrier_core core_;
  [[no_unique_address]] CompletionFunction step_;
};

barrier(std::ptrdiff_t, const char*) -> barrier<>;

}  // namespace heddle::inline HEDDLE_ABI
