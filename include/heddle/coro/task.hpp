// A function that can wait without a thread.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <heddle/base/errors.hpp>
#include <heddle/coro/frame.hpp>
#include <heddle/prim/config.hpp>

namespace heddle::inline HEDDLE_ABI::coro {

template <class T>
class task;

}  // namespace heddle::inline HEDDLE_ABI::coro

namespace heddle::inline HEDDLE_ABI::detail {

// What there is of a task beside its body. And how it ended: with a value, a reference as a
// pointer, nothing for void, or an exception.
template <class T>
class task_outcome : public task_frame {
  struct no_value {};

 public:
  using kept = std::conditional_t<
      std::is_void_v<T>, no_value,
      std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, std::remove_cv_t<T>>>;

  // What whoever awaits the task gets. Requires: it has ended. Once.
  T take() {
    if (this->failed()) [[unlikely]]
      this->throw_error();
    return take_value();
  }
  // The same of one that has not failed.
  T take_value() noexcept(std::is_void_v<T> || std::is_reference_v<T> ||
                          std::is_nothrow_constructible_v<T, kept>) {
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value());
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(value());
    }
  }
  // Before it begins: the value goes there as soon as it is made, and is not kept here.
  void put_value_into(kept& place) noexcept {
    this->error_or_value.place = &place;
    this->note(task_frame::value_has_place);
  }

 protected:
  task_outcome() noexcept = default;
  ~task_outcome() {
    if constexpr (!in_the_frame) {
      if (made_.value) std::destroy_at(&value());
    }
  }

  template <class U>
  void keep(U&& made) {
    if constexpr (std::is_move_assignable_v<kept>) {
      if (this->has(task_frame::value_has_place)) {
        kept& place = *static_cast<kept*>(this->error_or_value.place);
        if constexpr (std::is_reference_v<T>) {
          place = std::addressof(made);
        } else if constexpr (std::is_same_v<std::remove_cvref_t<U>, kept>) {
          place = std::forward<U>(made);
        } else {
          place = kept(std::forward<U>(made));
        }
        return;
      }
    }
    if constexpr (std::is_reference_v<T>) {
      std::construct_at(&value(), std::addressof(made));
    } else {
      std::construct_at(&value(), std::forward<U>(made));
    }
    if constexpr (!in_the_frame) made_.value = true;
  }

 private:
  // An error may come behind the value, where the task has forked others, and takes its place.
  static constexpr bool in_the_frame = std::is_trivially_destructible_v<kept> &&
                                       sizeof(kept) <= task_frame::word_bytes &&
                                       alignof(kept) <= alignof(void*);
  static constexpr std::size_t slack = alignof(kept) > promise_alignment
                                           ? alignof(kept) - promise_alignment
                                           : 0;
  struct unmarked {};
  struct nowhere {};
  struct mark {
    bool value = false;
  };
  struct room {
    alignas(alignof(kept) > promise_alignment
                ? promise_alignment
                : alignof(kept)) std::byte bytes[sizeof(kept) + slack];
  };

  kept& value() noexcept {
    if constexpr (in_the_frame) {
      return *std::launder(reinterpret_cast<kept*>(this->error_or_value.value));
    } else {
      auto at = reinterpret_cast<std::uintptr_t>(room_.bytes);
      if constexpr (slack != 0) at = (at + alignof(kept) - 1) & ~(alignof(kept) - 1);
      return *std::launder(reinterpret_cast<kept*>(at));
    }
  }

  [[no_unique_address]] std::conditional_t<in_the_frame, unmarked, mark> made_;
  [[no_unique_address]] std::conditional_t<in_the_frame, nowhere, room> room_;
};

template <class T>
class task_promise final : public task_outcome<T> {
 public:
  task_promise() noexcept = default;

  coro::task<T> get_return_object() noexcept {
    static_assert(alignof(task_promise) <= task_frame::promise_alignment);
    return coro::task<T>(this);
  }

  template <class U = T>
    requires(std::is_reference_v<T> ? std::is_convertible_v<U &&, T>
                                    : std::is_constructible_v<T, U &&>)
  void return_value(U&& value) {
    if constexpr (std::is_reference_v<T>) {
      T bound = std::forward<U>(value);
      this->keep(bound);
    } else {
      this->keep(std::forward<U>(value));
    }
  }
};

template <>
class task_promise<void> final : public task_outcome<void> {
 public:
  task_promise() noexcept = default;

  coro::task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
};

struct task_access;
template <class T>
class task_wait;

}  // namespace heddle::inline HEDDLE_ABI::detail

