// The producer's side of a future, for results that no executor makes.
#pragma once

#include <exception>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/state.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

template <class T>
class promise_state final : public typed_state<T> {
 public:
  // References: one for the promise. Its futures take theirs.
  promise_state() noexcept : typed_state<T>(&ignore, executor_ref{}, 1) {}

 private:
  static void ignore(job*, verb) noexcept {}
  void destroy() noexcept final { destroy_state(this); }
};

}  // namespace detail

// Thread-safety: used by one thread at a time; its future by another.
// Destruction: legal at once after a result has been set. Without one, the future gets
// `broken_promise`.
template <class T>
class promise {
 public:
  // Allocates one cell. Throws std::bad_alloc.
  promise() : state_(detail::make_state<detail::promise_state<T>>()) {}
  promise(promise&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)),
        future_taken_(other.future_taken_),
        satisfied_(other.satisfied_) {}
  promise& operator=(promise&& other) noexcept {
    if (this != &other) {
      abandon();
      state_ = std::exchange(other.state_, nullptr);
      future_taken_ = other.future_taken_;
      satisfied_ = other.satisfied_;
    }
    return *this;
  }
  ~promise() { abandon(); }

  // Once. Throws already_satisfied, no_state.
  future<T> get_future() {
    auto& s = state("promise::get_future");
    if (future_taken_) throw already_satisfied("promise::get_future: the future was taken before");
    future_taken_ = true;
    s.retain();
    return detail::access::make<T>(&s);
  }

  // Sets the result and wakes who waits. False when the consumer has cancelled: nothing is stored.
  // Throws already_satisfied for a second result, no_state, and what making the value throws; that
  // exception is then the result as well, since a claimed future must become ready.
  template <class... Args>
  bool set_value(Args&&... args) {
    auto& s = state("promise::set_value");
    if (!claim("promise::set_value: there is a result already")) return false;
    try {
      s.emplace(std::forward<Args>(args)...);
    } catch (...) {
      s.finish_with(detail::outcome::error, std::current_exception());
      throw;
    }
    s.finish_with_value();
    return true;
  }

  // As set_value. Throws std::invalid_argument for a null exception.
  bool set_exception(std::exception_ptr error) {
    auto& s = state("promise::set_exception");
    if (error == nullptr) throw std::invalid_argument("promise::set_exception: null exception");
    if (!claim("promise::set_exception: there is a result already")) return false;
    s.finish_with(detail::outcome::error, std::move(error));
    return true;
  }

  // The consumer has cancelled, so the result is not wanted. Throws no_state.
  bool is_cancelled() const {
    auto& s = state("promise::is_cancelled");
    return !satisfied_ && s.ready();
  }

 private:
  detail::promise_state<T>& state(const char* operation) const {
    if (state_ == nullptr) throw no_state(operation);
    return *state_;
  }
  bool claim(const char* second) {
    if (satisfied_) throw already_satisfied(second);
    satisfied_ = true;
    return state_->try_claim();
  }
  void abandon() noexcept {
    if (state_ == nullptr) return;
    if (!satisfied_ && state_->shared() && state_->try_claim()) {
      state_->finish_with(detail::outcome::broken);
    }
    std::exchange(state_, nullptr)->release();
  }

  detail::promise_state<T>* state_;
  bool future_taken_ = false;
  bool satisfied_ = false;
};

// A future that is ready. Throws std::bad_alloc, and what making the value throws.
template <class T>
future<std::decay_t<T>> make_ready_future(T&& value) {
  promise<std::decay_t<T>> p;
  auto result = p.get_future();
  p.set_value(std::forward<T>(value));
  return result;
}

inline future<void> make_ready_future() {
  promise<void> p;
  auto result = p.get_future();
  p.set_value();
  return result;
}

}  // namespace heddle::inline HEDDLE_ABI
