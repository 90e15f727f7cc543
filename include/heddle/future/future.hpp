// The result of work that may not have happened yet.
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/future/state.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/blocking_region.hpp>

namespace heddle::inline HEDDLE_ABI {

template <class T>
class future;

namespace detail {

struct access;

// A continuation takes the finished future itself, or, more simply, its value: then an error or a
// cancellation passes it by and goes on to the next future.
template <class F, class T>
inline constexpr bool takes_future = std::invocable<F, future<T>>;

template <class F, class T>
struct value_result : std::invoke_result<F, T> {};
template <class F>
struct value_result<F, void> : std::invoke_result<F> {};

template <class F, class T>
struct continuation_result : value_result<F, T> {};
template <class F, class T>
  requires takes_future<F, T>
struct continuation_result<F, T> : std::invoke_result<F, future<T>> {};

}  // namespace detail

// One owner's right to read a result once.
//
// Thread-safety: a future is used by one thread at a time; the producer works on another.
// Memory ordering: what the producer did before the result was ready happened before any function
// here that tells so.
// Waiting on a worker of the pool that the work was given to runs the work itself if nobody has
// begun it (get, and wait without a limit; the other forms run nothing); else the pool puts a spare
// worker in the waiter's place.
// Destruction: legal at any time, also at once after ready() is seen. It does not wait and does not
// cancel. An exception that is in the future, or arrives later, goes to the unhandled handler.
template <class T>
class [[nodiscard]] future {
 public:
  using value_type = T;

  future() noexcept = default;
  future(future&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  future& operator=(future&& other) noexcept {
    if (this != &other) {
      reset();
      state_ = std::exchange(other.state_, nullptr);
    }
    return *this;
  }
  ~future() { reset(); }

  // False after default construction, move and get.
  bool valid() const noexcept { return state_ != nullptr; }

  // Never blocks. Throws no_state.
  bool ready() const { return state("future::ready").ready(); }

  // Waits, and gives the value away or throws the exception; `cancelled` and `broken_promise` are
  // such exceptions. Afterwards the future is not valid.
  // Blocks. Throws no_state; would_starve, and then the future is as before.
  T get() {
    state("future::get").await();
    return take();
  }

  // As get, but throws `cancelled` when a stop is requested first; then the future is as before.
  T get(const prim::stop_token& stop) {
    if (!wait(stop)) throw cancelled("stopped while waiting for a future");
    return take();
  }

  // Blocks until ready. Throws no_state, would_starve.
  void wait() { state("future::wait").await(); }

  // Block until ready or the limit; true when ready. Throw no_state, would_starve.
  bool wait_until(prim::time_point deadline) {
    return wait_for_completion(state("future::wait_until").event(), wait_kind::future, deadline);
  }
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout) {
    return wait_until(prim::deadline_after(timeout));
  }
  bool wait(const prim::stop_token& stop) {
    return wait_for_completion(state("future::wait").event(), wait_kind::future, stop);
  }

  // Gives the work up. True: it had not begun, never will, and the future is ready with
  // `cancelled`. False: it runs or is over; running work that takes a stop_token has been asked to
  // stop. Throws no_state.
  bool cancel() { return state("future::cancel").cancel(); }

  // Ready with something other than a value. Never blocks; reads nothing. Throws no_state.
  bool failed() const {
    auto& s = state("future::failed");
    return s.ready() && s.failed();
  }

  // Waits, and returns the exception that get() would throw, or null. Counts as reading it.
  // Throws no_state, would_starve, std::bad_alloc.
  std::exception_ptr exception() {
    auto& s = state("future::exception");
    s.await();
    return s.read_error();
  }

  // Runs f on `where` when this future is ready, and returns the future of what f returns; this
  // future is given away and becomes invalid. f takes the finished future<T>, or the value: then
  // it is skipped, and the error passed on, when there is none.
  // If the executor refuses the work, the new future is cancelled.
  // Blocks? No. Allocates one cell. Throws no_state, std::invalid_argument for a null executor,
  // std::bad_alloc, what moving f throws; then this future is as before.
  template <class F>
  auto then(executor_ref where, F&& f);

  // The same on the executor that the work of this future was given to.
  // Requires: that executor still exists.
  // Throws std::invalid_argument when there is none (a promise's future).
  template <class F>
  auto then(F&& f);

  // The same on the thread that makes this future ready, or here if it is ready. For code that is
  // short and never blocks. Chains of any length use no stack.
  template <class F>
  auto then_inline(F&& f) {
    return then(detail::trampoline(), std::forward<F>(f));
  }