namespace heddle::inline HEDDLE_ABI::coro {

// The result of a coroutine that has not begun, and its one owner:
//
//   coro::task<int> length(coro::task<std::string> text) {
//     co_return static_cast<int>((co_await std::move(text)).size());
//   }
//
// It begins when it is awaited, by a coroutine of the same kind (`co_await f()`), or started:
// sync_wait, spawn, gather, with_timeout. It runs on the executor of the task that awaits it, can
// be stopped by whoever can stop that, and runs in its context; when it has ended, that one goes on
// in its turn with the value or the exception. What a coroutine takes by reference must live until
// it has ended.
//
// Thread-safety: none; hand it over from one thread to another.
// Memory ordering: what a task did happened before whatever awaited it goes on, on whatever thread.
// Blocks? No; a body that blocks its thread blocks it. Allocates? The frame, from recycled memory
// (prim/cells.hpp) up to 1 KiB; without memory the call throws std::bad_alloc, and nothing has
// begun.
// Complexity: awaits of tasks that do not wait themselves use no stack, whether one after another
// or inside of each other. (With g++ that needs -O2, or no optimization at all, or the option that
// the CMake targets bring with them, -foptimize-sibling-calls.)
// Destruction: of one that was never awaited, destroys its arguments; nothing of its body runs.
// Source: lazy tasks with symmetric transfer, Gor Nishanov, "Add symmetric coroutine control
// transfer", WG21 P0913, 2018.
template <class T = void>
class [[nodiscard]] task {
 public:
  using value_type = T;
  using promise_type = heddle::detail::task_promise<T>;

  // Awaits nothing.
  task() noexcept = default;
  task(task&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    task(std::move(other)).swap(*this);
    return *this;
  }
  ~task() {
    if (promise_ != nullptr) promise_->handle().destroy();
  }

  // False after default construction, a move, and when it has been awaited.
  bool valid() const noexcept { return promise_ != nullptr; }

  void swap(task& other) noexcept { std::swap(promise_, other.promise_); }

  // For co_await, once: of a temporary, or std::move(t). Throws no_state when it is not valid.
  heddle::detail::task_wait<T> operator co_await() &&;

 private:
  friend promise_type;
  friend struct heddle::detail::task_access;

  explicit task(promise_type* promise) noexcept : promise_(promise) {}

  promise_type* promise_ = nullptr;
};

}  // namespace heddle::inline HEDDLE_ABI::coro

namespace heddle::inline HEDDLE_ABI::detail {

// For the library's own parts.
struct task_access {
  // Gives the frame away. Throws no_state.
  template <class T>
  static task_promise<T>* release(coro::task<T>& t, const char* operation) {
    if (t.promise_ == nullptr) throw no_state(operation);
    return std::exchange(t.promise_, nullptr);
  }
  template <class T>
  static coro::task<T> adopt(task_promise<T>* promise) noexcept {
    return coro::task<T>(promise);
  }
};

// One task waits for another, which it owns.
template <class T>
class [[nodiscard]] task_wait {
 public:
  explicit task_wait(task_promise<T>* child) noexcept : child_(child) {}
  task_wait(const task_wait&) = delete;
  task_wait& operator=(const task_wait&) = delete;
  ~task_wait() { child_->handle().destroy(); }

  bool await_ready() const noexcept { return false; }
  template <std::derived_from<task_frame> P>
  transfer await_suspend(std::coroutine_handle<P> parent) noexcept {
    task_frame& frame = parent.promise();
    return transfer_to<transfer>(frame.begin_child(*child_, frame.who_stops()));
  }
  T await_resume() { return take(); }

 protected:
  // Somebody else may stop the child than can stop the parent.
  std::coroutine_handle<> begin(task_frame& parent, stopped_by stop) noexcept {
    return parent.begin_child(*child_, stop);
  }
  // An exception comes through in any case.
  T take() {
    if (child_->failed_or_moved()) [[unlikely]]
      throw_if_failed(*child_);
    return child_->take_value();
  }

 private:
  static void throw_if_failed(task_frame& child) {
    const bool refused = child.parent().take_refusal();
    if (child.failed()) child.throw_error();
    if (refused) task_frame::throw_refused();
  }

  task_promise<T>* const child_;
};

inline coro::task<void> task_promise<void>::get_return_object() noexcept {
  return coro::task<void>(this);
}

}  // namespace heddle::inline HEDDLE_ABI::detail

namespace heddle::inline HEDDLE_ABI::coro {

template <class T>
heddle::detail::task_wait<T> task<T>::operator co_await() && {
  return heddle::detail::task_wait<T>(
      heddle::detail::task_access::release(*this, "co_await of a task"));
}

}  // namespace heddle::inline HEDDLE_ABI::coro
