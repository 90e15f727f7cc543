// The producer's side of a future, for results that no executor makes.
#pragma once

#include <exception>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/state.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// Its entry is the promise; the future that may be asked of it is a consumer from the start.
template <class T>
class promise_state final : public typed_state<T> {
 public:
  promise_state() noexcept : typed_state<T>(&act, executor_ref{}) {}
  // Ready from the start, without a promise. Throws what making the value throws.
  template <class... Args>
  explicit promise_state(std::in_place_t, Args&&... args)
      : typed_state<T>(&act, completion::happened) {
    this->emplace(std::forward<Args>(args)...);
  }

 private:
  static void act(job* j, verb v) noexcept {
    if (v == own_verb::destroy) destroy_state(static_cast<promise_state*>(j));
  }
};

}  // namespace detail

// Thread-safety: used by one thread at a time; its future by another.
// Destruction: legal at once after a result has been set, also by a thread that has seen that the
// future is ready while the call that set it has not returned. Without a result, the future gets
// `broken_promise`.
template <class T>
class promise {
 public:
  // Allocates one cell. Throws std::bad_alloc.
  promise() : state_(detail::make_state<detail::promise_state<T>>()) {}
  promise(promise&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)),
        future_taken_(std::exchange(other.future_taken_, false)),
        satisfied_(std::exchange(other.satisfied_, false)) {}
  promise& operator=(promise&& other) noexcept {
    if (this != &other) {
      abandon();
      state_ = std::exchange(other.state_, nullptr);
      future_taken_ = std::exchange(other.future_taken_, false);
      satisfied_ = std::exchange(other.satisfied_, false);
    }
    return *this;
  }
  ~promise() { abandon(); }

  // Once. Throws already_satisfied, no_state.
  future<T> get_future() {
    if (future_taken_) throw already_satisfied("promise::get_future: the future was taken before");
    if (state_ == nullptr) throw no_state("promise::get_future");
    future_taken_ = true;
    return detail::access::make<T>(state_);
  }

  // Sets the result and wakes who waits. False when the consumer has cancelled: nothing is stored.
  // Throws already_satisfied for a second result, no_state, and what making the value throws; that
  // exception is then the result as well, since a claimed future must become ready.
  template <class... Args>
  bool set_value(Args&&... args) {
    const claimed c = claim("promise::set_value");
    if (c.state == nullptr) return false;
    try {
      c.state->emplace(std::forward<Args>(args)...);
    } catch (...) {
      c.state->finish_with(detail::outcome::error, std::current_exception(), c.hold);
      throw;
    }
    c.state->finish_with_value(c.hold);
    return true;
  }

  // As set_value. Throws std::invalid_argument for a null exception.
  bool set_exception(std::exception_ptr error) {
    if (error == nullptr) throw std::invalid_argument("promise::set_exception: null exception");
    const claimed c = claim("promise::set_exception");
    if (c.state == nullptr) return false;
    c.state->finish_with(detail::outcome::error, std::move(error), c.hold);
    return true;
  }

  // The producer gives the work up: the future is ready as cancelled. As set_value, but needs no
  // memory.
  bool set_cancelled() {
    const claimed c = claim("promise::set_cancelled");
    if (c.state == nullptr) return false;
    c.state->finish_with(detail::outcome::cancelled, nullptr, c.hold);
    return true;
  }

  // The consumer has cancelled, so the result is not wanted. Throws no_state.
  bool is_cancelled() const {
    if (state_ != nullptr) return state_->ready() && state_->how() == detail::outcome::cancelled;
    if (!satisfied_) throw no_state("promise::is_cancelled");
    return false;
  }

 private:
  using entry = typename detail::promise_state<T>::entry;
  struct claimed {
    detail::promise_state<T>* state;
    entry hold;
  };

  // The state for a result, or null when the consumer has cancelled. As soon as the result can be
  // seen this promise may be destroyed, so it lets go of the state before, unless the future has
  // yet to be taken.
  claimed claim(const char* operation) {
    if (satisfied_) throw already_satisfied(operation);
    if (state_ == nullptr) throw no_state(operation);
    satisfied_ = true;
    if (!state_->try_claim()) return {nullptr, entry::keep};
    if (!future_taken_) return {state_, entry::keep};
    return {std::exchange(state_, nullptr), entry::drop};
  }

  void abandon() noexcept {
    auto* const s = std::exchange(state_, nullptr);
    if (s == nullptr) return;
    if (!satisfied_ && s->try_claim()) {
      const bool wanted = future_taken_ && !s->unwanted();
      if (!future_taken_) s->release();
      s->finish_with(wanted ? detail::outcome::broken : detail::outcome::cancelled, nullptr,
                     entry::drop);
    } else {
      if (!future_taken_) s->release();
      s->drop_entry();
    }
  }

  friend struct detail::access;

  detail::promise_state<T>* state_;
  bool future_taken_ = false;
  bool satisfied_ = false;
};

namespace detail {

// While the promise has neither a result nor been moved away.
template <class T>
const completion* access::event(const promise<T>& p) noexcept {
  return &p.state_->event();
}

}  // namespace detail

// A future that is ready. Throws std::bad_alloc, and what making the value throws.
template <class T>
future<std::decay_t<T>> make_ready_future(T&& value) {
  using type = std::decay_t<T>;
  return detail::access::make<type>(
      detail::make_state<detail::promise_state<type>>(std::in_place, std::forward<T>(value)));
}

inline future<void> make_ready_future() {
  return detail::access::make<void>(detail::make_state<detail::promise_state<void>>(std::in_place));
}

}  // namespace heddle::inline HEDDLE_ABI
