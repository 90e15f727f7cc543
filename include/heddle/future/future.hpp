// The result of work that may not have happened yet.
#pragma once

#include <chrono>
#include <concepts>
#include <exception>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/base/invoke.hpp>
#include <heddle/base/require_callable.hpp>
#include <heddle/base/unique_task.hpp>
#include <heddle/future/callable_state.hpp>
#include <heddle/future/state.hpp>
#include <heddle/future/task.hpp>
#include <heddle/prim/clock.hpp>
#include <heddle/prim/stop_token.hpp>
#include <heddle/sync/blocking_region.hpp>
#include <heddle/sync/waiter.hpp>

namespace heddle::inline HEDDLE_ABI {

template <class T>
class future;
template <class T>
class shared_future;
template <class T>
class promise;

namespace detail {

struct access;

// What reading a future gives: the value itself, or a reference to one that others read, too.
template <class Antecedent>
using read_of = decltype(std::declval<Antecedent&>().get());

// A continuation takes the finished future itself, or, more simply, its value: then an error or a
// cancellation passes it by and goes on to the next future.
template <class F, class Antecedent>
concept takes_antecedent = std::invocable<F, Antecedent>;
template <class F, class Antecedent>
concept takes_value = (std::is_void_v<read_of<Antecedent>> && std::invocable<F>) ||
                      std::invocable<F, read_of<Antecedent>>;
// A generic callable that takes the future need not compile with the value.
template <class F, class Antecedent>
concept takes_either = takes_antecedent<F, Antecedent> || takes_value<F, Antecedent>;

template <class F, class Value>
struct value_result : std::invoke_result<F, Value> {};
template <class F>
struct value_result<F, void> : std::invoke_result<F> {};

template <class F, class Antecedent>
struct continuation_result : value_result<F, read_of<Antecedent>> {};
template <class F, class Antecedent>
  requires takes_antecedent<F, Antecedent>
struct continuation_result<F, Antecedent> : std::invoke_result<F, Antecedent> {};

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
  // Blocks. Throws no_state; would_starve, deadlock_error, forked: then the future is as before.
  T get() {
    state("future::get").await();
    return take();
  }

  // As get, but throws `cancelled` when a stop is requested first; then the future is as before.
  T get(const prim::stop_token& stop) {
    if (!wait(stop)) throw cancelled("stopped while waiting for a future");
    return take();
  }

  // Blocks until ready. Throws no_state, would_starve, deadlock_error, forked.
  void wait() { state("future::wait").await(); }

  // Block until ready or the limit; true when ready. Throw no_state, would_starve, forked.
  bool wait_until(prim::time_point deadline) {
    return state("future::wait_until").await_until(deadline);
  }
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> timeout) {
    return wait_until(prim::deadline_after(timeout));
  }
  bool wait(const prim::stop_token& stop) { return state("future::wait").await(stop); }

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
  // Throws no_state, would_starve, deadlock_error, forked, std::bad_alloc.
  std::exception_ptr exception() {
    auto& s = state("future::exception");
    s.await();
    return s.read_error();
  }

  // Runs f on `where` when this future is ready, and returns the future of what f returns; this
  // future is given away and becomes invalid. f takes the finished future<T>, or the value: then
  // it is skipped, and the error passed on, when there is none.
  // If the executor refuses the work, the new future is cancelled.
  // Blocks? No. Allocates one cell. Throws no_state, std::invalid_argument for a null executor or
  // callable, forked, std::bad_alloc, what moving f throws; then this future is as before.
  template <class F>
  auto then(executor_ref where, F&& f);
  template <executor E, class F>
  auto then(E& where, F&& f) {
    return then(where.executor(), std::forward<F>(f));
  }

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

  // Calls f() once when this future is ready, on the thread that makes it so, or here if it is
  // ready; the future stays as it is, may be read before f is called, and may be destroyed. As many
  // callbacks as one likes, called in their order; f should be short and never block, and is called
  // behind a callback or inline continuation that this thread is in. Its exceptions go to the
  // unhandled handler. What Python calls add_done_callback.
  // Blocks? No. Allocates two cells. Throws no_state, std::invalid_argument for a null callable,
  // forked, std::bad_alloc, what moving f throws.
  template <class F>
    requires std::invocable<std::decay_t<F>>
  void on_ready(F&& f) const {
    on_ready(detail::trampoline(), std::forward<F>(f));
  }

