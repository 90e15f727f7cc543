// A callable of unknown type, owned by one holder, that queues can carry without a further
// allocation.
#pragma once

#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

#include <heddle/base/context_slot.hpp>
#include <heddle/base/job.hpp>
#include <heddle/base/task_scope.hpp>
#include <heddle/base/unhandled.hpp>
#include <heddle/prim/cell.hpp>
#include <heddle/prim/cells.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// A callable in a cell of its own. Frees itself when it has been given its verb.
template <class F>
class callable_job final : public job {
 public:
  template <class G>
  static job* make(G&& f) {
    void* memory = prim::allocate_cell(sizeof(callable_job), alignof(callable_job));
    try {
      return ::new (memory) callable_job(std::forward<G>(f));
    } catch (...) {
      prim::deallocate_cell(memory, sizeof(callable_job), alignof(callable_job));
      throw;
    }
  }

 private:
  template <class G>
  explicit callable_job(G&& f) : job(&act), callable_(std::in_place, std::forward<G>(f)) {}
  ~callable_job() = default;

  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<callable_job*>(j);
    if (v == verb::help) return;
    if (v == verb::run) self->invoke();
    self->~callable_job();
    prim::deallocate_cell(self, sizeof(callable_job), alignof(callable_job));
  }

  void invoke() noexcept {
    const task_scope around(context_.get(),
                            callable_.read([](const F& f) { return task_name_of(f); }));
    try {
      callable_.write([](F& f) { static_cast<void>(std::move(f)()); });
    } catch (...) {
      report_unhandled(std::current_exception());
    }
  }

  captured_context context_;
  prim::cell<F> callable_;
};

}  // namespace detail

// Owns one call of a callable. Running consumes it; destroying it unrun destroys the callable.
//
// An exception of the callable goes to the unhandled handler: a unique_task has nobody to give it
// to. The context of the maker is in place while the callable runs.
// Thread-safety: none; hand it over from one thread to another.
class unique_task {
 public:
  unique_task() noexcept = default;

  // Allocates one cell. Throws std::bad_alloc, and what copying or moving the callable throws.
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, unique_task> && std::invocable<std::decay_t<F>>)
  explicit unique_task(F&& f)
      : job_(detail::callable_job<std::decay_t<F>>::make(std::forward<F>(f))) {}

  // Takes over a job that is in no queue.
  explicit unique_task(job* adopted) noexcept : job_(adopted) {}

  unique_task(unique_task&& other) noexcept : job_(other.release()) {}
  unique_task& operator=(unique_task&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~unique_task() { reset(nullptr); }

  explicit operator bool() const noexcept { return job_ != nullptr; }

  // Runs the callable, once. Requires: holds one.
  void operator()() noexcept {
    job* const j = release();
    j->run(j, verb::run);
  }

  // Gives the job up to a queue; null when there is none.
  [[nodiscard]] job* release() noexcept { return std::exchange(job_, nullptr); }

 private:
  void reset(job* next) noexcept {
    job* const old = std::exchange(job_, next);
    if (old != nullptr) old->run(old, verb::discard);
  }

  job* job_ = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI
