// A result that many read.
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <heddle/base/require_callable.hpp>
#include <heddle/future/future.hpp>

namespace heddle::inline HEDDLE_ABI {

// One of any number of equal owners of the right to read a result, as often as they like:
//
//   shared_future<config> loaded = pool.submit(load).share();
//
// Thread-safety: one object is used by one thread at a time, but for const functions; copies of it
// by any threads at once.
// Memory ordering, waiting on a worker, destruction: as future. The exception goes to the unhandled
// handler when the last owner dies and none of them has read it.
template <class T>
class [[nodiscard]] shared_future {
 public:
  using value_type = T;

  shared_future() noexcept = default;
  // Takes the place of the future, which becomes invalid. None of an invalid one is valid either.
  explicit shared_future(future<T>&& only) noexcept : state_(detail::access::release(only)) {}
  shared_future(const shared_future& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->retain();
  }
  shared_future(shared_future&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  shared_future& operator=(shared_future other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~shared_future() {
    if (state_ != nullptr) state_->release();
  }

  // False after default construction and move.
  bool valid() const noexcept { return state_ != nullptr; }

  // Never blocks. Throws no_state.
  bool ready() const { return state("shared_future::ready").ready(); }

  // Waits, and returns the value (const T&, good while an owner lives; T for references) or throws
  // the exception, which all readers share. Blocks. Throws no_state, would_starve, forked.
  decltype(auto) get() const {
    auto& s = state("shared_future::get");
    s.await();
    return s.view();
  }
  // As get, but throws `cancelled` when a stop is requested first.
  decltype(auto) get(const prim::stop_token& stop) const {
    if (!wait(stop)) throw cancelled("stopped while waiting for a future");
    return state_->view();
  }

  // Blocks until ready. Throws no_state, would_starve, forked.
  void wait() const { state("shared_future::wait").await(); }

  // Block until ready or the limit; true when ready. Throw no_state, would_starve, forked.
  bool wait_until(prim::time_point deadline) const {
    return state("shared_future::wait_until").await_until(deadline);
  }
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout) const {
    return wait_until(prim::deadline_after(timeout));
  }
  bool wait(const prim::stop_token& stop) const { return state("shared_future::wait").await(stop); }

  // As future::cancel: for all owners.
  bool cancel() const { return state("shared_future::cancel").cancel(); }

  // Ready with something other than a value. Never blocks; reads nothing. Throws no_state.
  bool failed() const {
    auto& s = state("shared_future::failed");
    return s.ready() && s.failed();
  }

  // Waits, and returns the exception that get() would throw, or null. Counts as reading it.
  // Throws no_state, would_starve, forked, std::bad_alloc.
  std::exception_ptr exception() const {
    auto& s = state("shared_future::exception");
    s.await();
    return s.read_error();
  }

  // As future::then, but this future stays as it is: f takes a shared_future<T>, or the value as
  // get() returns it. The value lives at least until f has returned.
  template <executor E, class F>
  auto then(E& where, F&& f) const {
    return then(where.executor(), std::forward<F>(f));
  }
  template <class F>
  auto then(executor_ref where, F&& f) const {
    shared_future mine = *this;
    return detail::continue_with(mine, where, std::forward<F>(f));
  }
  template <class F>
  auto then(F&& f) const {
    const executor_ref where = state("shared_future::then").home();
    if (!where) {
      throw std::invalid_argument(
          "shared_future::then: the future comes from a promise, so name an executor or use "
          "then_inline");
    }
    return then(where, std::forward<F>(f));
  }
  template <class F>
  auto then_inline(F&& f) const {
    return then(detail::trampoline(), std::forward<F>(f));
  }

  // As future::on_ready.
  template <class F>
    requires std::invocable<std::decay_t<F>>
  void on_ready(F&& f) const {
    on_ready(detail::trampoline(), std::forward<F>(f));
  }
  template <executor E, class F>
    requires std::invocable<std::decay_t<F>>
  void on_ready(E& where, F&& f) const {
    on_ready(where.executor(), std::forward<F>(f));
  }
  template <class F>
    requires std::invocable<std::decay_t<F>>
  void on_ready(executor_ref where, F&& f) const {
    auto& s = state("shared_future::on_ready");
    if (!where) throw std::invalid_argument("shared_future::on_ready: no executor");
    detail::require_callable(f, "shared_future::on_ready");
    detail::call_when_ready(s, where, unique_task(std::forward<F>(f)));
  }

 private:
  friend struct detail::access;

  detail::typed_state<T>& state(const char* operation) const {
    if (state_ == nullptr) throw no_state(operation);
    return *state_;
  }

  detail::typed_state<T>* state_ = nullptr;
};

template <class T>
shared_future<T> future<T>::share() && {
  static_cast<void>(state("future::share"));
  return shared_future<T>(std::move(*this));
}

}  // namespace heddle::inline HEDDLE_ABI