  // The same on an executor. If that refuses the work, f is destroyed uncalled.
  // Throws std::invalid_argument for a null executor as well.
  template <executor E, class F>
    requires std::invocable<std::decay_t<F>>
  void on_ready(E& where, F&& f) const {
    on_ready(where.executor(), std::forward<F>(f));
  }
  template <class F>
    requires std::invocable<std::decay_t<F>>
  void on_ready(executor_ref where, F&& f) const {
    auto& s = state("future::on_ready");
    if (!where) throw std::invalid_argument("future::on_ready: no executor");
    detail::require_callable(f, "future::on_ready");
    detail::call_when_ready(s, where, unique_task(std::forward<F>(f)));
  }

  // Many owners of the right to read the result, in place of this one, which becomes invalid.
  // Needs <heddle/future/shared_future.hpp>. Throws no_state.
  shared_future<T> share() &&;

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
  template <class Future>
  static auto* state(const Future& f, const char* operation) {
    return &f.state(operation);
  }
  template <class T>
  static typed_state<T>* release(future<T>& f) noexcept {
    return std::exchange(f.state_, nullptr);
  }
  template <class T>
  static const completion* event(const promise<T>& p) noexcept;
  // For destructors: waits even where the wait cannot be announced, and reads nothing.
  template <class T>
  static void await_regardless(future<T>& f) noexcept {
    f.state_->await_regardless();
  }
};

// Waits as a node in its antecedent; when that is ready it posts itself as a job.
template <class Antecedent, class R, class F>
class continuation final : public callable_state<continuation<Antecedent, R, F>, R, F>,
                           private waiter {
  using base = callable_state<continuation, R, F>;
  using value = typename Antecedent::value_type;

 public:
  template <class G>
  continuation(executor_ref where, G&& f) : base(&act, where, std::forward<G>(f)), waiter(&woken) {}

  void follow(Antecedent antecedent) noexcept {
    completion& event = access::state(antecedent, "then")->event();
    antecedent_.write([&](Antecedent& a) { a = std::move(antecedent); });
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
    if (v != verb::run && v != verb::discard) return base::act_on_itself(self, v);
    // Goes in any case, and not from the destructor: chains are dropped link by link.
    Antecedent antecedent = self->antecedent_.write([](Antecedent& a) { return std::move(a); });
    if (v == verb::discard) {
      self->discard_entry();
    } else if (self->try_claim_entry()) {
      self->proceed(std::move(antecedent));
    }
  }

  void proceed(Antecedent antecedent) noexcept {
    if constexpr (takes_antecedent<F, Antecedent>) {
      this->execute(
          [&](F&& f) -> R { return detail::invoke(std::move(f), std::move(antecedent)); });
    } else {
      auto* const before = access::state(antecedent, "then");
      if (before->failed()) {
        this->drop_work();
        // Only an error has an exception yet; reading that one allocates nothing.
        before->mark_error_read();
        this->finish_with(before->how(),
                          before->how() == outcome::error ? before->read_error() : nullptr);
        return;
      }
      this->execute([&](F&& f) -> R {
        if constexpr (std::is_void_v<value>) {
          return detail::invoke(std::move(f));
        } else {
          return detail::invoke(std::move(f), antecedent.get());
        }
      });
    }
  }

  prim::cell<Antecedent> antecedent_;
};

// The future of what f makes of `antecedent`, which is given away unless this throws.
template <class F, class Antecedent>
auto continue_with(Antecedent& antecedent, executor_ref where, F&& f) {
  using function = std::decay_t<F>;
  static_assert(takes_either<function, Antecedent>,
                "a continuation takes the future, or its value, or nothing when that is void");
  using result = typename continuation_result<function, Antecedent>::type;
  auto* const state = access::state(antecedent, "future::then");
  if (!where) throw std::invalid_argument("future::then: no executor");
  require_callable(f, "future::then");
  state->require_own_process();
  auto* const next =
      make_state<continuation<Antecedent, result, function>>(where, std::forward<F>(f));
  auto made = access::make<result>(next);
  next->follow(std::move(antecedent));
  return made;
}

}  // namespace detail

template <class T>
template <class F>
auto future<T>::then(executor_ref where, F&& f) {
  return detail::continue_with(*this, where, std::forward<F>(f));
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
