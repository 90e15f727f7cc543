// What a future and its producer share. Users need future.hpp.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/executor_ref.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/job.hpp>
#include <heddle/base/task_name.hpp>
#include <heddle/prim/allocation.hpp>
#include <heddle/prim/atomic.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/completion.hpp>

namespace heddle::inline HEDDLE_ABI::detail {

// How it ended. Cancelled and broken need no exception object until somebody asks for one.
enum class outcome : std::uint8_t { none, value, error, cancelled, broken };

// Reference-counted: one reference per future, promise, queue entry or attached continuation.
//
// Whoever claims the state, and nobody else, stores its outcome and then calls finish(). Claiming
// is one exchange that a worker, a helper, a canceller and a promise compete for; an entry left in
// a queue by the loser of that race is a tombstone. Protocol: docs/protocols/future.md.
class HEDDLE_API future_state : public job {
 public:
  bool ready() const noexcept { return completion_.done(); }
  completion& event() noexcept { return completion_; }
  executor_ref home() const noexcept { return home_; }

  void retain() noexcept { references_.fetch_add(1, prim::relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, prim::acq_rel) == 1) destroy();
  }
  bool shared() const noexcept { return references_.load(prim::acquire) > 1; }

  bool try_claim() noexcept {
    return !claimed_.load(prim::relaxed) && !claimed_.exchange(true, prim::acq_rel);
  }

  // The claim of a queue (run), or of somebody who comes before it (help).
  bool try_claim_for(verb v) noexcept {
    if (!try_claim()) return false;
    if (v == verb::help) spent.store(true, prim::release);
    return true;
  }

  // Completes it as cancelled if nobody has begun; else asks the work to stop and returns false.
  bool cancel() noexcept;

  // For the claimer: the end without a value.
  void finish_with(outcome how, std::exception_ptr error = nullptr) noexcept;

  // For the claimer: the value has been stored.
  void finish_with_value() noexcept {
    outcome_.set(outcome::value);
    completion_.complete();
  }

  // Waits; on a worker of home() it may do the work itself. Throws would_starve.
  void await();
  // The same, but where await() would throw it waits without a stand-in.
  void await_regardless() noexcept;

  // Require ready().
  outcome how() const noexcept { return outcome_.get(); }
  bool failed() const noexcept { return how() != outcome::value; }
  // Counts as reading: the exception is no longer unhandled. Null for a value.
  // Throws std::bad_alloc.
  std::exception_ptr read_error();
  void mark_error_read() noexcept { error_read_.set(true); }
  // Throws the error, if there is one; once.
  void rethrow_error();

 protected:
  future_state(job::function act, executor_ref home, int references) noexcept
      : job(act), home_(home), references_(references) {}
  ~future_state();

  virtual void destroy() noexcept = 0;
  // Frees the callable of work that will not be done.
  virtual void drop_work() noexcept {}
  virtual void request_stop() noexcept {}

 private:
  const executor_ref home_;
  completion completion_;
  prim::atomic<int> references_;
  prim::atomic<bool> claimed_{false};
  prim::cell<outcome> outcome_{outcome::none};
  prim::cell<bool> error_read_{false};
  prim::cell<std::exception_ptr> error_{nullptr};
};

// A value as it is kept: references as pointers, void as a token.
struct no_value {};
template <class T>
using stored = std::conditional_t<
    std::is_void_v<T>, no_value,
    std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, std::remove_cv_t<T>>>;

template <class T>
class typed_state : public future_state {
 public:
  // For the claimer. Throws what making the value throws; then nothing has been stored.
  template <class... Args>
  void emplace(Args&&... args) {
    value_.write([&](std::optional<stored<T>>& v) {
      if constexpr (std::is_reference_v<T>) {
        v.emplace(std::addressof(args)...);
      } else {
        v.emplace(std::forward<Args>(args)...);
      }
    });
  }

  template <class... Args>
  void finish_with_value_of(Args&&... args) {
    emplace(std::forward<Args>(args)...);
    this->finish_with_value();
  }

  // Requires ready(). Moves the value out, or throws the error.
  T take() {
    this->rethrow_error();
    return value_.write([](std::optional<stored<T>>& v) -> T {
      if constexpr (std::is_reference_v<T>) {
        return static_cast<T>(**v);
      } else if constexpr (!std::is_void_v<T>) {
        return std::move(*v);
      }
    });
  }

 protected:
  using future_state::future_state;

 private:
  prim::cell<std::optional<stored<T>>> value_;
};

// Memory of a state, whatever its size and alignment.
template <class S, class... Args>
S* make_state(Args&&... args) {
  void* const memory = prim::allocate(sizeof(S), alignof(S));
  try {
    return ::new (memory) S(std::forward<Args>(args)...);
  } catch (...) {
    prim::deallocate(memory, sizeof(S), alignof(S));
    throw;
  }
}
template <class S>
void destroy_state(S* s) noexcept {
  s->~S();
  prim::deallocate(s, sizeof(S), alignof(S));
}

// A state whose value a callable makes: what every task and continuation has in common.
template <class R, class F>
class callable_state : public typed_state<R> {
 protected:
  template <class G>
  callable_state(job::function act, executor_ref home, int references, G&& f)
      : typed_state<R>(act, home, references),
        callable_(std::in_place, std::in_place, std::forward<G>(f)) {}

  // For the claimer. The callable and the context are gone before the result can be seen.
  template <class Invoke>
  void execute(Invoke&& invoke_callable) noexcept {
    std::exception_ptr error;
    {
      const context_scope inside(context_.get());
      const task_name_scope named(
          callable_.read([](const std::optional<F>& f) { return task_name_of(*f); }));
      try {
        callable_.write([&](std::optional<F>& f) {
          if constexpr (std::is_void_v<R>) {
            invoke_callable(std::move(*f));
            this->emplace();
          } else {
            this->emplace(invoke_callable(std::move(*f)));
          }
        });
      } catch (...) {
        error = std::current_exception();
      }
    }
    drop_work();
    if (error == nullptr) {
      this->finish_with_value();
    } else {
      this->finish_with(outcome::error, std::move(error));
    }
  }

  void drop_work() noexcept final {
    callable_.write([](std::optional<F>& f) { f.reset(); });
    context_.reset();
  }

 private:
  prim::cell<std::optional<F>> callable_;
  captured_context context_;
};

// Work for an executor, and the future of its result, in one cell.
template <class R, class F>
class task final : public callable_state<R, F> {
 public:
  // References: one for the future, one for the queue.
  template <class G>
  task(executor_ref home, G&& callable)
      : callable_state<R, F>(&act, home, 2, std::forward<G>(callable)) {}

 private:
  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<task*>(j);
    if (v == verb::discard) {
      self->cancel();
    } else if (self->try_claim_for(v)) {
      self->execute([](F&& f) -> R { return detail::invoke(std::move(f)); });
    }
    if (v != verb::help) self->release();
  }
  void destroy() noexcept final { destroy_state(this); }
};

// The same for a callable that takes a stop_token: it hears of cancel() on its future, and of the
// executor's own stop.
template <class R, class F>
class stoppable_task final : public callable_state<R, F> {
 public:
  template <class G>
  stoppable_task(executor_ref home, prim::stop_token executor_stop, G&& callable)
      : callable_state<R, F>(&act, home, 2, std::forward<G>(callable)),
        executor_stop_(std::move(executor_stop)) {}

 private:
  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<stoppable_task*>(j);
    if (v == verb::discard) {
      self->cancel();
    } else if (self->try_claim_for(v)) {
      self->run_with_token();
    }
    if (v != verb::help) self->release();
  }

  void run_with_token() noexcept {
    const auto forward = [this]() noexcept { stop_.request_stop(); };
    this->execute([&](F&& f) -> R {
      const prim::stop_callback<decltype(forward)> link(executor_stop_, forward);
      return detail::invoke(std::move(f), stop_.get_token());
    });
  }

  void request_stop() noexcept final { stop_.request_stop(); }
  void destroy() noexcept final { destroy_state(this); }

  prim::stop_source stop_;
  prim::stop_token executor_stop_;
};

// Runs (or discards) the job on this thread: at once, or, when a job that was run (or discarded) so
// is on the stack already, as soon as that one returns, so that chains of any length need no stack.
HEDDLE_API void run_on_trampoline(job* j) noexcept;
HEDDLE_API void discard_on_trampoline(job* j) noexcept;
HEDDLE_API executor_ref trampoline() noexcept;

}  // namespace heddle::inline HEDDLE_ABI::detail
