// Work that is done again and again, at fixed times.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/job.hpp>
#include <heddle/base/task_name.hpp>
#include <heddle/exec/timer_link.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/completion.hpp>

namespace heddle::inline HEDDLE_ABI {

// What becomes of the ticks that pass while a run is late or takes longer than the period.
enum class missed_ticks : std::uint8_t {
  coalesce,  // one run makes up for all of them, as soon as it can; the others are counted
  catch_up,  // each has its run, one after the other
};

struct periodic_options {
  // From the start to the first tick; the period, if not set. Negative is zero.
  std::optional<prim::clock::duration> first_after = std::nullopt;
  missed_ticks when_late = missed_ticks::coalesce;
  // An exception goes to the unhandled handler; true: and it was the last run.
  bool end_on_exception = false;
};

// What a run may ask for.
struct timer_tick {
  prim::time_point due;            // when it was to begin
  prim::clock::duration lateness;  // how much later it did begin
  std::uint64_t missed = 0;        // ticks after `due` that it makes up for
};

struct periodic_statistics {
  std::uint64_t runs = 0;
  std::uint64_t missed = 0;  // ticks that had no run of their own
  std::uint64_t failed = 0;  // runs that threw
  prim::clock::duration last_lateness{0};
  prim::clock::duration max_lateness{0};
};

namespace detail {

// A periodic timer, shared by its handle and by whoever holds it as a job: the queue, then the
// executor. Ticks follow each other: the next one is armed when a run is over.
class HEDDLE_API periodic_state : public job {
 public:
  // By the maker. Throws std::system_error, std::bad_alloc; then nobody else knows the state.
  void start(timer_core& core, prim::time_point first);

  void cancel() noexcept;
  // Until no run is in progress; at once if the caller is inside of one. Throws would_starve.
  void await_end();
  bool ended() const noexcept { return ended_.done(); }
  periodic_statistics statistics() const noexcept;

  void release() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) == 1) destroy();
  }

 protected:
  periodic_state(executor_ref where, prim::clock::duration period, missed_ticks when_late,
                 bool end_on_exception) noexcept
      : job(&act),
        where_(where),
        period_(period),
        when_late_(when_late),
        end_on_exception_(end_on_exception) {}
  ~periodic_state();

  virtual void call(const timer_tick& tick) = 0;
  virtual void drop_callable() noexcept = 0;
  virtual void destroy() noexcept = 0;

 private:
  friend class timer_core;
  enum class phase : std::uint8_t { waiting, running, ending, ended };

  static void act(job* j, verb v) noexcept;
  void run_once() noexcept;
  std::optional<timer_tick> begin_run() noexcept;
  bool end_run(bool failed) noexcept;
  void give_up() noexcept;
  void end() noexcept;

  const executor_ref where_;
  const prim::clock::duration period_;
  const missed_ticks when_late_;
  const bool end_on_exception_;
  prim::atomic<int> references_{1};
  completion ended_;

  // Guarded by the core's mutex.
  timer_core* core_ = nullptr;
  phase phase_ = phase::waiting;
  prim::time_point due_{};
  periodic_statistics seen_;
  timer_link link_;
};

template <class F>
class periodic_call final : public periodic_state {
 public:
  template <class G>
  periodic_call(executor_ref where, prim::clock::duration period, const periodic_options& options,
                G&& f)
      : periodic_state(where, period, options.when_late, options.end_on_exception),
        callable_(std::in_place, std::in_place, std::forward<G>(f)) {}

 private:
  void call(const timer_tick& tick) override {
    const context_scope inside(context_.get());
    callable_.write([&](std::optional<F>& f) {
      const task_name_scope named(task_name_of(*f));
      if constexpr (std::invocable<F&, const timer_tick&>) {
        static_cast<void>(detail::invoke(*f, tick));
      } else {
        static_cast<void>(detail::invoke(*f));
      }
    });
  }
  void drop_callable() noexcept override {
    callable_.write([](std::optional<F>& f) { f.reset(); });
    context_.reset();
  }
  void destroy() noexcept override { delete this; }

  prim::cell<std::optional<F>> callable_;
  captured_context context_;
};

}  // namespace detail

// The handle of work that schedule_every repeats.
//
// Thread-safety: of an int; cancel, ended and statistics also from several threads at once.
// Destruction: as stop(), and where that would throw it waits without a stand-in. After a fork, in
// the child, it leaves the timer alone, which is not there.
class HEDDLE_API periodic_timer {
 public:
  periodic_timer() noexcept = default;
  periodic_timer(periodic_timer&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  periodic_timer& operator=(periodic_timer&& other) noexcept {
    if (this != &other) {
      reset();
      state_ = std::exchange(other.state_, nullptr);
    }
    return *this;
  }
  ~periodic_timer() { reset(); }

  // No run begins after this returns. One that is in progress goes on. The timer leaves its queue
  // now; the callable is destroyed now or when that run is over. Never blocks.
  void cancel() noexcept {
    if (state_ != nullptr) state_->cancel();
  }
  // The same, and waits for a run in progress, unless called from inside of it.
  // Blocks. Throws would_starve; then it is cancelled all the same.
  void stop() {
    if (state_ == nullptr) return;
    state_->cancel();
    state_->await_end();
  }

  // True when there is nothing that could run again, and nothing runs: it was cancelled, has failed
  // and was told to end then, or its executor or queue gave it up.
  bool ended() const noexcept { return state_ == nullptr || state_->ended(); }

  periodic_statistics statistics() const noexcept {
    return state_ == nullptr ? periodic_statistics{} : state_->statistics();
  }

 private:
  friend class timer_queue;

  explicit periodic_timer(detail::periodic_state* adopted) noexcept : state_(adopted) {}

  void reset() noexcept;

  detail::periodic_state* state_ = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI
