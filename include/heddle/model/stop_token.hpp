// The modelled half of <heddle/prim/stop_token.hpp>.
#pragma once

#include <concepts>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <heddle/model/atomic.hpp>
#include <heddle/model/condition_variable.hpp>
#include <heddle/model/config.hpp>
#include <heddle/model/mutex.hpp>
#include <heddle/model/runtime.hpp>
#include <heddle/model/thread.hpp>

namespace heddle::inline HEDDLE_ABI::prim {

namespace stop_detail {

class state;

// A registered callback: a node of its state's list.
class registration {
 public:
  using function = void (*)(registration*) noexcept;

  explicit registration(function f) noexcept : call(f) {}
  registration(const registration&) = delete;
  registration& operator=(const registration&) = delete;

  const function call;
  registration* before = nullptr;
  registration* after = nullptr;
  bool listed = false;

 protected:
  ~registration() = default;
};

// What sources, tokens and callbacks share. Its owners are counted without choice points: the
// standard library counts them too, and is trusted.
class HEDDLE_API state {
 public:
  state() noexcept;
  ~state();
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  void retain() noexcept;
  void release() noexcept;
  void source_made() noexcept;
  void source_gone() noexcept;

  bool requested() const noexcept { return requested_.load(acquire); }
  bool possible() const noexcept;
  bool request() noexcept;
  // False when a stop was requested before: then the callback is the caller's to run.
  bool add(registration& r) noexcept;
  // Returns when the callback does not run, or runs on this very thread.
  void remove(registration& r) noexcept;

 private:
  void unlink(registration& r) noexcept;

  model::detail::handle owners_handle_;
  unsigned owners_ = 1;
  unsigned sources_ = 0;
  atomic<bool> requested_{false};
  mutable mutex mutex_;
  condition_variable ran_;
  registration* first_ = nullptr;
  registration* running_ = nullptr;
  thread_id runner_;
};

// A counted reference to a state.
class owner {
 public:
  owner() noexcept = default;
  explicit owner(state* s) noexcept : state_(s) {}  // takes over one count
  owner(const owner& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->retain();
  }
  owner(owner&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  owner& operator=(owner other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~owner() {
    if (state_ != nullptr) state_->release();
  }

  state* get() const noexcept { return state_; }
  friend bool operator==(const owner&, const owner&) noexcept = default;

 private:
  state* state_ = nullptr;
};

}  // namespace stop_detail

class stop_token {
 public:
  stop_token() noexcept = default;

  bool stop_requested() const noexcept {
    return state_.get() != nullptr && state_.get()->requested();
  }
  bool stop_possible() const noexcept {
    return state_.get() != nullptr && state_.get()->possible();
  }
  void swap(stop_token& other) noexcept { std::swap(state_, other.state_); }
  friend bool operator==(const stop_token&, const stop_token&) noexcept = default;

 private:
  friend class stop_source;
  template <class>
  friend class stop_callback;
  explicit stop_token(stop_detail::owner s) noexcept : state_(std::move(s)) {}

  stop_detail::owner state_;
};

class stop_source {
 public:
  stop_source() : state_(new stop_detail::state) { state_.get()->source_made(); }
  explicit stop_source(std::nostopstate_t) noexcept {}
  stop_source(const stop_source& other) noexcept : state_(other.state_) {
    if (state_.get() != nullptr) state_.get()->source_made();
  }
  stop_source(stop_source&&) noexcept = default;
  stop_source& operator=(stop_source other) noexcept {
    swap(other);
    return *this;
  }
  ~stop_source() {
    if (state_.get() != nullptr) state_.get()->source_gone();
  }

  stop_token get_token() const noexcept { return stop_token(state_); }
  bool stop_possible() const noexcept { return state_.get() != nullptr; }
  bool stop_requested() const noexcept {
    return state_.get() != nullptr && state_.get()->requested();
  }
  bool request_stop() noexcept { return state_.get() != nullptr && state_.get()->request(); }
  void swap(stop_source& other) noexcept { std::swap(state_, other.state_); }
  friend bool operator==(const stop_source&, const stop_source&) noexcept = default;

 private:
  stop_detail::owner state_;
};

// The callback runs on the thread that requests the stop, or at once in the constructor. The
// destructor waits for a callback that runs on another thread.
template <class Callback>
class stop_callback : stop_detail::registration {
 public:
  using callback_type = Callback;

  template <class C>
    requires std::constructible_from<Callback, C>
  explicit stop_callback(stop_token token,
                         C&& callback) noexcept(std::is_nothrow_constructible_v<Callback, C>)
      : registration(&run), callback_(std::forward<C>(callback)), state_(std::move(token.state_)) {
    if (state_.get() == nullptr || state_.get()->add(*this)) return;
    state_ = {};
    run(this);
  }
  ~stop_callback() {
    if (state_.get() != nullptr) state_.get()->remove(*this);
  }
  stop_callback(const stop_callback&) = delete;
  stop_callback& operator=(const stop_callback&) = delete;

 private:
  static void run(stop_detail::registration* r) noexcept {
    std::forward<Callback>(static_cast<stop_callback*>(r)->callback_)();
  }

  Callback callback_;
  stop_detail::owner state_;
};

template <class Callback>
stop_callback(stop_token, Callback) -> stop_callback<Callback>;

}  // namespace heddle::inline HEDDLE_ABI::prim
