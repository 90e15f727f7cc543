// co_await on what threads wait for: events, latches, semaphores, futures.
//
// All of them suspend the task and leave its thread to others; when what is waited for has happened
// the task goes on, on its executor. Threads and tasks wait in the same queue, in their order.
//
// Blocks? No. Allocates? No. Throws `cancelled` when the task is told to stop first, and then has
// taken nothing; whatever has happened by then counts as happened. Throws it too when the task's
// executor accepts no more work; then as well. Complexity: as the wait of a thread, without the
// thread.
// What is waited for must live until the task goes on.
#pragma once

#include <cstddef>
#include <stdexcept>

#include <heddle/coro/suspension.hpp>
#include <heddle/future/future.hpp>
#include <heddle/future/shared_future.hpp>
#include <heddle/prim/config.hpp>
#include <heddle/sync/completion.hpp>
#include <heddle/sync/event.hpp>
#include <heddle/sync/latch.hpp>
#include <heddle/sync/semaphore.hpp>
#include <heddle/sync/weighted_semaphore.hpp>

namespace heddle::inline HEDDLE_ABI {

namespace detail {

// What is opened for everybody who waits.
class HEDDLE_API event_wait final : public queued_suspension {
 public:
  explicit event_wait(manual_reset_event& e) noexcept : queued_suspension(kind), event_(e) {}

  bool await_ready() const noexcept { return event_.is_set(); }
  void await_resume() { end_or_throw(); }

 private:
  static const steps kind;

  manual_reset_event& event_;
};

class HEDDLE_API latch_wait final : public queued_suspension {
 public:
  explicit latch_wait(latch& l) noexcept : queued_suspension(kind), latch_(l) {}

  bool await_ready() const noexcept { return latch_.try_wait(); }
  void await_resume() { end_or_throw(); }

 private:
  static const steps kind;

  latch& latch_;
};

// Of an auto-reset event as well, whose `most` is 0 here.
class HEDDLE_API permit_wait final : public queued_suspension {
 public:
  permit_wait(semaphore_core& core, std::ptrdiff_t most) noexcept
      : queued_suspension(kind, &chosen), core_(core), most_(most) {}

  bool await_ready() const noexcept { return core_.try_acquire(); }
  void await_resume();

 private:
  static const steps kind;
  static void chosen(waiter* w) noexcept;

  semaphore_core& core_;
  const std::ptrdiff_t most_;
};

class HEDDLE_API units_wait final : public queued_suspension {
 public:
  units_wait(weighted_semaphore& from, weighted_semaphore::units n) noexcept
      : queued_suspension(kind), from_(from), n_(n) {}

  bool await_ready() const { return from_.try_acquire(n_); }
  void await_resume();

 private:
  static const steps kind;

  weighted_semaphore& from_;
  const weighted_semaphore::units n_;
};

class HEDDLE_API state_wait : public queued_suspension {
 protected:
  explicit state_wait(future_state* state) noexcept : queued_suspension(kind), state_(state) {}
  ~state_wait() = default;

  bool ready() const {
    if (state_->ready()) return true;
    state_->require_own_process();
    return false;
  }

 private:
  static const steps kind;

  future_state* const state_;
};

// For future<T> and const shared_future<T>.
template <class Future>
class future_wait final : public state_wait {
 public:
  explicit future_wait(Future& f)
      : state_wait(access::state(f, "co_await of a future")), future_(f) {}

  bool await_ready() const { return ready(); }
  decltype(auto) await_resume() {
    end_or_throw();
    return future_.get();
  }

 private:
  Future& future_;
};

struct queue_access {
  template <class Object>
  static bool append(Object& o, wait_queue::entry& e) noexcept {
    return o.append(e);
  }
  template <class Object>
  static bool withdraw(Object& o, wait_queue::entry& e) noexcept {
    return o.withdraw(e);
  }
  template <class Object>
  static semaphore_core& core(Object& o) noexcept {
    return o.core_;
  }
  // False when it has them now. Throws std::invalid_argument when it never will.
  static bool append(weighted_semaphore& from, weighted_semaphore::units n, wait_queue::entry& e);
  static void note_taken(weighted_semaphore& from, weighted_semaphore::units n) noexcept;
  [[noreturn]] static void refuse(weighted_semaphore& from, weighted_semaphore::units n);
};

}  // namespace detail

// Until it is set.
inline detail::event_wait operator co_await(manual_reset_event& event) noexcept {
  return detail::event_wait(event);
}

// Until it is set, which it takes back.
inline detail::permit_wait operator co_await(auto_reset_event& event) noexcept {
  return {detail::queue_access::core(event), 0};
}

// Until it is open.
inline detail::latch_wait operator co_await(latch& l) noexcept { return detail::latch_wait(l); }

// Reads the future, as get() does. Throws no_state, forked, and the exception in it; when it throws
// `cancelled` for the task's sake the future is as before, and the work goes on.
template <class T>
detail::future_wait<future<T>> operator co_await(future<T>& f) {
  return detail::future_wait<future<T>>(f);
}
template <class T>
detail::future_wait<future<T>> operator co_await(future<T>&& f) {
  return detail::future_wait<future<T>>(f);
}
template <class T>
detail::future_wait<const shared_future<T>> operator co_await(const shared_future<T>& f) {
  return detail::future_wait<const shared_future<T>>(f);
}

namespace coro {

// co_await acquire(s): a permit. As with threads, one who arrives as a permit is given may
// overtake.
template <std::ptrdiff_t Max>
[[nodiscard]] heddle::detail::permit_wait acquire(counting_semaphore<Max>& s) noexcept {
  return {heddle::detail::queue_access::core(s), Max};
}

// co_await acquire(s, n): so many units, in turn. Throws std::invalid_argument, like
// weighted_semaphore::acquire.
[[nodiscard]] inline heddle::detail::units_wait acquire(weighted_semaphore& s,
                                                        weighted_semaphore::units n) noexcept {
  return {s, n};
}

}  // namespace coro

}  // namespace heddle::inline HEDDLE_ABI