 private:
  friend struct detail::access;

  explicit future(detail::typed_state<T>* adopted) noexcept : state_(adopted) {}

  detail::typed_state<T>& state(const char* operation) const {
    if (state_ == nullptr) throw no_state(operation);
    return *state_;
  }
  T take() {
    const future own(std::exchange(state_, nullptr));  // let go of it whatever happens
    return own.state_->take();
  }
  void reset() noexcept {
    if (state_ != nullptr) std::exchange(state_, nullptr)->release();
  }

  detail::typed_state<T>* state_ = nullptr;
};

namespace detail {

// For the library's own parts.
struct access {
  template <class T>
  static future<T> make(typed_state<T>* adopted) noexcept {
    return future<T>(adopted);
  }
  template <class T>
  static typed_state<T>* state(const future<T>& f, const char* operation) {
    return &f.state(operation);
  }
  template <class T>
  static typed_state<T>* release(future<T>& f) noexcept {
    return std::exchange(f.state_, nullptr);
  }
  // For destructors: waits even where the wait cannot be announced, and reads nothing.
  template <class T>
  static void await_regardless(future<T>& f) noexcept {
    f.state_->await_regardless();
  }
};

// Waits as a node in its antecedent; when that is ready it posts itself as a job.
template <class T, class R, class F>
class continuation final : public callable_state<R, F>, private waiter {
 public:
  // References: one for the future, one for the node and then the queue.
  template <class G>
  continuation(executor_ref where, G&& f)
      : callable_state<R, F>(&act, where, 2, std::forward<G>(f)), waiter(&woken) {}

  void follow(future<T> antecedent) noexcept {
    antecedent_.write([&](future<T>& a) { a = std::move(antecedent); });
    completion& event =
        antecedent_.read([](const future<T>& a) { return access::state(a, "then"); })->event();
    if (!event.attach(*this)) this->home().post(this);
  }

 private:
  static void woken(waiter* w) noexcept {
    auto* const self = static_cast<continuation*>(w);
    self->home().post(self);
  }

  static void act(job* j, verb v) noexcept {
    auto* const self = static_cast<continuation*>(j);
    if (v == verb::help) return;  // its antecedent may not be ready
    future<T> antecedent = self->antecedent_.write([](future<T>& a) { return std::move(a); });
    if (v == verb::discard) {
      self->cancel();
    } else if (self->try_claim()) {
      self->proceed(std::move(antecedent));
    }
    self->release();
  }

  void proceed(future<T> antecedent) noexcept {
    if constexpr (takes_future<F, T>) {
      this->execute(
          [&](F&& f) -> R { return detail::invoke(std::move(f), std::move(antecedent)); });
    } else {
      typed_state<T>* const before = access::state(antecedent, "then");
      if (before->failed()) {
        this->drop_work();
        // Only an error has an exception yet; reading that one allocates nothing.
        before->mark_error_read();
        this->finish_with(before->how(),
                          before->how() == outcome::error ? before->read_error() : nullptr);
        return;
      }
      this->execute([&](F&& f) -> R {
        if constexpr (std::is_void_v<T>) {
          return detail::invoke(std::move(f));
        } else {
          return detail::invoke(std::move(f), antecedent.get());
        }
      });
    }
  }

  void destroy() noexcept final { destroy_state(this); }

  prim::cell<future<T>> antecedent_;
};

}  // namespace detail

template <class T>
template <class F>
auto future<T>::then(executor_ref where, F&& f) {
  using function = std::decay_t<F>;
  static_assert(
      detail::takes_future<function, T> || std::is_void_v<T> || std::invocable<function, T>,
      "a continuation takes future<T>, or T, or nothing when T is void");
  using result = typename detail::continuation_result<function, T>::type;
  static_cast<void>(state("future::then"));
  if (!where) throw std::invalid_argument("future::then: no executor");
  auto* const next =
      detail::make_state<detail::continuation<T, result, function>>(where, std::forward<F>(f));
  auto made = detail::access::make<result>(next);
  next->follow(std::move(*this));
  return made;
}

template <class T>
template <class F>
auto future<T>::then(F&& f) {
  const executor_ref where = state("future::then").home();
  if (!where) {
    throw std::invalid_argument(
        "future::then: the future comes from a promise, so name an executor or use then_inline");
  }
  return then(where, std::forward<F>(f));
}

}  // namespace heddle::inline HEDDLE_ABI
